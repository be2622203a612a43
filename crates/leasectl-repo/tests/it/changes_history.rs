//! The default branch's commits, held against `git log`.

use std::collections::HashSet;

use leasectl_repo::{HistoryCommit, ObjectId, StudyLimit};
use tokio_util::sync::CancellationToken;

use crate::changes::beginning;
use crate::changes_diff::counted_by_git;
use crate::changes_random::random_story;
use crate::story::{Story, Told, put, threads};

fn read(told: &Told, known: &HashSet<ObjectId>, most: usize) -> Vec<HistoryCommit> {
    let cancel = CancellationToken::new();
    let is_known = |id: &ObjectId| known.contains(id);
    let mut history = told.changes.history(&is_known, &cancel).unwrap();
    let mut commits = Vec::new();
    while commits.len() < most {
        let left = history.remaining();
        let some = history
            .read(7.min(most - commits.len()), threads(2), &cancel)
            .unwrap();
        assert_eq!(history.remaining(), left - some.len());
        if some.is_empty() {
            break;
        }
        commits.extend(some);
    }
    commits
}

#[tokio::test]
async fn commits_and_their_files_are_those_of_git_log_ancestors_first() {
    let told = random_story(77).tell().await;
    let commits = read(&told, &HashSet::new(), usize::MAX);
    let log = told.git(&["rev-list", "main"]);
    let mut expected: Vec<_> = log.lines().collect();
    let ids: Vec<_> = commits
        .iter()
        .map(|commit| commit.commit.id.to_string())
        .collect();
    let mut sorted: Vec<_> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    let mut seen = HashSet::new();
    for HistoryCommit {
        commit,
        files,
        limits,
    } in &commits
    {
        assert!(commit.parents.iter().all(|parent| seen.contains(parent)));
        seen.insert(commit.id);
        assert_eq!(limits, &[]);
        let id = commit.id.to_string();
        let format = "--format=%P|%T|%an|%ae|%at|%cn|%ce|%ct|%s";
        let shown = told.git(&["log", "-1", "--no-patch", format, &id]);
        let parents: Vec<_> = commit.parents.iter().map(ToString::to_string).collect();
        let (author, committer) = (&commit.author, &commit.committer);
        let expected = format!(
            "{}|{}|{}|{}|{}|{}|{}|{}|{}",
            parents.join(" "),
            commit.tree,
            author.name,
            author.email,
            author.at,
            committer.name,
            committer.email,
            committer.at,
            commit.summary
        );
        assert_eq!(shown, expected);
        let numstat = told.git(&[
            "log",
            "-1",
            "--numstat",
            "-z",
            "-M",
            "--root",
            "--format=",
            &id,
        ]);
        let ours: Vec<_> = files
            .iter()
            .map(|file| {
                let count =
                    |lines: Option<u32>| lines.map_or("-".into(), |lines| lines.to_string());
                let old = file.old_path.as_ref().map(ToString::to_string);
                (
                    count(file.additions),
                    count(file.deletions),
                    old,
                    file.path.to_string(),
                )
            })
            .collect();
        assert_eq!(ours, counted_by_git(&numstat), "{id}");
    }
}

#[tokio::test]
async fn whoever_stopped_half_way_reads_the_rest_and_nothing_twice() {
    let told = random_story(78).tell().await;
    let all = read(&told, &HashSet::new(), usize::MAX);
    let mut known = HashSet::new();
    let mut again = Vec::new();
    loop {
        let some = read(&told, &known, 10);
        if some.is_empty() {
            break;
        }
        known.extend(some.iter().map(|commit| commit.commit.id));
        again.extend(some);
    }
    assert_eq!(again, all);
}

#[tokio::test]
async fn one_odd_commit_hides_nothing_else() {
    let mut story = Story::default();
    let start = story.commit(&[], &[put("a", "a\n")]);
    let deep = format!("{}file", "d/".repeat(600));
    let deep = story.commit(&[start], &[put(&deep, "a\n")]);
    story.main(deep);
    let told = story.tell().await;
    let deep = told.id(deep).to_string();
    let tree = told.git(&["rev-parse", "main^{tree}"]);
    let text = format!("tree {tree}\nparent {deep}\nauthor nobody\ncommitter\n\nWhat\n");
    let nobody = told.world.origin.write("commit", text.as_bytes());
    told.git(&["update-ref", "refs/heads/main", &nobody]);
    told.git(&["update-ref", "refs/pull/1/head", &nobody]);
    let told = told.go_on(Story::default()).await;
    let commits = read(&told, &HashSet::new(), usize::MAX);
    let ids: Vec<_> = commits
        .iter()
        .map(|commit| commit.commit.id.to_string())
        .collect();
    assert_eq!(ids[1..], [deep, nobody]);
    let limits: Vec<_> = commits
        .iter()
        .map(|commit| commit.limits.as_slice())
        .collect();
    assert_eq!(limits, [&[][..], &[StudyLimit::Invalid], &[]]);
    assert_eq!(commits[2].commit.committer.at, 0);
    assert_eq!(told.study(1).files, []);
}

#[tokio::test]
async fn what_was_read_of_the_default_branch_is_not_read_again_in_another_clone() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    story.main(start);
    let told = story.tell().await;
    let cancel = CancellationToken::new();
    assert!(told.changes.is_in_default(told.id(start), &cancel).unwrap());
    // Nothing of the branch is there.
    let mut other = Story::default();
    let alone = other.commit(&[], &[put("other", "other\n")]);
    other.main(alone);
    let other = other.tell().await;
    let there = told.changes.in_clone(&other.content);
    assert_eq!(there.default_head(), told.changes.default_head());
    assert!(there.is_in_default(told.id(start), &cancel).unwrap());
    assert!(!there.is_in_default(other.id(alone), &cancel).unwrap());
}
