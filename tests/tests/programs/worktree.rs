//! `worker index` and `worker search` on worktrees: what is not committed is found, and only that costs.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use leasectl_tests::{Held, Origin, PATIENCE, Remote, Running, Signal, Stage, assert_fields};
use serde_json::{Value, json};

/// A repository that is served and was indexed, and a clone of it.
struct Scene {
    stage: Stage,
    remote: Remote,
    repo: String,
    head: String,
}

const FIELDS: &str = "ref commit blobs_total blobs_indexed blobs_reused files symbols bytes no_op";

impl Scene {
    fn new() -> Self {
        let stage = Stage::new();
        let remote = Remote::start();
        let origin = remote.repository("acme/app");
        origin.commit("main", "src/lib.rs", b"pub mod shape;\npub fn area() {}\n");
        let head = origin.commit("main", "src/shape.rs", b"pub struct Circle;\n");
        let repo = stage.register(&remote.url("acme/app"));
        let worker = stage.worker().start();
        let job = stage.json(&["enqueue", "index", &repo, "--wait"]);
        assert_eq!(job["state"], "completed", "{job}");
        drop(worker);
        Self {
            stage,
            remote,
            repo,
            head,
        }
    }

    /// A clone with a worktree, whose remote is the one that is registered.
    fn clone(&self, name: &str) -> PathBuf {
        let folder = self.remote.folder("acme/app");
        let work = self.stage.folder().join(name);
        let origin = Origin::at(&folder);
        origin.git(&["clone", "-q", ".", work.to_str().unwrap()]);
        let url = self.remote.url("acme/app");
        Origin::at(&work).git(&["remote", "set-url", "origin", &url]);
        work
    }

    fn index(&self, work: &Path, more: &[&str]) -> Value {
        let result = self.stage.json(&[&["index", shown(work)], more].concat());
        assert_fields(&result, FIELDS);
        result
    }

    /// The places where something is found.
    fn found(&self, args: &[&str]) -> Vec<String> {
        let answer = self.stage.json(&[&["search"], args].concat());
        let items = answer["items"].as_array().unwrap();
        let place = |hit: &Value| format!("{}:{}", hit["path"].as_str().unwrap(), hit["line"]);
        items.iter().map(place).collect()
    }
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn write(work: &Path, file: &str, text: &str) {
    let path = work.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_fresh_worktree_of_an_indexed_repository_costs_nothing() {
    let scene = Scene::new();
    let work = scene.clone("work");
    let linked = scene.stage.folder().join("linked");
    Origin::at(&work).git(&["worktree", "add", "-q", "-b", "topic", shown(&linked)]);
    let mut refs = Vec::new();
    for worktree in [&work, &linked] {
        let result = scene.index(worktree, &[]);
        assert_eq!(result["commit"], json!(scene.head), "{result}");
        assert_eq!(
            (&result["no_op"], &result["blobs_indexed"], &result["files"]),
            (&json!(true), &json!(0), &json!(3)),
            "{result}"
        );
        let name = result["ref"].as_str().unwrap().to_owned();
        let folder = worktree.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with(&format!("refs/worktrees/{folder}-")),
            "{name}"
        );
        refs.push(name);
    }
    refs.dedup();
    assert_eq!(refs.len(), 2);
    let repos: i64 = scene
        .stage
        .sql()
        .one("select count(*) from leasectl.repository", &[]);
    assert_eq!(repos, 1, "the remote says of which repository it is");
    let forced = scene.index(&work, &["--force"]);
    assert_eq!(
        (&forced["no_op"], &forced["blobs_indexed"]),
        (&json!(false), &json!(0))
    );
}

#[test]
fn one_uncommitted_change_costs_one_blob_and_is_found() {
    let scene = Scene::new();
    let work = scene.clone("work");
    write(&work, "src/shape.rs", "pub struct Square;\n");
    let result = scene.index(&work.join("src"), &[]);
    assert_eq!(
        (
            &result["blobs_indexed"],
            &result["blobs_reused"],
            &result["no_op"]
        ),
        (&json!(1), &json!(2), &json!(false)),
        "{result}"
    );
    assert_eq!(scene.found(&[shown(&work), "Square"]), ["src/shape.rs:1"]);
    assert_eq!(
        scene.found(&[shown(&work), "Square", "--symbol"]),
        ["src/shape.rs:1"]
    );
    assert_eq!(scene.found(&[shown(&work), "Circle"]), [""; 0]);
    assert_eq!(scene.found(&[&scene.repo, "Circle"]), ["src/shape.rs:1"]);
    // What is committed is found by the ref alone, from any machine; the rest is said to be missing.
    let name = result["ref"].as_str().unwrap();
    assert_eq!(
        scene.found(&[&scene.repo, "area", "--ref", name]),
        ["src/lib.rs:2"]
    );
    let far = scene
        .stage
        .json(&["search", &scene.repo, "Square", "--ref", name]);
    assert_eq!((&far["items"], &far["changed"]), (&json!([]), &json!(1)));

    let again = scene.index(&work, &[]);
    assert_eq!(
        (&again["no_op"], &again["blobs_indexed"]),
        (&json!(true), &json!(0))
    );
    let imports = scene.stage.sql().rows(
        "select path, resolved_path from leasectl.index_imports where repo_id::text = $1 and ref = $2",
        &[&scene.repo, &name],
    );
    let imports: Vec<(String, String)> =
        imports.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        imports,
        [("src/lib.rs".to_owned(), "src/shape.rs".to_owned())]
    );
}

#[test]
fn what_changed_since_it_was_indexed_is_left_out_and_counted() {
    let scene = Scene::new();
    let work = scene.clone("work");
    write(&work, "notes/one.txt", "needle one\n");
    write(&work, "notes/two.txt", "needle two\n");
    scene.index(&work, &[]);
    write(&work, "notes/two.txt", "nothing\n");
    let finished = scene.stage.run(&["search", shown(&work), "needle"]).ok();
    assert_eq!(finished.line(), "notes/one.txt:1:needle one");
    assert!(
        finished.stderr.contains("1 files changed"),
        "{}",
        finished.stderr
    );
    fs::remove_dir_all(work.join("notes")).unwrap();
    assert_eq!(scene.found(&[shown(&work), "needle"]), [""; 0]);
    assert_eq!(scene.found(&[shown(&work), "area"]), ["src/lib.rs:2"]);
}

#[test]
fn what_is_ignored_or_outside_is_not_indexed() {
    let scene = Scene::new();
    let work = scene.clone("work");
    let outside = scene.stage.folder().join("outside");
    write(&outside, "secret.txt", "needle outside\n");
    write(&work, ".gitignore", "*.log\n");
    write(&work, "noise.log", "needle ignored\n");
    write(&work, "kept.txt", "needle kept\n");
    std::os::unix::fs::symlink(&outside, work.join("out")).unwrap();
    scene.index(&work, &[]);
    assert_eq!(scene.found(&[shown(&work), "needle"]), ["kept.txt:1"]);
}

#[test]
fn two_runs_at_once_both_succeed_and_the_worktree_is_found() {
    let scene = Scene::new();
    let work = scene.clone("work");
    for number in 0..200 {
        write(
            &work,
            &format!("many/file{number}.rs"),
            &format!("fn needle_{number}() {{}}\n"),
        );
    }
    let results: Vec<Value> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| scene.index(&work, &[])))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for result in &results {
        assert_eq!(
            (&result["files"], &result["ref"]),
            (&json!(203), &results[0]["ref"])
        );
    }
    assert_eq!(
        scene.found(&[shown(&work), "needle_77"]),
        ["many/file77.rs:1"]
    );
    let refs: i64 = scene.stage.sql().one(
        "select count(*) from leasectl.index_ref where ref like 'refs/worktrees/%'",
        &[],
    );
    assert_eq!(refs, 1);
}

#[test]
fn the_repository_is_the_one_that_was_named_or_the_worktrees_own() {
    let scene = Scene::new();
    let work = scene.stage.folder().join("own");
    fs::create_dir(&work).unwrap();
    let own = Origin::at(&work);
    own.git(&["init", "-q", "-b", "main"]);
    write(&work, "a.txt", "needle\n");
    // Before its first commit, and without a remote: its own path, as local paths are allowed here.
    let result = scene.index(&work, &[]);
    assert_eq!(result["commit"], json!("0".repeat(40)));
    let urls = "select git_url from leasectl.repository where git_url like '%/own'";
    assert_eq!(scene.stage.sql().rows(urls, &[]).len(), 1);
    assert_eq!(scene.found(&[shown(&work), "needle"]), ["a.txt:1"]);

    let strict = |args: &[&str]| {
        let command = scene.stage.command(args.iter().copied());
        command.env("LEASECTL_ALLOW_LOCAL", "0").run()
    };
    let linked = scene.clone("strict");
    for url in ["../app", "https://user:canary-secret@example.com/o/r"] {
        Origin::at(&linked).git(&["remote", "set-url", "origin", url]);
        let refused = strict(&["index", shown(&linked)]).expect_code(2);
        assert!(refused.stderr.contains("--repo"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    }
    strict(&["index", shown(&linked), "--repo", &scene.repo]).ok();
    assert_eq!(scene.found(&[shown(&linked), "area"]), ["src/lib.rs:2"]);
}

#[test]
fn a_worktree_can_be_forgotten() {
    let scene = Scene::new();
    let work = scene.clone("work");
    scene
        .stage
        .run(&["index", shown(&work), "--forget"])
        .expect_code(3);
    let name = scene.index(&work, &[])["ref"].clone();
    let forgotten = scene.stage.json(&["index", shown(&work), "--forget"]);
    assert_eq!(forgotten, json!({"ref": name, "forgotten": true}));
    let name = name.as_str().unwrap();
    scene
        .stage
        .run(&["search", &scene.repo, "area", "--ref", name])
        .expect_code(3);
}

#[test]
fn a_job_does_not_publish_a_worktree() {
    let scene = Scene::new();
    let work = scene.clone("work");
    let name = scene.index(&work, &[])["ref"].as_str().unwrap().to_owned();
    let _worker = scene.stage.worker().start();
    let argument = format!("ref={name}");
    let enqueue = [
        "enqueue",
        "index",
        &scene.repo,
        "--arg",
        &argument,
        "--wait",
        "--json",
    ];
    let job = scene.stage.run(&enqueue).expect_code(5).json();
    assert_eq!(job["last_error"]["code"], "invalid_argument", "{job}");
}

#[test]
fn what_is_no_worktree_is_refused() {
    let scene = Scene::new();
    let work = scene.clone("work");
    let outside = scene.stage.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    for (path, code) in [
        (work.join("no/such/folder"), 3),
        (outside, 3),
        (work.join("README.md"), 2),
        (work.join(".git"), 2),
        (work.join(".git/objects"), 2),
        (scene.remote.folder("acme/app"), 2),
    ] {
        let refused = scene.stage.run(&["index", shown(&path)]).expect_code(code);
        assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
    for args in [
        &["index"][..],
        &["index", ".", "--repo", "x"],
        &["index", "--nonsense", "."],
    ] {
        scene.stage.run(args).expect_code(2);
    }
}

#[test]
fn a_database_that_is_away_is_told() {
    let scene = Scene::new();
    let work = scene.clone("work");
    let command = scene.stage.command(["index", shown(&work)]);
    let away = "postgres://nobody@127.0.0.1:1/none";
    command.env("DATABASE_URL", away).run().expect_code(4);
}

#[test]
fn an_uncommitted_file_whose_name_is_no_text_is_found() {
    let scene = Scene::new();
    let work = scene.clone("work");
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9.txt");
    fs::write(work.join(odd), "needle\n").unwrap();
    scene.index(&work, &[]);
    let found = scene.found(&[shown(&work), "needle"]);
    assert_eq!(found, ["\"caf\\351.txt\":1"]);
}

/// A run that has looked at the worktree, and now waits for a table that somebody else holds.
fn held_up(scene: &Scene, work: &Path) -> (Held, Running) {
    let sql = scene.stage.sql();
    let held = sql.hold("lock table leasectl.index_dir in access exclusive mode");
    let command = scene.stage.command(["index", shown(work)]);
    let run = command.start(&scene.stage.folder().join("logs/index"));
    sql.wait_for_waiter();
    (held, run)
}

#[test]
fn a_file_that_changes_while_it_is_indexed_is_indexed_as_it_is_at_the_end() {
    let scene = Scene::new();
    let work = scene.clone("work");
    write(&work, "new.rs", "fn before() {}\n");
    let (held, mut run) = held_up(&scene, &work);
    write(&work, "new.rs", "fn behind() {}\n");
    drop(held);
    assert_eq!(run.wait(PATIENCE), 0, "{}", run.log());
    assert_eq!(scene.found(&[shown(&work), "fn be"]), ["new.rs:1"]);
    assert_eq!(
        scene.found(&[shown(&work), "behind", "--symbol"]),
        ["new.rs:1"]
    );
}

#[test]
fn ctrl_c_ends_it_and_publishes_nothing() {
    let scene = Scene::new();
    let work = scene.clone("work");
    let (held, mut run) = held_up(&scene, &work);
    run.signal(Signal::INT);
    assert_eq!(run.wait(PATIENCE), 130, "{}", run.log());
    drop(held);
    scene
        .stage
        .run(&["index", shown(&work), "--forget"])
        .expect_code(3);
}
