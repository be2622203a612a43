//! What a worker finds out of changes, and what it does when something comes in between.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use leasectl_tests::{Origin, PATIENCE, Remote, Stage, wait_until};
use serde_json::{Value, json};

mod test_merges;

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
