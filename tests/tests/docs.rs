//! The documents name tests, statements and files that exist.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files below a folder with one of the extensions, build output and hidden folders left out.
fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                files(&path, extensions, found);
            }
        } else if path
            .extension()
            .is_some_and(|e| extensions.iter().any(|known| e == *known))
        {
            found.push(path);
        }
    }
}

fn all(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), extensions, &mut found);
    found
}

/// The words of a text that stand between back-ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_promise_names_tests_that_exist() {
    let protocol = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let section = protocol
        .split("## Promises and their tests")
        .nth(1)
        .expect("the section");
    let table = section.split("\n## ").next().unwrap();
    let code: String = all(&["rs"])
        .iter()
        .map(|f| fs::read_to_string(f).unwrap())
        .collect();
    let mut promises = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| P")) {
        promises.insert(&row[2..4]);
        let names: Vec<_> = quoted(row).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            assert!(
                code.contains(&format!("fn {name}()")),
                "there is no test {name}"
            );
        }
    }
    let kept = ["P1", "P2", "P3", "P4", "P5", "P6", "P7"];
    assert!(promises.into_iter().eq(kept), "P1 to P7");
}

#[test]
fn every_statement_that_the_protocol_names_is_a_file() {
    let protocol = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let names: BTreeSet<_> = quoted(&protocol)
        .filter_map(|word| word.split_whitespace().next())
        .filter(|word| word.ends_with(".sql") && !word.contains('*'))
        .collect();
    assert!(names.len() > 10);
    for name in names {
        let file = root().join("crates/leasectl-core/src").join(name);
        assert!(file.is_file(), "there is no {name}");
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut links = 0;
    for document in all(&["md"]) {
        let text = fs::read_to_string(&document).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            links += 1;
            let file = document
                .parent()
                .unwrap()
                .join(target.split('#').next().unwrap());
            assert!(file.exists(), "{} links to {target}", document.display());
        }
    }
    assert!(links > 5);
}
