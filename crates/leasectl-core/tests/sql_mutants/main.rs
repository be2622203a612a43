//! Mutants of the SQL, which `cargo mutants` does not touch: much of the protocol is SQL.
//!
//! `cargo test --workspace --test sql_mutants -- --ignored --nocapture` changes one guard at a
//! time in a copy of the workspace and expects the tests there to fail. It takes about half a minute
//! for each mutant. What survives is printed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that cannot be taken fails its test"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Of a hundred mutants, so many have to be caught.
const GOAL_PERCENT: usize = 95;

/// What a copy of the workspace needs to build and run the protocol's tests.
const PARTS: [&str; 8] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "clippy.toml",
    "crates",
    "migrations",
    "rust-toolchain.toml",
    "tests",
];

/// One change to one statement.
struct Mutant {
    /// What the protocol does wrong then.
    name: String,
    /// From the root of the workspace.
    file: String,
    guard: String,
    instead: String,
}

fn mutants() -> Vec<Mutant> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql_mutants/mutants.txt");
    let text = fs::read_to_string(list).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mutants = lines.map(|line| {
        let columns: Vec<_> = line.split('\t').map(|c| c.replace("\\n", "\n")).collect();
        let [name, file, guard, instead] = columns.try_into().expect("four columns");
        Mutant {
            name,
            file,
            guard,
            instead,
        }
    });
    mutants.collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Mutant {
    fn applied_to(&self, root: &Path) -> (PathBuf, String, String) {
        let file = root.join(&self.file);
        let text = fs::read_to_string(&file).expect("the mutated file can be read");
        assert_eq!(
            text.matches(&self.guard).count(),
            1,
            "{} no longer names one place in {}",
            self.name,
            self.file
        );
        let mutated = text.replace(&self.guard, &self.instead);
        (file, text, mutated)
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        if from.file_name().is_some_and(|name| name == "target") {
            return;
        }
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        let text = fs::read(from).unwrap();
        // An unchanged file keeps its time, so that only what changed is built again.
        if fs::read(to).ok().as_ref() != Some(&text) {
            fs::write(to, text).unwrap();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this test builds and runs other tests"
)]
fn program(name: &Path) -> Command {
    Command::new(name)
}

/// Builds the protocol's tests of the copy and returns their program.
fn built(copy: &Path) -> PathBuf {
    let output = program(Path::new("cargo"))
        .args([
            "test",
            "-p",
            "leasectl-core",
            "--test",
            "protocol",
            "--no-run",
        ])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "the copy does not build: {said}");
    let path = said
        .rsplit_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .expect("cargo names the program")
        .0;
    copy.join(path)
}

/// The first test that fails; none when all pass.
fn first_failure(tests: &Path, copy: &Path) -> Option<String> {
    let mut running = program(tests)
        .current_dir(copy.join("crates/leasectl-core"))
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the tests run");
    let lines = BufReader::new(running.stdout.take().expect("it is piped")).lines();
    let failed = lines
        .map_while(Result::ok)
        .find(|line| line.ends_with("FAILED"));
    // The rest would tell nothing more; its server ends with it.
    running.kill().expect("it can be ended");
    running.wait().expect("it ends");
    failed
}

#[test]
fn every_mutant_of_the_sql_names_one_place() {
    for mutant in mutants() {
        let (_, text, mutated) = mutant.applied_to(&root());
        assert_ne!(text, mutated, "{} changes nothing", mutant.name);
    }
}

#[test]
#[ignore = "takes half an hour; run it after changing a statement or its tests"]
fn the_tests_catch_the_mutants_of_the_sql() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sql-mutants");
    fs::create_dir_all(&place).unwrap();
    for part in PARTS {
        copy(&root().join(part), &place.join(part));
    }
    assert_eq!(first_failure(&built(&place), &place), None, "unmutated");
    let mutants = mutants();
    let mut survivors = Vec::new();
    for mutant in &mutants {
        let (file, text, mutated) = mutant.applied_to(&place);
        fs::write(&file, mutated).unwrap();
        let failed = first_failure(&built(&place), &place);
        fs::write(&file, text).unwrap();
        let verdict = failed.as_deref().unwrap_or("SURVIVED");
        println!("{}: {verdict}", mutant.name);
        if failed.is_none() {
            survivors.push(&mutant.name);
        }
    }
    let caught = mutants.len() - survivors.len();
    println!(
        "{caught} of {} caught; survivors: {survivors:?}",
        mutants.len()
    );
    assert!(caught * 100 >= mutants.len() * GOAL_PERCENT);
}
