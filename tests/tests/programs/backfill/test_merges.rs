//! Test merges: what a forge makes of a change to try it, which tells the branch that it is against, and which
//! comes and goes without the change itself.

use leasectl_tests::{Origin, Remote, Stage};

use super::{backfill, backfills, with_changes};

/// A change against another branch than the default one, as its test merge shows; heads of both branches.
fn with_a_change_against_another_branch(remote: &Remote) -> (Origin, String, String) {
    let origin = with_changes(remote, 1);
    let default_head = origin.find("main").unwrap();
    origin.set_ref("refs/heads/release", &default_head);
    let target = origin.commit("release", "src/fix.rs", b"pub fn fix() {}\n");
    (origin, default_head, target)
}

/// What a forge makes of a change when it tries to merge it with its target.
fn test_merge(origin: &Origin, number: usize, target: &str) -> String {
    let head = format!("refs/pull/{number}/head");
    let tree = format!("{head}^{{tree}}");
    let args = ["commit-tree", &tree, "-p", target, "-p", &head, "-m", "Try"];
    let merge = origin.git(&args).trim().to_owned();
    origin.set_ref(&format!("refs/pull/{number}/merge"), &merge);
    merge
}

/// With what the first change was compared, and whether that is of today.
#[track_caller]
fn assert_first(stage: &Stage, repo: &str, base: &str, freshness: &str) {
    let change = stage.json(&["changes", repo, "--number", "1"]);
    let found = (change["base"].as_str(), change["freshness"].as_str());
    assert_eq!(found, (Some(base), Some(freshness)), "{change:#}");
}

#[test]
fn a_test_merge_that_this_disk_lacks_is_fetched_before_the_change_is_compared() {
    let stage = Stage::new();
    let remote = Remote::start();
    let (origin, _, target) = with_a_change_against_another_branch(&remote);
    let repo = stage.register(&remote.url("acme/app"));
    let older = stage.worker().flag("--concurrency", "backfill=0").start();
    stage.fetch(&repo);
    drop(older);
    // Another container sees how the forge tries to merge it, and is gone before it studies anything.
    test_merge(&origin, 1, &target);
    let other = stage.folder().join("other");
    let newer = stage
        .worker()
        .flag("--concurrency", "backfill=0")
        .env("LEASECTL_DATA_DIR", other.to_str().unwrap())
        .start();
    stage.fetch(&repo);
    drop(newer);
    assert!(other.join("repos").is_dir(), "a disk of its own");

    let _worker = stage.worker().flag("--concurrency", "fetch=0").start();
    backfill(&stage, &repo, "open_only");
    assert_first(&stage, &repo, &target, "current");
}

#[test]
fn a_change_without_the_test_merge_of_the_inventory_is_not_passed_off_as_current() {
    let stage = Stage::new();
    let remote = Remote::start();
    let (origin, default_head, target) = with_a_change_against_another_branch(&remote);
    let tried = test_merge(&origin, 1, &target);
    let repo = stage.register(&remote.url("acme/app"));
    let fetcher = stage.worker().flag("--concurrency", "backfill=0").start();
    stage.fetch(&repo);
    drop(fetcher);
    // The forge takes it back, and this disk has lost it too. No fetch has noticed.
    origin.git(&["update-ref", "-d", "refs/pull/1/merge"]);
    std::fs::remove_dir_all(stage.clone_dir(&repo)).unwrap();
    let worker = stage.worker().flag("--concurrency", "fetch=0").start();
    let pass = stage.json(&["backfill", &repo, "--mode", "open_only", "--wait"]);
    assert_eq!(pass["state"], "completed", "{pass:#}");
    assert_first(&stage, &repo, &default_head, "stale_base_moved");
    drop(worker);

    // The same one is offered again, so that a fetch finds nothing new. The pass that was to follow sees it.
    origin.set_ref("refs/pull/1/merge", &tried);
    let follows = backfills(&stage, &repo);
    let follows = follows.iter().find(|job| job["state"] == "queued");
    assert!(follows.is_some(), "no pass follows");
    let soon = "update leasectl.job set not_before = now() where state = 'scheduled'";
    stage.sql().run(soon);
    let _worker = stage.worker().start();
    stage.wait_until_idle();
    assert_first(&stage, &repo, &target, "current");
}

#[test]
fn what_was_found_with_the_last_test_merge_is_kept_while_the_next_one_is_not_to_be_had() {
    let stage = Stage::new();
    let remote = Remote::start();
    let (origin, _, target) = with_a_change_against_another_branch(&remote);
    test_merge(&origin, 1, &target);
    let repo = stage.register(&remote.url("acme/app"));
    let worker = stage.worker().start();
    stage.fetch(&repo);
    backfill(&stage, &repo, "open_only");
    assert_first(&stage, &repo, &target, "current");
    drop(worker);

    let moved = origin.commit("release", "src/later.rs", b"pub fn later() {}\n");
    test_merge(&origin, 1, &moved);
    let fetcher = stage.worker().flag("--concurrency", "backfill=0").start();
    stage.fetch(&repo);
    drop(fetcher);
    origin.git(&["update-ref", "-d", "refs/pull/1/merge"]);
    std::fs::remove_dir_all(stage.clone_dir(&repo)).unwrap();
    let _worker = stage.worker().flag("--concurrency", "fetch=0").start();
    let pass = stage.json(&["backfill", &repo, "--mode", "open_only", "--wait"]);
    assert_eq!(pass["state"], "completed", "{pass:#}");
    assert_first(&stage, &repo, &target, "stale_base_moved");
}

#[test]
fn test_merges_that_are_gone_are_asked_for_once_and_not_batch_by_batch() {
    let stage = Stage::new();
    let remote = Remote::start();
    // Two batches.
    let count = 70;
    let origin = with_changes(&remote, count);
    let base = origin.find("main").unwrap();
    for number in 1..=count {
        test_merge(&origin, number, &base);
    }
    let repo = stage.register(&remote.url("acme/app"));
    let fetcher = stage.worker().flag("--concurrency", "backfill=0").start();
    stage.fetch(&repo);
    drop(fetcher);
    for number in 1..=count {
        origin.git(&["update-ref", "-d", &format!("refs/pull/{number}/merge")]);
    }
    std::fs::remove_dir_all(stage.clone_dir(&repo)).unwrap();
    let before = remote.seen().handshakes;
    // No other job makes the clone.
    let lanes = "fetch=0,index=0";
    let worker = stage.worker().flag("--concurrency", lanes).start();
    let pass = stage.json(&["backfill", &repo, "--mode", "open_only", "--wait"]);
    assert_eq!(pass["state"], "completed", "{pass:#}");
    // The clone is made anew, whose commits are all that the remote offers.
    let handshakes = remote.seen().handshakes - before;
    assert_eq!(handshakes, 1, "{}", worker.log());
    let studied =
        "select count(*) from leasectl.changes where freshness = 'stale_base_moved' and open";
    let count = i64::try_from(count).unwrap();
    assert_eq!(stage.sql().one::<i64>(studied, &[]), count);
}
