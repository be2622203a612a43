//! What commands print for programs: the JSON of the contract.

use leasectl_tests::{
    PATIENCE, Remote, Signal, Stage, Worker, assert_fields, assert_job_view, assert_owner,
    assert_time, wait_until,
};
use serde_json::{Value, json};

#[track_caller]
fn assert_live_worker(shown: &Value, worker: &Worker) {
    assert_fields(
        shown,
        "owner hostname pid version state started_at heartbeat_at kinds leases liveness",
    );
    assert_eq!(assert_owner(&shown["owner"]), worker.pid());
    assert_eq!(shown["owner"], worker.owner());
    assert_eq!(
        (&shown["pid"], &shown["state"]),
        (&json!(worker.pid()), &json!("live"))
    );
    assert_eq!(
        (&shown["leases"], &shown["liveness"]),
        (&json!(1), &json!("heartbeat"))
    );
    assert_eq!(shown["kinds"]["fetch"], 3);
    assert_eq!(shown["version"], env!("CARGO_PKG_VERSION"));
    assert_time(&shown["started_at"]);
    assert_time(&shown["heartbeat_at"]);
}

#[track_caller]
fn assert_live_lease(shown: &Value, worker: &Worker) {
    assert_fields(
        shown,
        "job_id repo_id repo kind lane owner token attempt acquired_at heartbeat_at expires_at \
         state message progress",
    );
    assert_eq!(
        (&shown["kind"], &shown["lane"]),
        (&json!("fetch"), &json!("fetch"))
    );
    assert_eq!(
        (&shown["owner"], &shown["state"]),
        (&json!(worker.owner()), &json!("live"))
    );
    assert!(shown["token"].as_i64() > Some(0), "{shown}");
    assert_fields(&shown["progress"], "done total unit");
    for field in ["acquired_at", "heartbeat_at", "expires_at"] {
        assert_time(&shown[field]);
    }
}

#[test]
fn status_as_json_has_the_fields_of_the_contract() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 300_000);
    remote.set_bytes_per_second(Some(20_000));
    let worker = stage
        .worker()
        .flag("--concurrency", "fetch=3,index=1")
        .start();
    let job = stage.enqueue_fetch(&remote.url("acme/app"));
    stage.wait_for_progress(&job);
    let other = stage.register("https://example.com/acme/other");
    let _later = stage.json(&["enqueue", "fetch", &other, "--in", "1h"]);

    let status = stage.json(&["status"]);

    assert_fields(&status, "now workers leases queue");
    assert_time(&status["now"]);
    assert_live_worker(&status["workers"][0], &worker);
    let lease = &status["leases"][0];
    assert_live_lease(lease, &worker);
    assert_eq!(
        (&lease["job_id"], &lease["repo"]),
        (&json!(job), &json!("acme/app"))
    );
    let mut rows = status["queue"].as_array().unwrap().iter();
    let queue = rows.find(|row| row["kind"] == "fetch").unwrap();
    assert_fields(
        queue,
        "kind queued scheduled waiting running error_24h oldest_queued_at",
    );
    assert_eq!(
        (&queue["running"], &queue["scheduled"]),
        (&json!(1), &json!(1)),
        "{queue}"
    );
    assert_eq!(
        (&queue["waiting"], &queue["error_24h"]),
        (&json!(0), &json!(0)),
        "{queue}"
    );

    let of_other = stage.json(&["status", "--repo", &other]);
    assert_eq!(of_other["leases"], json!([]));
    let text = stage.run(&["status"]).ok().stdout;
    for shown in [
        worker.owner(),
        "acme/app",
        &lease["token"].to_string(),
        "live",
    ] {
        assert!(text.contains(shown), "{shown:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour outside a terminal");
}

#[test]
fn jobs_and_repositories_as_json_have_the_fields_of_the_contract() {
    let stage = Stage::new();
    let repo = stage.register("https://example.com/acme/app.git");
    let accepted = stage.json(&["enqueue", "fetch", &repo]);
    assert_fields(&accepted, "job_id state deduplicated");
    assert_eq!(
        (&accepted["state"], &accepted["deduplicated"]),
        (&json!("queued"), &json!(false))
    );
    let job = stage.job(accepted["job_id"].as_str().unwrap());
    assert_job_view(&job);
    assert_eq!(
        (&job["repo"], &job["repo_id"]),
        (&json!("acme/app"), &json!(repo))
    );
    assert_eq!(
        (&job["attempt"], &job["max_attempts"]),
        (&json!(0), &json!(5))
    );

    let jobs = stage.json(&["job", "list"]);
    assert_eq!(jobs, json!({"items": [job], "next_cursor": null}));
    let delayed = stage.json(&[
        "enqueue",
        "fetch",
        &repo,
        "--at",
        "2031-02-03T04:05:06Z",
        "--arg",
        "refspecs=+refs/tags/*:refs/tags/*",
    ]);
    let delayed = stage.job(delayed["job_id"].as_str().unwrap());
    assert_eq!(delayed["not_before"], "2031-02-03T04:05:06.000000Z");
    assert_eq!(
        delayed["args"],
        json!({"refspecs": ["+refs/tags/*:refs/tags/*"]})
    );
    let page = stage.json(&["job", "list", "--limit", "1"]);
    assert_eq!(page["items"], json!([delayed]), "the newest first");
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = stage.json(&["job", "list", "--limit", "1", "--cursor", cursor]);
    assert_eq!(page, json!({"items": [job], "next_cursor": null}));
    for (filter, value, items) in [
        ("--kind", "fetch", 2),
        ("--kind", "index", 0),
        ("--state", "error", 0),
        ("--repo", &repo, 2),
    ] {
        let page = stage.json(&["job", "list", filter, value]);
        assert_eq!(
            page["items"].as_array().unwrap().len(),
            items,
            "{filter} {value}"
        );
    }

    let repos = stage.json(&["repo", "list"]);
    assert_fields(
        &repos["items"][0],
        "id name git_url default_branch head created_at",
    );
    assert_eq!(repos["next_cursor"], Value::Null);
    assert_eq!(
        repos["items"][0]["git_url"],
        "https://example.com/acme/app.git"
    );
}

#[test]
fn repositories_are_registered_named_and_removed() {
    let stage = Stage::new();
    let added = stage.json(&["repo", "add", "git@example.com:group/sub/app.git"]);
    assert_eq!(added["name"], "group~sub/app");
    let again = stage.json(&["repo", "add", "git@example.com:group/sub/app.git"]);
    assert_eq!(
        again["id"], added["id"],
        "the same remote is the same repository"
    );
    let named = stage.json(&[
        "repo",
        "add",
        "https://example.org/x/y",
        "--name",
        "team/tool",
        "--fetch-every",
        "6h",
    ]);
    assert_eq!(named["name"], "team/tool");
    let taken = stage
        .run(&[
            "repo",
            "add",
            "https://example.net/a/b",
            "--name",
            "team/tool",
        ])
        .expect_code(1);
    assert!(taken.stderr.contains("team/tool"), "{}", taken.stderr);

    let job = stage.enqueue_fetch("team/tool");
    stage.run(&["repo", "remove", "team/tool"]).ok();
    stage.run(&["repo", "show", "team/tool"]).expect_code(3);
    assert_eq!(
        stage.json(&["repo", "list"])["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let left = "select count(*) from leasectl.job where id::text = $1";
    assert_eq!(
        stage.sql().one::<i64>(left, &[&job]),
        0,
        "its queued jobs are gone"
    );
}

#[test]
fn status_can_be_watched() {
    let stage = Stage::new();
    let log = stage.folder().join("watch.log");
    let watch = stage
        .command(["status", "--watch", "--json"])
        .args(["--interval", "50ms"]);
    let mut watch = watch.start(&log);
    let lines = wait_until(PATIENCE, "three looks", || {
        let lines: Vec<Value> = watch.log().lines().flat_map(serde_json::from_str).collect();
        (lines.len() >= 3).then_some(lines)
    });
    assert!(lines[0]["now"].as_str() < lines[2]["now"].as_str());
    watch.signal(Signal::INT);
    assert_eq!(
        watch.wait(PATIENCE),
        130,
        "Ctrl-C ends it, as shells have it"
    );
}
