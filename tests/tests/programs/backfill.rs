//! What a worker finds out of changes, and what it does when something comes in between.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use leasectl_tests::{Origin, PATIENCE, Remote, Stage, wait_until};
use serde_json::{Value, json};

/// A repository with a line of commits and open changes 1 to `count`, each with one file of its own.
fn with_changes(remote: &Remote, count: usize) -> Origin {
    let origin = remote.repository("acme/app");
    let base = origin.commit("main", "src/lib.rs", b"pub fn lib() {}\n");
    for number in 1..=count {
        propose(&origin, number, &base);
    }
    origin
}

/// Proposes a change with one commit on top of `base`, and has no branch lead to it.
fn propose(origin: &Origin, number: usize, base: &str) -> String {
    origin.set_ref("refs/heads/proposal", base);
    let content = format!("pub fn of_{number}() {{}}\n");
    let head = origin.commit(
        "proposal",
        &format!("src/of_{number}.rs"),
        content.as_bytes(),
    );
    origin.set_ref(&format!("refs/pull/{number}/head"), &head);
    origin.delete_branch("proposal");
    head
}

/// Runs a pass in that mode to its end, and all jobs that follow; the job.
fn backfill(stage: &Stage, repo: &str, mode: &str) -> Value {
    let job = stage.json(&["backfill", repo, "--mode", mode, "--wait"]);
    assert_eq!(job["state"], "completed", "{job:#}");
    stage.wait_until_idle();
    job
}

fn changes(stage: &Stage, repo: &str, flags: &[&str]) -> Vec<Value> {
    let mut args = vec!["changes", repo];
    args.extend(flags);
    let list = stage.json(&args);
    list["items"].as_array().unwrap().clone()
}

fn backfills(stage: &Stage, repo: &str) -> Vec<Value> {
    let list = stage.json(&["job", "list", "--repo", repo, "--kind", "backfill"]);
    list["items"].as_array().unwrap().clone()
}

#[test]
fn the_changes_of_a_repository_are_known_after_a_backfill_and_follow_every_fetch() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = with_changes(&remote, 3);
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    let job = backfill(&stage, &repo, "open_only");
    assert_eq!(
        job["result"]["exhausted"], false,
        "nobody had fetched it: {job:#}"
    );

    let found = changes(&stage, &repo, &[]);
    let numbers: Vec<_> = found.iter().map(|change| &change["number"]).collect();
    assert_eq!(numbers, [3, 2, 1], "{found:#?}");
    for change in &found {
        assert_eq!(
            (&change["open"], &change["freshness"]),
            (&json!(true), &json!("current"))
        );
        assert_eq!(
            (
                &change["commits"],
                &change["files_changed"],
                &change["additions"]
            ),
            (&json!(1), &json!(1), &json!(1))
        );
    }
    let one = stage.json(&["changes", &repo, "--number", "2"]);
    assert_eq!(one["ref"], "refs/pull/2/head");
    assert_eq!(one["files"][0]["path"], "src/of_2.rs");
    assert_eq!(one["files"][0]["status"], "added");
    assert_eq!(
        one["hunks"][0],
        json!({"path": "src/of_2.rs", "old_start": 0, "old_lines": 0, "new_start": 1, "new_lines": 1})
    );
    assert_eq!(one["commit_list"][0]["summary"], "Change src/of_2.rs");

    // One is merged, one is pushed again, one is new: the next fetch has them all studied.
    let merged = origin.git(&["rev-parse", "refs/pull/1/head"]);
    origin.set_ref("refs/heads/main", merged.trim());
    let moved = propose(&origin, 2, merged.trim());
    propose(&origin, 4, merged.trim());
    stage.fetch(&repo);
    stage.wait_until_idle();
    let open: Vec<_> = changes(&stage, &repo, &["--open"])
        .iter()
        .map(|change| change["number"].clone())
        .collect();
    assert_eq!(open, [4, 3, 2]);
    let merged = changes(&stage, &repo, &["--closed"]);
    assert_eq!(merged[0]["number"], 1, "{merged:#?}");
    let again = stage.json(&["changes", &repo, "--number", "2"]);
    assert_eq!(
        (&again["head"], &again["freshness"]),
        (&json!(moved), &json!("current"))
    );

    // A ref that is gone takes what is known of it along, and a fetch that finds nothing new has nothing follow.
    origin.git(&["update-ref", "-d", "refs/pull/3/head"]);
    stage.fetch(&repo);
    stage.wait_until_idle();
    assert_eq!(changes(&stage, &repo, &[]).len(), 3);
    let before = backfills(&stage, &repo).len();
    stage.fetch(&repo);
    stage.wait_until_idle();
    assert_eq!(backfills(&stage, &repo).len(), before);
}

#[test]
fn a_small_budget_only_means_more_jobs() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = with_changes(&remote, 12);
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.fetch(&repo);
    let args = json!({"mode": "open_only", "max_changes": 5}).to_string();
    let run = stage.run(&[
        "enqueue", "backfill", &repo, "--args", &args, "--wait", "--json",
    ]);
    let job = run.ok().json();
    assert_eq!(job["result"]["exhausted"], false, "{job:#}");
    assert_eq!(job["result"]["cursor"], "pull:5", "{job:#}");
    stage.wait_until_idle();
    let jobs = backfills(&stage, &repo);
    assert_eq!(jobs.len(), 3, "{jobs:#?}");
    let current = changes(&stage, &repo, &["--open"]);
    assert_eq!(current.len(), 12);
    assert!(
        current
            .iter()
            .all(|change| change["freshness"] == "current")
    );
}

#[test]
fn a_backfill_that_is_killed_again_and_again_misses_nothing_and_doubles_nothing() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = with_changes(&remote, 300);
    let repo = stage.register(&remote.url("acme/app"));
    let fetcher = stage.worker().flag("--concurrency", "backfill=0").start();
    stage.fetch(&repo);
    drop(fetcher);
    let pass = stage.json(&["backfill", &repo, "--mode", "open_only"]);
    let id = pass["job_id"].as_str().unwrap();
    let studied = "select count(*) from leasectl.changes where freshness is not null";
    let mut seen = 0_i64;
    for _ in 0..3 {
        let mut worker = stage.worker().start();
        wait_until(PATIENCE, "more changes to be known", || {
            let now: i64 = stage.sql().one(studied, &[]);
            (now > seen || stage.state(id) == "completed").then_some(())
        });
        worker.kill();
        seen = stage.sql().one(studied, &[]);
    }
    let _worker = stage.worker().start();
    stage.wait_for_end(id);
    stage.wait_until_idle();
    let current = "select count(*) from leasectl.changes where freshness = 'current'";
    assert_eq!(stage.sql().one::<i64>(current, &[]), 300);
    let files = "select count(*) from leasectl.change_files";
    assert_eq!(stage.sql().one::<i64>(files, &[]), 300);
    // What was known stayed as it was: it was not studied again.
    let again = "select count(*) from leasectl.changes where studied_at <> checked_at";
    assert_eq!(stage.sql().one::<i64>(again, &[]), 0);
}

#[test]
fn the_whole_history_is_that_of_git_log() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = with_changes(&remote, 2);
    let _commits = origin.commit_many("main", 40);
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.fetch(&repo);
    let job = backfill(&stage, &repo, "full_history");
    let log = origin.git(&["rev-list", "main"]);
    let mut expected: Vec<_> = log.lines().collect();
    expected.sort_unstable();
    assert_eq!(job["result"]["commits"], expected.len(), "{job:#}");
    let rows = stage
        .sql()
        .rows("select commit from leasectl.commits order by 1", &[]);
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, expected);
    // A branch that was rewritten has another history.
    let short = origin.git(&["rev-parse", "main~10"]);
    origin.set_ref("refs/heads/main", short.trim());
    stage.fetch(&repo);
    stage.wait_until_idle();
    let left: i64 = stage
        .sql()
        .one("select count(*) from leasectl.commits", &[]);
    assert_eq!(left, 32);
}

#[test]
fn a_mode_is_kept_until_another_word_and_an_unknown_one_is_refused() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = with_changes(&remote, 1);
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.fetch(&repo);
    stage.wait_until_idle();
    assert_eq!(backfills(&stage, &repo).len(), 0, "nobody asked for any");
    backfill(&stage, &repo, "open_only");
    let off = stage.json(&["backfill", &repo, "--mode", "off"]);
    for key in ["job_id", "state", "deduplicated"] {
        assert_eq!(off.get(key), Some(&Value::Null), "{key}");
    }
    let base = origin.find("main").unwrap();
    propose(&origin, 2, &base);
    stage.fetch(&repo);
    stage.wait_until_idle();
    assert_eq!(backfills(&stage, &repo).len(), 1);
    let states = changes(&stage, &repo, &[]);
    assert_eq!(
        states[0]["freshness"],
        Value::Null,
        "it is there and not studied"
    );
    stage
        .run(&["backfill", &repo, "--mode", "everything"])
        .expect_code(2);
    stage
        .run(&["enqueue", "backfill", &repo, "--arg", "mode=everything"])
        .expect_code(2);
    stage
        .run(&["changes", &repo, "--number", "99"])
        .expect_code(3);
    stage
        .run(&["changes", &repo, "--retry", "2"])
        .expect_code(1);
}

#[test]
fn a_default_head_that_the_remote_has_no_more_has_a_fetch_and_a_pass_follow() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = with_changes(&remote, 2);
    let repo = stage.register(&remote.url("acme/app"));
    let before = origin.find("main").unwrap();
    origin.commit("main", "src/gone.rs", b"pub fn gone() {}\n");
    let fetcher = stage.worker().flag("--concurrency", "backfill=0").start();
    backfill_later(&stage, &repo);
    stage.fetch(&repo);
    drop(fetcher);
    // The branch is rewritten, what it was is collected, and this disk has lost it too.
    origin.set_ref("refs/heads/main", &before);
    origin.commit("main", "src/new.rs", b"pub fn new() {}\n");
    origin.git(&["gc", "--quiet", "--prune=now"]);
    std::fs::remove_dir_all(stage.clone_dir(&repo)).unwrap();

    let _worker = stage.worker().start();
    let current = "select count(*) from leasectl.changes where freshness = 'current'";
    wait_until(PATIENCE, "both changes to be studied", || {
        (stage.sql().one::<i64>(current, &[]) == 2).then_some(())
    });
    assert_eq!(
        stage.json(&["changes", &repo, "--number", "1"])["base"].as_str(),
        origin.find("main").as_deref()
    );
    stage.wait_until_idle();
}

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

/// Says a mode and has a pass accepted that nobody runs yet.
fn backfill_later(stage: &Stage, repo: &str) {
    let said = stage.json(&["backfill", repo, "--mode", "open_only"]);
    assert_eq!(said["state"], "queued", "{said:#}");
}

#[test]
fn changes_that_touch_the_same_lines_are_told() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = with_changes(&remote, 1);
    let base = origin.find("main").unwrap();
    for (number, content) in [(7, "pub fn lib() { 7 }\n"), (8, "pub fn lib() { 8 }\n")] {
        origin.set_ref("refs/heads/proposal", &base);
        let head = origin.commit("proposal", "src/lib.rs", content.as_bytes());
        origin.set_ref(&format!("refs/pull/{number}/head"), &head);
        origin.delete_branch("proposal");
    }
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.fetch(&repo);
    backfill(&stage, &repo, "open_only");
    let related = changes(&stage, &repo, &["--overlaps", "7"]);
    assert_eq!(related.len(), 1, "{related:#?}");
    assert_eq!(
        (&related[0]["number"], &related[0]["paths"]),
        (&json!(8), &json!(["src/lib.rs"]))
    );
    assert_eq!(changes(&stage, &repo, &["--overlaps", "1"]).len(), 0);
}
