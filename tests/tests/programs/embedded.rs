//! Without a DATABASE_URL: the embedded database is started, shared and stopped.

use std::path::PathBuf;

use leasectl_tests::{PATIENCE, Remote, Stage, Worker, processes_naming, wait_until};
use serde_json::json;

/// Everything that still runs for a stage, a database server included.
fn left(stage: &Stage) -> Vec<String> {
    processes_naming(stage.folder())
}

/// Expects that the last one has stopped the database.
#[track_caller]
fn assert_stopped(stage: &Stage) {
    wait_until(PATIENCE, "everything to be stopped", || {
        left(stage).is_empty().then_some(())
    });
    stage.run(&["status"]).expect_code(4);
}

fn embedded_worker(stage: &Stage) -> Worker {
    stage.worker().env("LEASECTL_EMBEDDED", "1").start()
}

#[test]
fn looking_never_starts_a_database() {
    let stage = Stage::without_database();
    for words in [&["status"][..], &["status", "--json"], &["doctor"]] {
        let finished = stage.run(words).expect_code(4);
        let said = finished.stdout + &finished.stderr;
        assert!(said.contains("no database is running"), "{said}");
        assert!(!stage.data_dir().join("postgres").exists(), "{words:?}");
    }
    assert_eq!(left(&stage), [""; 0]);
}

#[test]
fn the_daemon_and_the_service_refuse_it_unless_they_are_told() {
    let stage = Stage::without_database();
    for words in [&["run"][..], &["run", "--concurrency", "fetch=1"]] {
        let refused = stage.run(words).expect_code(2);
        assert!(
            refused.stderr.contains("DATABASE_URL"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains("--embedded"), "{}", refused.stderr);
    }
    assert!(!stage.data_dir().join("postgres").exists());
}

#[test]
fn commands_start_it_and_the_last_one_stops_it() {
    let stage = Stage::without_database();
    let repo = stage.register("https://example.com/acme/app");
    assert_stopped(&stage);
    let job = stage.json(&["enqueue", "fetch", &repo]);
    assert_stopped(&stage);

    let jobs = stage.json(&["job", "list"]);
    assert_eq!(
        jobs["items"][0]["id"], job["job_id"],
        "what was accepted is still there"
    );
    assert_eq!(jobs["items"][0]["state"], "queued");
    assert_stopped(&stage);
    assert!(stage.data_dir().join("postgres").is_dir());
}

#[test]
fn several_processes_share_it_and_it_outlives_each_of_them() {
    let stage = Stage::without_database();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let url = remote.url("acme/app");
    let mut first = embedded_worker(&stage);
    let mut second = embedded_worker(&stage);
    let api = stage.api().env("LEASECTL_EMBEDDED", "1").start();

    let done = stage.json(&["enqueue", "fetch", &url, "--wait"]);
    assert_eq!(done["state"], "completed");
    let status = stage.json(&["status"]);
    assert_eq!(status["workers"].as_array().unwrap().len(), 2, "{status:#}");

    // The one that started the server goes, the hard way; the others go on.
    first.kill();
    let done = stage.json(&["enqueue", "fetch", &url, "--wait"]);
    assert_eq!(done["attempts"][0]["owner"], second.owner());
    let job = done["id"].as_str().unwrap();
    assert_eq!(
        api.get(&format!("/v1/jobs/{job}")).expect(200)["state"],
        "completed"
    );
    drop(api);
    stage.run(&["status"]).ok();
    second.terminate();
    assert_eq!(second.wait(), 0, "{}", second.log());
    assert_stopped(&stage);
}

#[test]
fn a_server_that_a_killed_process_left_behind_is_adopted_and_stopped() {
    let stage = Stage::without_database();
    let mut worker = embedded_worker(&stage);
    worker.kill();
    assert!(!left(&stage).is_empty(), "nobody was there to stop it");

    assert_eq!(stage.json(&["repo", "list"])["items"], json!([]));
    assert_stopped(&stage);
}

#[test]
fn processes_that_start_at_the_same_time_make_one_database() {
    let stage = Stage::without_database();
    let logs: Vec<PathBuf> = (0..4)
        .map(|n| stage.folder().join(format!("add-{n}.log")))
        .collect();
    let mut running: Vec<_> = logs
        .iter()
        .enumerate()
        .map(|(n, log)| {
            let url = format!("https://example.com/acme/r{n}");
            stage.command(["repo", "add", &url]).start(log)
        })
        .collect();
    for process in &mut running {
        assert_eq!(process.wait(PATIENCE), 0, "{}", process.log());
    }
    let repos = stage.json(&["repo", "list"]);
    assert_eq!(repos["items"].as_array().unwrap().len(), 4, "{repos:#}");
    assert_stopped(&stage);
}

#[test]
fn a_worker_goes_on_when_its_embedded_server_was_killed() {
    let stage = Stage::without_database();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let worker = embedded_worker(&stage);
    let pid_file = stage.data_dir().join("postgres/data/postmaster.pid");
    let before = std::fs::read_to_string(&pid_file).unwrap();
    let pid: i32 = before.lines().next().unwrap().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();

    wait_until(PATIENCE, "the server to be started again", || {
        let now = std::fs::read_to_string(&pid_file).ok()?;
        (now != before && now.contains("ready")).then_some(())
    });
    let done = stage.json(&["enqueue", "fetch", &remote.url("acme/app"), "--wait"]);
    assert_eq!(done["attempts"][0]["owner"], worker.owner(), "{done:#}");
}
