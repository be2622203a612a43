//! Changes whose content was made to keep others from being studied.

use std::fs;

use leasectl_repo::{ObjectId, StudyError};
use tempfile::TempDir;

use crate::changes::{beginning, changed};
use crate::story::{Edit, Story, Told, files, gone, id, put};

/// Writes a tree with these entries, each a mode, a name and an object.
fn tree(told: &Told, entries: &[(&str, &str, ObjectId)]) -> ObjectId {
    let mut bytes = Vec::new();
    for (mode, name, object) in entries {
        bytes.extend(format!("{mode} {name}\0").into_bytes());
        bytes.extend(object.as_slice());
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tree");
    fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    id(&told.git(&["hash-object", "-t", "tree", "-w", path]))
}

/// A commit of a tree on top of another one.
fn commit(told: &Told, tree: ObjectId, parent: ObjectId) -> ObjectId {
    let (tree, parent) = (tree.to_string(), parent.to_string());
    let who = ["-c", "user.name=A", "-c", "user.email=a@example.com"];
    let args = ["commit-tree", &tree, "-p", &parent, "-m", "hostile"];
    id(&told.git(&[&who[..], &args[..]].concat()))
}

fn blob(told: &Told) -> ObjectId {
    id(&told.git(&["rev-parse", "refs/heads/main:b"]))
}

/// Eight trees, the last of which has a hundred million files.
fn bomb(told: &Told) -> ObjectId {
    let blob = blob(told);
    let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let mut object = blob;
    for level in 0..8 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let entries: Vec<_> = names.iter().map(|name| (mode, &**name, object)).collect();
        object = tree(told, &entries);
    }
    object
}

#[tokio::test]
async fn trees_that_name_each_other_again_and_again_are_not_read_to_their_end() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let mine = story.commit(&[start], &[put("a", changed("mine"))]);
    story.main(start);
    story.pull(1, mine);
    let told = story.tell().await;
    let main = told.id(start);
    let bomb = bomb(&told);
    // A change, and on the default branch too: there and gone again.
    let aside = tree(&told, &[("40000", "aside", bomb)]);
    let aside = commit(&told, aside, main);
    told.git(&["update-ref", "refs/pull/2/head", &aside.to_string()]);
    let bomb = commit(&told, bomb, main);
    let whole = id(&told.git(&["rev-parse", "refs/heads/main^{tree}"]));
    let gone = commit(&told, whole, bomb);
    told.git(&["update-ref", "refs/heads/main", &gone.to_string()]);
    let told = told.go_on(Story::default()).await;
    let refused = told.try_study(&told.change(2));
    let is_of_the_change = matches!(
        &refused,
        Err(StudyError::Change {
            code: "tree_too_large",
            ..
        })
    );
    assert!(is_of_the_change, "{refused:?}");
    let facts = told.study(1);
    assert!(facts.open());
    assert_eq!(files(&facts), ["modified a +1 -1"]);
}

#[tokio::test]
async fn paths_without_end_are_not_kept() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    story.main(start);
    let told = story.tell().await;
    let blob = blob(&told);
    let long = "x".repeat(3_000);
    let mut deep = blob;
    for level in 0..2 {
        let mode = if level == 0 { "100644" } else { "40000" };
        deep = tree(&told, &[(mode, &long, deep)]);
    }
    let deep = commit(&told, deep, told.id(start));
    told.git(&["update-ref", "refs/pull/1/head", &deep.to_string()]);
    // Few enough files, with paths that are long enough.
    let names: Vec<String> = (1_000..9_000).map(|n| n.to_string()).collect();
    let entries: Vec<_> = names.iter().map(|name| ("100644", &**name, blob)).collect();
    let many = tree(&told, &entries);
    let wide = tree(&told, &[("40000", &long, many)]);
    let wide = commit(&told, wide, told.id(start));
    told.git(&["update-ref", "refs/pull/2/head", &wide.to_string()]);
    let told = told.go_on(Story::default()).await;
    let refused = told.try_study(&told.change(1));
    let is_of_the_change = matches!(
        &refused,
        Err(StudyError::Change {
            code: "path_too_long",
            ..
        })
    );
    assert!(is_of_the_change, "{refused:?}");
    let facts = told.study(2);
    let kept: usize = facts.files.iter().map(|file| file.path.len()).sum();
    assert!(kept <= 8 << 20, "{kept} bytes of paths");
    let limits: Vec<&str> = facts.limits.iter().map(|limit| limit.as_str()).collect();
    assert_eq!(limits, ["files"]);
    // Those of the default branch are gone there.
    assert_eq!(facts.totals.files, 8_000 + 3);
}

#[tokio::test]
async fn files_that_are_too_much_to_compare_are_not_paired() {
    // Alike enough to be renames, and more than is read for that.
    let content = |number: usize| {
        let mut content = format!("{number}\n").into_bytes();
        content.resize(2 << 20, b'x');
        content
    };
    let mut story = Story::default();
    let files_of = |folder: &str, from: usize| -> Vec<Edit> {
        let numbers = from..from + 20;
        let file = |number| put(&format!("{folder}/{number}"), content(number));
        numbers.map(file).collect()
    };
    let start = story.commit(&[], &files_of("old", 0));
    let mut edits = files_of("new", 100);
    edits.push(gone("old"));
    let mine = story.commit(&[start], &edits);
    story.main(start);
    story.pull(1, mine);
    let facts = story.tell().await.study(1);
    let limits: Vec<&str> = facts.limits.iter().map(|limit| limit.as_str()).collect();
    assert_eq!(limits, ["renames"]);
    assert_eq!(facts.totals.files, 40);
}
