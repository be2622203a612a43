//! What an index follows from, and what follows from an index.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use leasectl_tests::{Origin, Remote, Stage};
use serde_json::{Value, json};

/// The jobs of a kind, oldest first, once all jobs have ended.
fn ended(stage: &Stage, repo: &str, kind: &str) -> Vec<Value> {
    stage.wait_until_idle();
    let list = stage.json(&["job", "list", "--repo", repo, "--kind", kind]);
    let jobs = list["items"].as_array().unwrap().iter().rev();
    jobs.cloned().collect()
}

/// How many files the index shows of a ref.
fn files(stage: &Stage, repo: &str, reference: &str) -> i64 {
    let count = "select count(*) from leasectl.index_files where repo_id::text = $1 and ref = $2";
    stage.sql().one(count, &[&repo, &reference])
}

#[test]
fn a_fetch_has_the_default_branch_indexed_whenever_it_moved_and_only_then() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let first = origin.commit("main", "first.rs", b"pub fn first() {}\n");
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    let indexed = |count: usize, reference: &str, commit: &str| {
        stage.fetch(&repo);
        let jobs = ended(&stage, &repo, "index");
        assert_eq!(jobs.len(), count, "{jobs:#?}");
        let last = jobs.last().unwrap();
        assert_eq!(
            (&last["state"], &last["args"]),
            (&json!("completed"), &json!({}))
        );
        assert_eq!(last["result"]["ref"], reference, "{last:#}");
        assert_eq!(last["result"]["commit"], commit, "{last:#}");
        last["result"]["blobs_indexed"].clone()
    };

    indexed(1, "main", &first);
    indexed(1, "main", &first);
    let topic = origin.commit("topic", "topic.rs", b"pub fn topic() {}\n");
    indexed(1, "main", &first);
    let next = origin.commit("main", "next.rs", b"pub fn next() {}\n");
    assert_eq!(indexed(2, "main", &next), 1, "only what is new is read");
    origin.set_default_branch("topic");
    indexed(3, "topic", &topic);
    // Back where it was: it moved, and costs nothing.
    origin.set_ref("refs/heads/topic", &next);
    assert_eq!(indexed(4, "topic", &next), 0);
    let answer = stage.json(&["search", &repo, "fn next"]);
    assert_eq!(answer["items"][0]["ref"], "topic", "{answer:#}");
}

#[test]
fn the_index_that_follows_from_a_fetch_waits_for_no_poll() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let repo = stage.register(&remote.url("acme/app"));
    let job = stage.enqueue_fetch(&repo);
    // It looks once, when it starts, and then nobody would in the time that this test has.
    let _worker = stage.worker().flag("--poll-interval", "10m").start();
    assert_eq!(stage.wait_for_end(&job)["state"], "completed");
    assert_eq!(ended(&stage, &repo, "index")[0]["state"], "completed");
}

#[test]
fn an_index_that_follows_is_left_for_a_worker_that_indexes() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let repo = stage.register(&remote.url("acme/app"));
    let fetches = stage.worker().flag("--concurrency", "index=0").start();
    stage.fetch(&repo);
    let asked = stage.json(&["enqueue", "index", &repo]);
    assert_eq!(asked["deduplicated"], true, "it is the same job: {asked}");
    assert_eq!(asked["state"], "queued");
    drop(fetches);
    let _worker = stage.worker().start();
    let job = stage.wait_for_end(asked["job_id"].as_str().unwrap());
    assert_eq!(job["state"], "completed", "{job:#}");
}

#[test]
fn a_ref_that_nobody_has_ends_the_job_and_shows_nothing() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    let run = stage.run(&[
        "enqueue", "index", &repo, "--arg", "ref=nope", "--wait", "--json",
    ]);
    let job = run.expect_code(5).json();
    assert_eq!(job["last_error"]["code"], "ref_not_found", "{job}");
    assert_eq!(files(&stage, &repo, "nope"), 0);
    // What was recorded of the remote may be old: a fetch looks, finds a default branch, and that is the end of it.
    assert_eq!(ended(&stage, &repo, "fetch").len(), 1);
    let indexes = ended(&stage, &repo, "index");
    assert_eq!(indexes.len(), 2, "{indexes:#?}");
    assert_eq!(indexes[1]["result"]["ref"], "main");
    let run = stage.run(&["enqueue", "index", &repo, "--arg", "ref=--upload-pack=x"]);
    run.expect_code(2);
}

#[test]
fn an_empty_repository_is_fetched_once_for_an_index_that_finds_nothing() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = Origin::create(&remote.folder("acme/empty"));
    let repo = stage.register(&remote.url("acme/empty"));
    let _worker = stage.worker().start();
    let run = stage.run(&["enqueue", "index", &repo, "--wait", "--json"]);
    let job = run.expect_code(5).json();
    assert_eq!(job["last_error"]["code"], "ref_not_found", "{job}");
    assert_eq!(ended(&stage, &repo, "fetch").len(), 1);
    assert_eq!(ended(&stage, &repo, "index").len(), 1);
}

#[test]
fn a_branch_that_is_gone_is_gone_from_the_index_after_the_next_fetch() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    origin.commit("topic", "topic.rs", b"pub fn topic() {}\n");
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.fetch(&repo);
    let topic = ["enqueue", "index", &repo, "--arg", "ref=topic", "--wait"];
    stage.run(&topic).ok();
    stage.wait_until_idle();
    assert_eq!(files(&stage, &repo, "topic"), 1);
    assert_eq!(files(&stage, &repo, "main"), 1);

    origin.delete_branch("topic");
    stage.fetch(&repo);

    assert_eq!(files(&stage, &repo, "topic"), 0);
    assert_eq!(files(&stage, &repo, "main"), 1);
    let search = ["search", &repo, "topic", "--ref", "topic"];
    stage.run(&search).expect_code(3);
}
