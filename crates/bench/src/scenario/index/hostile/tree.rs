//! The tree of hostile content, and what is to become of each file of it.

use std::fs::File;

use crate::error::BenchError;
use crate::process::{git, git_hash};
use crate::scenario::index::corpus::{Commits, Remote, SourceFile};

/// The bytes of the blob that is nothing once it is packed.
const BOMB: u64 = 1_500_000_000;
/// The bytes of the blob that a small one is stored as a change of; Git makes no changes of much larger ones.
const BASE: usize = 200_000_000;
/// Files of one directory.
pub(super) const MANY: usize = 100_000;
/// Directories in each other; a path has 4,096 bytes at most.
const DEEP: usize = 1_000;
/// Brackets in each other, and what else is repeated.
const NESTED: usize = 100_000;

/// Repeated, more than the parser of Python can take in its time.
const SLOW: &str = "\\\n";

/// What stands for a file that has its symbols.
pub(super) const INDEXED: &str = "indexed";

/// A file, and what is to become of it.
pub(super) struct Hostile {
    pub(super) path: String,
    /// Why it has no symbols, or that it has.
    pub(super) outcome: &'static str,
    /// A text that only this file has, where it is to be found.
    pub(super) text: Option<&'static str>,
}

/// Fills a repository; answers what is to become of every file but the many.
pub(super) async fn fill(remote: &Remote) -> Result<Vec<Hostile>, BenchError> {
    let mut tree = Tree::default();
    tree.add("good.rs", "pub fn good() {}\n", INDEXED, Some("fn good()"));
    // No UTF-8; Git and the index quote such a name alike.
    let name = r#""name-\377.rs""#;
    tree.add(name, "pub fn named() {}\n", INDEXED, Some("fn named()"));
    let bytes = b"def bytes_of_none():\n    return '\xff\xfe\x80'\n";
    tree.add("bytes.py", bytes, INDEXED, Some("def bytes_of_none()"));
    let deep = format!("deep/{}x.rs", "d/".repeat(DEEP));
    tree.add(&deep, "pub fn deep() {}\n", INDEXED, Some("fn deep()"));
    let nested = format!("let nested = {}", "(".repeat(NESTED));
    tree.add("nested.js", nested, "too_deep", Some("let nested"));
    let angles = format!("int angles = {}", "a<".repeat(NESTED));
    tree.add("angles.cpp", angles, "too_deep", Some("int angles"));
    let slow = format!("def slow():\n{}", SLOW.repeat(NESTED));
    tree.add("slow.py", slow, "too_slow", Some("def slow()"));
    tree.add("base.rs", vec![b' '; BASE], "oversized", None);
    // Directly behind its base, so that `git fast-import` stores it as a change of it.
    let change = format!("pub fn change() {{}}\n{}", " ".repeat(5_000));
    tree.add("change.rs", change, "oversized", None);
    for number in 0..MANY {
        let content = format!("pub {} {{}}\n", text_of(number));
        tree.sources.push(source(&path_of(number), content));
    }
    let mut commits = Commits::default();
    commits.add("main", None, &tree.sources);
    remote.import(commits).await?;
    add_bomb(remote).await?;
    tree.hostile.push(Hostile {
        path: "bomb.rs".to_owned(),
        outcome: "oversized",
        text: None,
    });
    Ok(tree.hostile)
}

#[derive(Default)]
struct Tree {
    sources: Vec<SourceFile>,
    hostile: Vec<Hostile>,
}

impl Tree {
    fn add(
        &mut self,
        path: &str,
        content: impl Into<Vec<u8>>,
        outcome: &'static str,
        text: Option<&'static str>,
    ) {
        self.sources.push(source(path, content));
        self.hostile.push(Hostile {
            path: path.to_owned(),
            outcome,
            text,
        });
    }
}

fn source(path: &str, content: impl Into<Vec<u8>>) -> SourceFile {
    SourceFile {
        path: path.to_owned(),
        content: content.into(),
    }
}

/// One of the many files.
pub(super) fn path_of(number: usize) -> String {
    format!("many/{number}.rs")
}

/// What only that file has.
pub(super) fn text_of(number: usize) -> String {
    format!("fn number_{number}()")
}
/// Adds a blob of zeros to the default branch.
async fn add_bomb(remote: &Remote) -> Result<(), BenchError> {
    let zeros: File = tempfile::tempfile()?;
    zeros.set_len(BOMB)?;
    let blob = git_hash(remote.path(), zeros).await?;
    let place = remote.path().display().to_string();
    let entry = format!("100644,{blob},bomb.rs");
    git(["-C", &place, "read-tree", "main"]).await?;
    git(["-C", &place, "update-index", "--add", "--cacheinfo", &entry]).await?;
    let tree = git(["-C", &place, "write-tree"]).await?;
    let author = [
        "-c",
        "user.name=bench",
        "-c",
        "user.email=bench@bench.example",
    ];
    let commit = ["commit-tree", "-p", "main", "-m", "bomb", tree.trim()];
    let commit = git(["-C", &place].into_iter().chain(author).chain(commit)).await?;
    git(["-C", &place, "update-ref", "refs/heads/main", commit.trim()]).await?;
    Ok(())
}
