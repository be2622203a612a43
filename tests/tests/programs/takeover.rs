//! Workers that die, freeze or lose their lease: others carry on, and nothing stale is written.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use leasectl_tests::{
    Origin, PATIENCE, Remote, Stage, Worker, assert_error, processes_naming, wait_until,
};
use serde_json::Value;

/// Slow enough that there is a middle of the job to die in.
const SLOW: Option<u64> = Some(20_000);
const HEAVY_BYTES: usize = 300_000;

/// A repository whose fetch takes long, registered; the stage, the remote and the id.
fn slow_repository() -> (Stage, Remote, String) {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", HEAVY_BYTES);
    remote.set_bytes_per_second(SLOW);
    let repo = stage.register(&remote.url("acme/app"));
    (stage, remote, repo)
}

/// Expects that the job was lost by the first worker and completed by the second, in that order.
#[track_caller]
fn assert_taken_over(job: &Value, first: &Worker, second: &Worker) {
    assert_eq!(job["state"], "completed", "{job:#}");
    let attempts = job["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{job:#}");
    assert_eq!(attempts[0]["owner"], first.owner(), "{job:#}");
    assert_eq!(attempts[0]["outcome"], "lost", "{job:#}");
    assert_error(&attempts[0]["error"], "lease_lost");
    assert_eq!(attempts[1]["owner"], second.owner(), "{job:#}");
    assert_eq!(attempts[1]["outcome"], "completed", "{job:#}");
    assert!(
        attempts[0]["token"].as_i64() < attempts[1]["token"].as_i64(),
        "{job:#}"
    );
}

/// Expects a complete clone and nothing half-made beside it.
#[track_caller]
fn assert_clean_clone(stage: &Stage, repo: &str) {
    Origin::at(&stage.clone_dir(repo)).git(&["fsck", "--full"]);
    let entries = std::fs::read_dir(stage.repos_dir().join(repo)).unwrap();
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            !name.starts_with("new-") && !name.starts_with("old-"),
            "{name} is left"
        );
    }
}

#[test]
fn a_worker_killed_right_after_its_claim_is_replaced() {
    let (stage, remote, repo) = slow_repository();
    let mut first = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    let (owner, _) = stage.wait_for_lease(&job);
    assert_eq!(owner, first.owner());

    let second = stage.worker().start();
    first.kill();
    // Long before the lease expires.
    wait_until(Duration::from_secs(40), "the takeover", || {
        stage
            .lease(&job)
            .filter(|(owner, _)| owner == second.owner())
    });

    remote.set_bytes_per_second(None);
    let ended = stage.wait_for_end(&job);
    assert_taken_over(&ended, &first, &second);
    assert!(
        second.log().contains(first.owner()),
        "a reclaim names the old owner"
    );
    stage.whole_history().check_all_ended();
}

#[test]
fn a_worker_killed_in_mid_clone_leaves_no_writer_and_no_half_clone() {
    let (stage, remote, repo) = slow_repository();
    let mut first = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_progress(&job);
    let pid = first.pid();
    assert_eq!(
        processes_naming(&stage.data_dir()).len(),
        2,
        "the worker and its Git process"
    );
    first.kill();
    wait_until(PATIENCE, "the killed worker's Git process to end", || {
        processes_naming(&stage.data_dir()).is_empty().then_some(())
    });
    assert!(
        !stage.clone_dir(&repo).exists(),
        "only complete clones stand at their path"
    );

    remote.set_bytes_per_second(None);
    let second = stage.worker().start();
    let ended = stage.wait_for_end(&job);
    assert_taken_over(&ended, &first, &second);
    assert_clean_clone(&stage, &repo);
    let shown = stage.run(&["job", "show", &job]).ok().stdout;
    for part in [
        "lost",
        "completed",
        &pid.to_string(),
        &second.pid().to_string(),
    ] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    stage.whole_history().check_all_ended();
}

#[test]
fn a_worker_killed_inside_its_fenced_transaction_leaves_nothing_half_recorded() {
    let (stage, remote, repo) = slow_repository();
    remote.set_bytes_per_second(None);
    let branches = "select count(*) from leasectl.branch where repo_id::text = $1";
    let mut first = stage.worker().start();
    let held = stage
        .sql()
        .hold("lock table leasectl.branch in share row exclusive mode");
    let job = stage.enqueue_fetch(&repo);
    stage.sql().wait_for_waiter();
    first.kill();
    drop(held);
    assert_eq!(stage.sql().one::<i64>(branches, &[&repo]), 0);

    let second = stage.worker().start();
    let ended = stage.wait_for_end(&job);
    assert_taken_over(&ended, &first, &second);
    assert_eq!(
        ended["result"]["recloned"],
        Value::Null,
        "the clone was good: {ended:#}"
    );
    assert_eq!(stage.sql().one::<i64>(branches, &[&repo]), 1);
    stage.whole_history().check_all_ended();
}

#[test]
fn a_worker_killed_before_it_settles_has_not_finished_the_job() {
    let (stage, remote, repo) = slow_repository();
    remote.set_bytes_per_second(None);
    let mut first = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    // Everything is recorded; only the settlement, which writes the history, has to wait.
    let held = stage
        .sql()
        .hold("lock table leasectl.job_history in share row exclusive mode");
    stage.sql().wait_for_waiter();
    assert_eq!(stage.state(&job), "running");
    first.kill();
    drop(held);

    let second = stage.worker().start();
    let ended = stage.wait_for_end(&job);
    // The dead worker's statement may still have been carried out by the server: then it counts.
    if ended["attempts"].as_array().unwrap().len() == 2 {
        assert_taken_over(&ended, &first, &second);
    } else {
        assert_eq!(ended["state"], "completed", "{ended:#}");
        assert_eq!(ended["attempts"][0]["owner"], first.owner(), "{ended:#}");
    }
    stage.whole_history().check_all_ended();
}

#[test]
fn a_frozen_worker_is_replaced_and_its_late_writes_are_refused() {
    let (stage, remote, repo) = slow_repository();
    let elsewhere = stage.folder().join("elsewhere");
    let mut first = stage
        .worker()
        .flag("--repos-dir", elsewhere.to_str().unwrap())
        .start();
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_progress(&job);

    first.freeze();
    let second = stage.worker().start();
    wait_until(PATIENCE, "the takeover", || {
        stage
            .lease(&job)
            .filter(|(owner, _)| owner == second.owner())
    });
    let status = stage.json(&["status"]);
    let states = status["workers"].as_array().unwrap().iter();
    let frozen = states
        .clone()
        .find(|worker| worker["owner"] == first.owner())
        .unwrap();
    assert_eq!(
        frozen["state"], "dead",
        "silent and without leases: {status:#}"
    );
    remote.set_bytes_per_second(None);
    let ended = stage.wait_for_end(&job);
    assert_taken_over(&ended, &first, &second);

    first.thaw();
    wait_until(PATIENCE, "the thawed worker to notice", || {
        let log = first.log().to_lowercase();
        (log.contains("lost") || log.contains("trust")).then_some(())
    });
    wait_until(PATIENCE, "the thawed worker to beat again", || {
        let status = stage.json(&["status"]);
        let mut workers = status["workers"].as_array().unwrap().iter();
        let live = workers.find(|w| w["owner"] == first.owner() && w["state"] == "live");
        live.map(|_| ())
    });
    assert_eq!(
        stage.job(&job),
        ended,
        "nothing was written after the takeover"
    );
    assert!(!first.has_ended());
    stage.whole_history().check_all_ended();
    drop(second);
    assert_eq!(
        stage.fetch(&repo)["attempts"][0]["owner"],
        first.owner(),
        "it works on"
    );
}

#[test]
fn a_worker_frozen_inside_its_fenced_transaction_does_not_hold_up_the_takeover() {
    let (stage, remote, repo) = slow_repository();
    remote.set_bytes_per_second(None);
    let first = stage.worker().start();
    let held = stage
        .sql()
        .hold("lock table leasectl.branch in share row exclusive mode");
    let job = stage.enqueue_fetch(&repo);
    stage.sql().wait_for_waiter();
    first.freeze();
    drop(held);

    let second = stage.worker().start();
    let ended = stage.wait_for_end(&job);
    assert_taken_over(&ended, &first, &second);
    first.thaw();
    stage.fetch(&repo);
    assert_eq!(stage.job(&job), ended, "its commit came too late");
    stage.whole_history().check_all_ended();
}

#[test]
fn a_wedged_handler_in_a_living_worker_loses_its_lease() {
    let (stage, remote, repo) = slow_repository();
    remote.set_bytes_per_second(None);
    remote.set_fault(leasectl_tests::Fault::StallAfter(100_000));
    let mut worker = stage.worker().flag("--lease-ttl", "2s").start();
    let job = stage.enqueue_fetch(&repo);
    let (_, token) = stage.wait_for_lease(&job);

    wait_until(PATIENCE, "the lease to move on", || {
        stage
            .lease(&job)
            .filter(|(_, now)| *now > token)
            .map(|_| ())
    });
    remote.set_fault(leasectl_tests::Fault::None);
    let ended = stage.wait_for_end(&job);

    assert_eq!(ended["state"], "completed", "{ended:#}");
    // Its own worker gives it up first; where that is wedged too, another takes it away.
    let outcome = &ended["attempts"][0]["outcome"];
    assert!(outcome == "failed" || outcome == "lost", "{ended:#}");
    assert_error(&ended["attempts"][0]["error"], "no_progress");
    assert!(!worker.has_ended());
    stage.whole_history().check_all_ended();
}

#[test]
fn a_job_that_loses_its_worker_three_times_in_a_row_ends_in_error() {
    let (stage, remote, repo) = slow_repository();
    let job = stage.enqueue_fetch(&repo);
    for round in 1..=3 {
        let mut worker = stage.worker().start();
        wait_until(PATIENCE, "the next victim's lease", || {
            stage
                .lease(&job)
                .filter(|(owner, _)| owner == worker.owner())
        });
        assert_eq!(stage.job(&job)["attempt"], round);
        worker.kill();
    }
    remote.set_bytes_per_second(None);
    let _worker = stage.worker().start();
    let ended = stage.wait_for_end(&job);

    assert_eq!(ended["state"], "error", "{ended:#}");
    assert_error(&ended["last_error"], "attempts_exhausted");
    assert_eq!(ended["last_error"]["retryable"], false);
    let outcomes: Vec<&Value> = ended["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| &attempt["outcome"])
        .collect();
    assert_eq!(outcomes, ["lost", "lost", "lost"], "{ended:#}");
    stage.fetch(&repo);
    stage.whole_history().check_all_ended();
}

#[test]
fn a_living_worker_is_not_robbed_when_others_start() {
    let (stage, remote, repo) = slow_repository();
    let first = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    let lease = stage.wait_for_progress(&job);

    // Others with shorter patience: the lease's own settings decide, not theirs.
    let hasty = || {
        stage
            .worker()
            .flag("--heartbeat-interval", "100ms")
            .flag("--stale-after", "300ms")
            .start()
    };
    let others = [hasty(), hasty()];
    let beat = "select lease_heartbeat_at::text from leasectl.job_status where id::text = $1";
    for _ in 0..4 {
        let before: Option<String> = stage.sql().one(beat, &[&job]);
        wait_until(PATIENCE, "the next heartbeat", || {
            (stage.sql().one::<Option<String>>(beat, &[&job]) != before).then_some(())
        });
        assert_eq!(stage.lease(&job).as_ref(), Some(&lease));
    }

    remote.set_bytes_per_second(None);
    let ended = stage.wait_for_end(&job);
    assert_eq!(ended["attempt"], 1, "{ended:#}");
    assert_eq!(ended["attempts"][0]["owner"], first.owner());
    assert_eq!(
        stage.json(&["status"])["workers"].as_array().unwrap().len(),
        1 + others.len()
    );
    stage.whole_history().check_all_ended();
}
