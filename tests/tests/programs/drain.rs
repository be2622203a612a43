//! Clean shutdown: finish or hand back, and spend no attempt on it.

use leasectl_tests::{PATIENCE, Remote, Stage, processes_naming, wait_until};
use serde_json::Value;

fn slow_repository() -> (Stage, Remote, String) {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 300_000);
    remote.set_bytes_per_second(Some(20_000));
    let repo = stage.register(&remote.url("acme/app"));
    (stage, remote, repo)
}

/// Expects that neither a worker nor a Git process is left.
#[track_caller]
fn assert_nothing_runs(stage: &Stage) {
    wait_until(PATIENCE, "the worker's processes to end", || {
        processes_naming(&stage.data_dir()).is_empty().then_some(())
    });
}

#[test]
fn a_draining_worker_finishes_what_it_has_and_claims_nothing_more() {
    let (stage, remote, repo) = slow_repository();
    let _origin = remote.repository("acme/other");
    let mut worker = stage.worker().flag("--drain-timeout", "30s").start();
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_progress(&job);

    worker.terminate();
    wait_until(PATIENCE, "the worker to drain", || {
        let status = stage.json(&["status"]);
        (status["workers"][0]["state"] == "draining").then_some(())
    });
    let other = stage.enqueue_fetch(&remote.url("acme/other"));
    remote.set_bytes_per_second(None);

    assert_eq!(worker.wait(), 0, "{}", worker.log());
    let ended = stage.job(&job);
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&"completed".into(), &1.into())
    );
    assert_eq!(stage.state(&other), "queued");
    assert_eq!(
        stage.json(&["status"])["workers"],
        Value::Array(vec![]),
        "it signed off"
    );
    assert_nothing_runs(&stage);
}

#[test]
fn what_does_not_finish_in_time_is_handed_back_without_spending_an_attempt() {
    let (stage, remote, repo) = slow_repository();
    let mut first = stage.worker().flag("--drain-timeout", "200ms").start();
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_progress(&job);

    first.terminate();
    assert_eq!(first.wait(), 0, "{}", first.log());
    let back = stage.job(&job);
    assert_eq!(
        (&back["state"], &back["attempt"]),
        (&"queued".into(), &0.into()),
        "{back:#}"
    );
    assert_eq!(back["attempts"][0]["outcome"], "released", "{back:#}");
    assert_nothing_runs(&stage);

    remote.set_bytes_per_second(None);
    let _second = stage.worker().start();
    let ended = stage.wait_for_end(&job);
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&"completed".into(), &1.into())
    );
    stage.whole_history().check_all_ended();
}

#[test]
fn redeploys_do_not_use_up_a_job() {
    let (stage, remote, repo) = slow_repository();
    let job = stage.enqueue_fetch(&repo);
    // More often than a job has attempts.
    for _ in 0..6 {
        let mut worker = stage.worker().flag("--drain-timeout", "0s").start();
        wait_until(PATIENCE, "the lease", || {
            stage
                .lease(&job)
                .filter(|(owner, _)| owner == worker.owner())
        });
        worker.terminate();
        assert_eq!(worker.wait(), 0, "{}", worker.log());
    }
    remote.set_bytes_per_second(None);
    let _worker = stage.worker().start();
    let ended = stage.wait_for_end(&job);
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&"completed".into(), &1.into())
    );
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 7, "{ended:#}");
    stage.whole_history().check_all_ended();
}

#[test]
fn a_second_signal_ends_a_draining_worker_at_once() {
    let (stage, _remote, repo) = slow_repository();
    let mut worker = stage.worker().flag("--drain-timeout", "10m").start();
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_progress(&job);
    worker.terminate();
    wait_until(PATIENCE, "the worker to drain", || {
        let status = stage.json(&["status"]);
        (status["workers"][0]["state"] == "draining").then_some(())
    });
    worker.terminate();
    worker.wait();
    assert_ne!(stage.state(&job), "completed");
    assert_nothing_runs(&stage);
    stage.history().check();
}
