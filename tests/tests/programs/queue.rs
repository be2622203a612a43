//! Order and fate of queued jobs: concurrency, lanes, priority, delay, deduplication, cancelling,
//! running again.

use leasectl_tests::{Fault, PATIENCE, Remote, Stage, assert_error, wait_until};
use serde_json::{Value, json};

#[test]
fn no_more_jobs_run_at_once_than_the_concurrency_allows() {
    let stage = Stage::new();
    let remote = Remote::start();
    let mut jobs = Vec::new();
    for name in ["acme/one", "acme/two", "acme/three"] {
        let _origin = remote.heavy_repository(name, 200_000);
        jobs.push(stage.enqueue_fetch(&remote.url(name)));
    }
    remote.set_bytes_per_second(Some(20_000));
    let _worker = stage.worker().flag("--concurrency", "fetch=2").start();

    wait_until(PATIENCE, "two jobs at once", || {
        (jobs
            .iter()
            .filter(|job| stage.state(job) == "running")
            .count()
            == 2)
            .then_some(())
    });
    // Two slots are taken; the third is left alone for as long as they are.
    for job in &jobs {
        if stage.state(job) == "running" {
            stage.wait_for_progress(job);
        }
    }
    assert_eq!(
        jobs.iter()
            .filter(|job| stage.state(job) == "queued")
            .count(),
        1
    );
    let status = stage.json(&["status"]);
    assert_eq!(status["leases"].as_array().unwrap().len(), 2, "{status:#}");

    remote.set_bytes_per_second(None);
    for job in &jobs {
        assert_eq!(stage.wait_for_end(job)["state"], "completed");
    }
    stage.whole_history().check_all_ended();
}

#[test]
fn one_repository_is_fetched_by_one_job_at_a_time() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 200_000);
    let repo = stage.register(&remote.url("acme/app"));
    remote.set_bytes_per_second(Some(20_000));
    let _worker = stage.worker().start();
    let first = stage.enqueue_fetch(&repo);
    stage.wait_for_lease(&first);

    let second = stage.json(&["enqueue", "fetch", &repo]);
    assert_eq!(
        (&second["state"], &second["deduplicated"]),
        (&json!("waiting"), &json!(false))
    );
    let third = stage.json(&["enqueue", "fetch", &repo]);
    assert_eq!(third["deduplicated"], true, "one runs and one waits");
    assert_eq!(third["job_id"], second["job_id"]);
    assert_eq!(stage.state(&first), "running");

    remote.set_bytes_per_second(None);
    let second = stage.wait_for_end(second["job_id"].as_str().unwrap());
    assert_eq!(second["state"], "completed");
    stage.whole_history().check_all_ended();
    assert_eq!(
        stage.history().len(),
        3,
        "the index of what the first found"
    );
}

#[test]
fn jobs_of_higher_priority_are_claimed_first() {
    let stage = Stage::new();
    let remote = Remote::start();
    let mut jobs = Vec::new();
    for (name, priority) in [
        ("a/low", "-5"),
        ("a/none", "0"),
        ("a/high", "70"),
        ("a/some", "3"),
    ] {
        let _origin = remote.repository(name);
        let url = remote.url(name);
        let job = stage
            .run(&["enqueue", "fetch", &url, "--priority", priority])
            .ok()
            .line();
        jobs.push((priority, job));
    }
    let _worker = stage.worker().flag("--concurrency", "fetch=1").start();

    let mut started: Vec<(String, &str)> = jobs
        .iter()
        .map(|(priority, job)| {
            let ended = stage.wait_for_end(job);
            (ended["started_at"].as_str().unwrap().to_owned(), *priority)
        })
        .collect();
    started.sort();

    let order: Vec<&str> = started.iter().map(|(_, priority)| *priority).collect();
    assert_eq!(order, ["70", "3", "0", "-5"]);
}

#[test]
fn a_delayed_job_starts_when_it_is_due_and_does_not_hold_up_its_lane() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    let delayed = stage.json(&[
        "enqueue",
        "fetch",
        &repo,
        "--in",
        "2s",
        "--arg",
        "refspecs=+refs/heads/*:refs/heads/*",
    ]);
    assert_eq!(delayed["state"], "queued");

    let prompt = stage.fetch(&repo);
    let delayed = stage.wait_for_end(delayed["job_id"].as_str().unwrap());

    assert_eq!(delayed["state"], "completed");
    assert!(
        prompt["finished_at"].as_str() < delayed["started_at"].as_str(),
        "{delayed:#}"
    );
    assert!(
        delayed["started_at"].as_str() >= delayed["not_before"].as_str(),
        "{delayed:#}"
    );
}

#[test]
fn an_equal_job_that_was_never_claimed_is_returned_again() {
    let stage = Stage::new();
    let repo = stage.register("https://example.com/acme/app.git");
    let first = stage.json(&["enqueue", "fetch", &repo, "--in", "1h"]);
    let second = stage.json(&["enqueue", "fetch", "acme/app", "--priority", "9"]);

    assert_eq!(first["deduplicated"], false);
    assert_eq!(second["deduplicated"], true);
    assert_eq!(first["job_id"], second["job_id"]);
    let job = stage.job(first["job_id"].as_str().unwrap());
    assert_eq!(job["priority"], 9, "the higher priority wins");
    assert_eq!(job["not_before"], Value::Null, "the earlier time wins");
    let other = stage.json(&[
        "enqueue",
        "fetch",
        &repo,
        "--arg",
        "refspecs=+refs/tags/*:refs/tags/*",
    ]);
    assert_eq!(
        other["deduplicated"], false,
        "other arguments are another job"
    );
}

#[test]
fn a_queued_job_is_cancelled_at_once_and_can_be_run_again() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let job = stage.enqueue_fetch(&remote.url("acme/app"));

    stage.run(&["job", "cancel", &job]).ok();
    assert_eq!(stage.job(&job)["state"], "cancelled");
    stage.run(&["job", "cancel", &job]).expect_code(1);

    stage.run(&["job", "retry", &job]).ok();
    assert_eq!(stage.job(&job)["state"], "queued");
    stage.run(&["job", "retry", &job]).expect_code(1);
    let _worker = stage.worker().start();
    assert_eq!(stage.wait_for_end(&job)["state"], "completed");
    stage.run(&["job", "retry", &job]).ok();
    let again = stage.wait_for_end(&job);
    assert_eq!(again["state"], "completed", "{again:#}");
    assert_eq!(again["attempts"].as_array().unwrap().len(), 2, "{again:#}");
    stage.whole_history().check_all_ended();
}

#[test]
fn a_running_job_that_is_cancelled_stops_and_leaves_nothing_half_made() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 400_000);
    remote.set_bytes_per_second(Some(20_000));
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_progress(&job);

    stage.run(&["job", "cancel", &job]).ok();
    let ended = stage.wait_for_end(&job);

    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert_eq!(ended["attempts"][0]["outcome"], "cancelled", "{ended:#}");
    wait_until(PATIENCE, "the half-made clone to be gone", || {
        let entries = std::fs::read_dir(stage.repos_dir().join(&repo)).ok()?;
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left: Vec<_> = names
            .filter(|name| name.starts_with("new-") || name == "clone.git")
            .collect();
        left.is_empty().then_some(())
    });
    remote.set_bytes_per_second(None);
    stage.fetch(&repo);
}

#[test]
fn a_failed_attempt_is_repeated_after_a_while_and_keeps_its_error() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    remote.set_fault(Fault::Status(503));
    let _worker = stage.worker().start();
    let job = stage.enqueue_fetch(&remote.url("acme/app"));

    let waiting = wait_until(PATIENCE, "the first attempt to fail", || {
        let job = stage.job(&job);
        (job["state"] == "queued" && job["attempt"] == 1).then_some(job)
    });
    assert_error(&waiting["last_error"], "repo_unavailable");
    assert_eq!(waiting["last_error"]["retryable"], true);
    assert!(waiting["not_before"].is_string(), "{waiting:#}");
    assert_eq!(waiting["attempts"][0]["outcome"], "failed");

    remote.set_fault(Fault::None);
    let done = stage.wait_for_end(&job);
    assert_eq!(done["state"], "completed", "{done:#}");
    assert!(done["attempt"].as_i64() >= Some(2), "{done:#}");
    assert!(
        done["started_at"].as_str() >= waiting["not_before"].as_str(),
        "{done:#}"
    );
    stage.whole_history().check_all_ended();
}

#[test]
fn a_repository_is_fetched_unasked_as_often_as_it_was_registered_to_be() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let url = remote.url("acme/app");
    let repo = stage.json(&["repo", "add", &url, "--fetch-every", "1s"]);
    let _worker = stage.worker().start();
    let head = origin.commit("main", "more.txt", b"more");

    wait_until(PATIENCE, "the unasked fetch", || {
        let shown = stage.json(&["repo", "show", repo["id"].as_str()?]);
        (shown["head"] == head.as_str()).then_some(())
    });
    let next = origin.commit("main", "even-more.txt", b"even more");
    wait_until(PATIENCE, "the next one", || {
        let shown = stage.json(&["repo", "show", repo["id"].as_str()?]);
        (shown["head"] == next.as_str()).then_some(())
    });
    stage.history().check();
}
