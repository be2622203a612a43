//! The main job on real input: a fetch is accepted, claimed, done and recorded.

use std::path::Path;

use leasectl_tests::{
    Invocation, Origin, Remote, Stage, assert_error, assert_fields, assert_job_view, assert_owner,
    worker_program,
};
use serde_json::{Value, json};

/// Branches of a repository as the projection has them: name and head.
fn projection(stage: &Stage, repo: &str) -> Vec<(String, String)> {
    stage
        .sql()
        .rows(
            "select name, head from leasectl.branch_projection \
              where repo_id::text = $1 and state = 'synced' order by name",
            &[&repo],
        )
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

#[test]
fn a_fetch_completes_and_its_branches_are_recorded() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let topic = origin.commit("topic/one", "a.txt", b"a");
    let main = origin.find("main").unwrap();
    origin.set_ref("refs/tags/v1", &main);
    origin.set_ref("refs/pull/7/head", &topic);
    origin.set_ref("refs/merge-requests/3/head", &topic);
    let repo = stage.register(&remote.url("acme/app"));
    let worker = stage.worker().start();

    let job = stage.fetch(&repo);

    assert_job_view(&job);
    let result = &job["result"];
    assert_fields(
        result,
        "recloned default_branch head refs_created refs_updated refs_deleted bytes_received",
    );
    assert_eq!(result["default_branch"], "main");
    assert_eq!(result["head"], main);
    assert_eq!(result["refs_created"], 5, "{result}");
    assert_eq!(
        (&result["refs_updated"], &result["refs_deleted"]),
        (&json!(0), &json!(0))
    );
    assert!(result["bytes_received"].as_u64().unwrap() > 100, "{result}");
    assert_eq!(job["attempt"], 1);
    assert_eq!(job["attempts"][0]["outcome"], "completed");
    assert_eq!(job["attempts"][0]["owner"], worker.owner());
    assert_eq!(assert_owner(&job["attempts"][0]["owner"]), worker.pid());
    let branches = [
        ("main".to_owned(), main.clone()),
        ("topic/one".to_owned(), topic.clone()),
    ];
    assert_eq!(projection(&stage, &repo), branches);
    let shown = stage.json(&["repo", "show", &repo]);
    assert_eq!(
        (&shown["default_branch"], &shown["head"]),
        (&json!("main"), &json!(main))
    );
    let clone = Origin::at(&stage.clone_dir(&repo));
    assert_eq!(clone.git(&["rev-parse", "refs/pull/7/head"]), topic);
    assert_eq!(
        clone.git(&["rev-parse", "refs/merge-requests/3/head"]),
        topic
    );
    assert_eq!(clone.git(&["rev-parse", "refs/tags/v1"]), main);
    clone.git(&["fsck", "--full", "--strict"]);
    stage.whole_history().check_all_ended();
}

#[test]
fn a_second_fetch_finds_nothing_new_and_downloads_nothing() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.fetch(&repo);
    let packs = remote.seen().packs;

    let result = stage.fetch(&repo)["result"].clone();

    assert_eq!(result["recloned"], Value::Null, "{result}");
    for field in ["refs_created", "refs_updated", "refs_deleted"] {
        assert_eq!(result[field], 0, "{result}");
    }
    assert_eq!(remote.seen().packs, packs, "nothing was there to send");
}

#[test]
fn a_fetch_follows_new_moved_deleted_and_default_branches() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    origin.commit("gone", "g.txt", b"g");
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.fetch(&repo);

    let main = origin.commit("main", "b.txt", b"b");
    let next = origin.commit("next", "c.txt", b"c");
    origin.delete_branch("gone");
    origin.set_default_branch("next");
    let result = stage.fetch(&repo)["result"].clone();

    assert_eq!(result["refs_created"], 1, "{result}");
    assert_eq!(result["refs_updated"], 1, "{result}");
    assert_eq!(result["refs_deleted"], 1, "{result}");
    assert_eq!(
        (&result["default_branch"], &result["head"]),
        (&json!("next"), &json!(next))
    );
    let branches = [
        ("main".to_owned(), main.clone()),
        ("next".to_owned(), next.clone()),
    ];
    assert_eq!(projection(&stage, &repo), branches);
    let clone = Origin::at(&stage.clone_dir(&repo));
    assert_eq!(clone.git(&["rev-parse", "HEAD"]), next);
    assert_eq!(clone.find("main"), Some(main));
    assert_eq!(clone.find("gone"), None);
    assert_eq!(
        stage.json(&["repo", "show", &repo])["default_branch"],
        "next"
    );
}

#[test]
fn a_rewritten_branch_is_followed_and_only_given_refspecs_are_fetched() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let first = origin.find("main").unwrap();
    let second = origin.commit("main", "b.txt", b"b");
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.fetch(&repo);

    origin.set_ref("refs/heads/main", &first);
    origin.set_ref("refs/heads/other", &second);
    let only_main = r#"{"refspecs": ["+refs/heads/main:refs/heads/main"]}"#;
    let job = stage.json(&["enqueue", "fetch", &repo, "--args", only_main, "--wait"]);

    assert_eq!(job["result"]["refs_updated"], 1, "{job:#}");
    let clone = Origin::at(&stage.clone_dir(&repo));
    assert_eq!(
        clone.find("main"),
        Some(first),
        "the branch was forced back"
    );
    assert_eq!(clone.find("other"), None, "it was not asked for");
}

#[test]
fn repo_path_gives_other_programs_a_ready_clone_or_a_worktree() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let topic = origin.commit("topic", "a.txt", b"from the topic\n");
    let url = remote.url("acme/app");

    let bare = stage.run(&["repo", "path", &url]).ok().line();
    assert_eq!(
        Origin::at(Path::new(&bare)).find("topic"),
        Some(topic.clone())
    );
    let packs = remote.seen().packs;

    let tree = stage
        .run(&["repo", "path", &url, "--ref", "topic"])
        .ok()
        .line();
    let file = std::fs::read_to_string(Path::new(&tree).join("a.txt")).expect("checked out");
    assert_eq!(file, "from the topic\n");
    assert_eq!(remote.seen().packs, packs, "the clone was there already");

    let repo = stage.json(&["repo", "list"])["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let again = stage.json(&["repo", "path", &repo]);
    assert_eq!(
        (&again["path"], &again["repo_id"]),
        (&json!(bare), &json!(repo))
    );
    let missing = stage
        .run(&["repo", "path", &url, "--ref", "no-such-branch"])
        .expect_code(3);
    assert!(
        missing.stderr.contains("no-such-branch"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_local_path_is_a_remote_where_local_remotes_are_allowed() {
    let stage = Stage::new();
    let origin = Origin::create(&stage.folder().join("origin.git"));
    let main = origin.commit("main", "a.txt", b"a");
    let path = origin.path().to_str().unwrap();
    let _worker = stage.worker().start();

    let job = stage.json(&["enqueue", "fetch", path, "--wait"]);

    assert_eq!(job["result"]["head"], main, "{job:#}");
    let refused = stage
        .command(["enqueue", "fetch", path])
        .env("LEASECTL_ALLOW_LOCAL", "0")
        .run()
        .expect_code(2);
    assert!(
        refused.stderr.contains("LEASECTL_ALLOW_LOCAL"),
        "{}",
        refused.stderr
    );
}

#[test]
fn waiting_for_a_job_ends_with_its_outcome() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let _worker = stage.worker().start();
    let url = remote.url("acme/app");

    let done = stage.run(&["enqueue", "fetch", &url, "--wait"]).ok();
    assert!(done.stdout.contains("completed"), "{}", done.stdout);
    let done = stage
        .run(&["enqueue", "fetch", &url, "--wait", "--json"])
        .ok()
        .json();
    assert_job_view(&done);
    assert_eq!(done["state"], "completed");

    let nowhere = remote.url("acme/nowhere");
    let failed = stage
        .run(&["enqueue", "fetch", &nowhere, "--wait", "--json"])
        .expect_code(5);
    let failed = failed.json();
    assert_job_view(&failed);
    assert_eq!(failed["state"], "error");
    assert_error(&failed["last_error"], "remote_not_found");
    let failed = stage
        .run(&["enqueue", "fetch", &nowhere, "--wait"])
        .expect_code(5);
    assert!(
        failed.stderr.contains("remote_not_found"),
        "{}",
        failed.stderr
    );
}

#[test]
fn a_worker_goes_on_after_an_upgrade_replaced_its_file() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let repo = stage.register(&remote.url("acme/app"));
    let program = stage.folder().join("worker");
    // Written by a process of its own: a file that this one had open to write could not be run while a child
    // that another test starts at the same time still has it open.
    let copying = Invocation::new("cp").args([&worker_program(), &program]);
    copying.run().ok();
    let worker = stage.worker_of(&program).start();
    stage.fetch(&repo);

    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, "another release").unwrap();
    let head = origin.commit("main", "more.txt", b"more");
    let job = stage.fetch(&repo);

    assert_eq!(job["result"]["head"], head);
    assert_eq!(job["attempts"][0]["owner"], worker.owner());
}
