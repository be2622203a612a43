//! The default branch's commits, held against `git log`.

use std::collections::HashSet;

use leasectl_repo::{HistoryCommit, ObjectId};
use tokio_util::sync::CancellationToken;

use crate::changes_diff::{counted_by_git, random_story};
use crate::story::{Told, threads};

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
