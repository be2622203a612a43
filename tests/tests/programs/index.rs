//! The index on real input: what is in a tree is found in the public views, and paid for once.

use leasectl_tests::{
    Fault, Origin, PATIENCE, Remote, Stage, assert_fields, noise, pack_of, rot, wait_until,
};
use serde_json::{Value, json};

/// Runs an index job to its end and answers its result.
fn index(stage: &Stage, repo: &str, args: &[&str]) -> Value {
    let enqueue = ["enqueue", "index", repo, "--wait"];
    let job = stage.json(&[&enqueue[..], args].concat());
    assert_eq!(job["state"], "completed", "{job}");
    let result = job["result"].clone();
    assert_fields(
        &result,
        "ref commit blobs_total blobs_indexed blobs_reused files symbols bytes no_op",
    );
    result
}

/// What a view says of a repository and a ref, as text.
fn view(stage: &Stage, columns: &str, view: &str, repo: &str, reference: &str) -> Vec<String> {
    let sql = format!(
        "select concat_ws(' ', {columns}) from leasectl.{view} \
          where repo_id::text = $1 and ref = $2 order by 1"
    );
    let rows = stage.sql().rows(&sql, &[&repo, &reference]);
    rows.iter().map(|row| row.get(0)).collect()
}

fn small_tree(origin: &Origin) -> String {
    let manifest = b"[package]\nname = \"app\"\n";
    origin.commit("main", "Cargo.toml", manifest);
    origin.commit("main", "src/lib.rs", b"pub mod shape;\npub fn area() {}\n");
    origin.commit(
        "main",
        "src/shape.rs",
        b"use std::fmt;\nuse crate::area;\n\npub struct Circle {\n    r: u8,\n}\n",
    );
    origin.commit("main", "vendor/dep/lib.rs", b"pub fn vendored() {}\n");
    origin.commit("main", "logo.png", b"\x89PNG\0\0");
    origin.commit(
        "main",
        "bin/tool",
        b"#!/usr/bin/env python3\ndef go():\n    pass\n",
    )
}

#[test]
fn the_same_directory_may_stand_at_several_depths() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    for place in ["same", "a/same", "a/b/c/same", "z/same/same"] {
        origin.commit("main", &format!("{place}/x.rs"), b"pub fn twice() {}\n");
    }
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    index(&stage, &repo, &[]);
    let paths = view(&stage, "path", "index_symbols", &repo, "main");
    assert_eq!(
        paths,
        [
            "a/b/c/same/x.rs",
            "a/same/x.rs",
            "same/x.rs",
            "z/same/same/x.rs"
        ]
    );
}

#[test]
fn files_symbols_and_imports_are_in_the_views() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let head = small_tree(&origin);
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();

    let result = index(&stage, &repo, &[]);

    let files: usize = origin
        .git(&["ls-tree", "-r", "--name-only", "main"])
        .lines()
        .count();
    assert_eq!(result["ref"], "main");
    assert_eq!(result["commit"], head);
    assert_eq!(result["files"], files, "{result}");
    assert_eq!(
        (&result["blobs_reused"], &result["no_op"]),
        (&json!(0), &json!(false))
    );
    let seen = view(
        &stage,
        "path, coalesce(language, '-'), bytes, coalesce(lines::text, '-')",
        "index_files",
        &repo,
        "main",
    );
    for line in [
        "Cargo.toml - 23 2",
        "bin/tool python 42 3",
        "logo.png - 6 -",
        "src/lib.rs rust 32 2",
        "vendor/dep/lib.rs rust 21 1",
    ] {
        assert!(
            seen.contains(&line.to_owned()),
            "{line} is not in {seen:#?}"
        );
    }
    let symbols = view(
        &stage,
        "path, name, kind, line_start, line_end",
        "index_symbols",
        &repo,
        "main",
    );
    assert_eq!(
        symbols,
        [
            "bin/tool go function 2 3",
            "src/lib.rs area function 2 2",
            "src/shape.rs Circle struct 4 6",
        ]
    );
    let imports = view(
        &stage,
        "path, target, coalesce(resolved_path, '-'), line",
        "index_imports",
        &repo,
        "main",
    );
    for line in [
        "src/lib.rs shape src/shape.rs 1",
        "src/shape.rs std::fmt - 1",
    ] {
        assert!(
            imports.contains(&line.to_owned()),
            "{line} is not in {imports:#?}"
        );
    }
}

#[test]
fn text_and_symbols_are_found_where_they_are() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    small_tree(&origin);
    let repo = stage.register(&remote.url("acme/app"));
    stage.run(&["search", &repo, "area"]).expect_code(3);
    let worker = stage.worker().start();
    index(&stage, &repo, &[]);
    drop(worker);
    // Another container: it has neither the clone nor a shard.
    std::fs::remove_dir_all(stage.clone_dir(&repo)).unwrap();
    let found = |args: &[&str]| -> Vec<String> {
        let answer = stage.json(&[&["search", repo.as_str()], args].concat());
        assert_eq!(answer["complete"], true, "{answer}");
        let items = answer["items"].as_array().unwrap();
        let shown = items.iter().map(|hit| {
            assert_fields(hit, "ref path line column text blob");
            let at = |name: &str| hit[name].to_string().replace('"', "");
            format!(
                "{}:{}:{}:{}",
                at("path"),
                at("line"),
                at("column"),
                at("text")
            )
        });
        shown.collect()
    };
    let area = [
        "src/lib.rs:2:8:pub fn area() {}",
        "src/shape.rs:2:12:use crate::area;",
    ];
    assert_eq!(found(&["area"]), area);
    assert_eq!(found(&["AREA", "-i"]), area);
    let line = ["src/shape.rs:2:1:use crate::area;"];
    assert_eq!(found(&["^use .*area", "--regex"]), line);
    assert_eq!(found(&["area", "--path", "src/lib.rs"]), area[..1]);
    assert_eq!(
        found(&["Circle", "--symbol"]),
        ["src/shape.rs:4:12:pub struct Circle {"]
    );
    for text in ["PNG", "PN"] {
        assert!(found(&[text]).is_empty(), "a binary file was searched");
    }
    let lines = stage.run(&["search", &repo, "area"]).ok().line();
    let first = lines.lines().next();
    assert_eq!(first, Some("src/lib.rs:2:pub fn area() {}"));
    let around = ["search", &repo, "area", "--context", "2"];
    assert_eq!(
        stage.run(&around).ok().line(),
        "src/lib.rs-1-pub mod shape;\nsrc/lib.rs:2:pub fn area() {}\n--\n\
         src/shape.rs-1-use std::fmt;\nsrc/shape.rs:2:use crate::area;\n\
         src/shape.rs-3-\nsrc/shape.rs-4-pub struct Circle {"
    );
    let around = stage.json(&["search", &repo, "Circle", "--symbol", "-C", "1"]);
    let hit = &around["items"][0];
    assert_eq!(
        (&hit["before"], &hit["after"]),
        (&json!([""]), &json!(["    r: u8,"]))
    );
    for wrong in [
        &["(", "--regex"][..],
        &["a", "--context", "101"],
        &["a", "--path", "../x"],
        &["a", "--ref", "--x"],
    ] {
        let args = [&["search", repo.as_str()], wrong].concat();
        stage.run(&args).expect_code(2);
    }
}

#[test]
fn a_branch_a_fork_and_a_new_container_pay_only_for_what_is_new() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    small_tree(&origin);
    let repo = stage.register(&remote.url("acme/app"));
    let mut worker = stage.worker().start();
    let first = index(&stage, &repo, &[]);
    let total = first["blobs_total"].as_u64().unwrap();

    let again = index(&stage, &repo, &[]);
    assert_eq!(
        (&again["no_op"], &again["blobs_indexed"]),
        (&json!(true), &json!(0))
    );
    let main = origin.find("main").unwrap();
    origin.set_ref("refs/heads/same", &main);
    let same = index(&stage, &repo, &["--arg", "ref=same"]);
    assert_eq!(
        (&same["no_op"], &same["ref"]),
        (&json!(true), &json!("same"))
    );

    // The container is replaced: its disk is gone.
    worker.terminate();
    worker.wait();
    std::fs::remove_dir_all(stage.clone_dir(&repo)).unwrap();
    origin.commit("topic", "src/more.rs", b"pub fn more() {}\n");
    let _worker = stage.worker().start();
    let topic = index(&stage, &repo, &["--arg", "ref=topic"]);
    assert_eq!(topic["blobs_indexed"], 1, "{topic}");
    let fork = remote.repository("acme/fork");
    fork.git(&[
        "fetch",
        "-q",
        remote.folder("acme/app").to_str().unwrap(),
        "+main:main",
    ]);
    let fork = stage.register(&remote.url("acme/fork"));
    let forked = index(&stage, &fork, &[]);
    assert_eq!(
        (&forked["blobs_indexed"], &forked["blobs_total"]),
        (&json!(0), &json!(total))
    );
}

#[test]
fn a_commit_that_is_known_needs_neither_clone_nor_remote() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    small_tree(&origin);
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().start();
    stage.run(&["enqueue", "fetch", &repo, "--wait"]).ok();
    let first = index(&stage, &repo, &[]);
    let clone = stage.clone_dir(&repo);
    std::fs::remove_dir_all(&clone).unwrap();
    remote.set_fault(Fault::Refuse);
    let again = index(&stage, &repo, &[]);
    assert_eq!(
        (&again["no_op"], &again["blobs_total"], &again["commit"]),
        (&json!(true), &first["blobs_total"], &first["commit"])
    );
    assert!(!clone.exists(), "it was not asked for");
}

#[test]
fn progress_is_told_in_files_and_bytes() {
    let stage = Stage::new();
    let remote = Remote::start();
    small_tree(&remote.repository("acme/app"));
    let repo = stage.register(&remote.url("acme/app"));
    // Everything is read and stored; the directories have to wait.
    let held = stage
        .sql()
        .hold("lock table leasectl.index_dir in share row exclusive mode");
    let _worker = stage.worker().start();
    let job = stage.run(&["enqueue", "index", &repo]).ok().line();
    let told = wait_until(PATIENCE, "all files to be told", || {
        let job = stage.job(&job);
        let progress = &job["progress"];
        // Before it the clone told of objects.
        let is_all = progress["unit"] == "files" && progress["done"] == progress["total"];
        is_all.then_some(job)
    });
    drop(held);
    let message = told["message"].as_str().unwrap();
    assert!(message.contains(" B so far"), "{message}");
    let done = stage.wait_for_end(&job);
    assert_eq!(done["result"]["blobs_indexed"], told["progress"]["done"]);
}

#[test]
fn a_search_that_meets_a_damaged_clone_has_it_made_again_and_answers() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    // Most of the pack, so that its middle is in it, and text all the same.
    let hay = noise(30_000, 3).into_iter();
    let mut hay: String = hay.map(|byte| format!("{byte:02x}")).collect();
    hay.push_str("\nneedle\n");
    origin.commit("main", "hay.txt", hay.as_bytes());
    let repo = stage.register(&remote.url("acme/app"));
    let worker = stage.worker().start();
    index(&stage, &repo, &[]);
    drop(worker);
    rot(&pack_of(&stage.clone_dir(&repo)));
    let packs = remote.seen().packs;

    let answer = stage.json(&["search", &repo, "needle"]);

    assert_eq!(answer["items"][0]["path"], "hay.txt", "{answer:#}");
    assert_eq!(answer["items"][0]["line"], 2, "{answer:#}");
    assert_eq!(remote.seen().packs, packs + 1, "it was cloned once more");
    Origin::at(&stage.clone_dir(&repo)).git(&["fsck", "--full"]);
}
