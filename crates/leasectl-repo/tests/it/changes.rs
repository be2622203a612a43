//! What a change is compared with, and which commits it is made of.

use leasectl_repo::{ChangeFamily, ChangeRef, Changes, MergedAs, ObjectId, StudyError};
use tokio_util::sync::CancellationToken;

use crate::story::{Mark, Story, Told, files, gone, lines, put, threads};

pub(crate) fn changed(line: &str) -> String {
    lines(20, &[(10, line)])
}

/// A branch with two commits, the second of which is returned.
pub(crate) fn beginning(story: &mut Story) -> Mark {
    let root = story.commit(&[], &[put("a", lines(20, &[])), put("b", "b\n")]);
    story.commit(&[root], &[put("c", "c\n")])
}

fn ids(told: &Told, marks: &[Mark]) -> Vec<ObjectId> {
    marks.iter().map(|mark| told.id(*mark)).collect()
}

fn commits(told: &Told, number: u64) -> Vec<ObjectId> {
    let facts = told.study(number);
    facts.commits.iter().map(|commit| commit.id).collect()
}

#[tokio::test]
async fn an_open_change_is_compared_with_where_it_left_the_default_branch() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let one = story.commit(&[start], &[put("a", changed("mine"))]);
    let two = story.commit(&[one], &[put("d", "d\n"), gone("b")]);
    let main = story.commit(&[start], &[put("c", "other\n")]);
    story.main(main);
    story.pull(1, two);
    let told = story.tell().await;
    let facts = told.study(1);
    assert_eq!(facts.head, told.id(two));
    assert_eq!(facts.base, Some(told.id(main)));
    assert_eq!(facts.merge_base, Some(told.id(start)));
    assert!(facts.open());
    assert_eq!(
        files(&facts),
        ["modified a +1 -1", "deleted b +0 -1", "added d +1 -0"]
    );
    assert_eq!(commits(&told, 1), ids(&told, &[two, one]));
    assert_eq!((facts.totals.commits, facts.totals.files), (2, 3));
    assert_eq!((facts.totals.additions, facts.totals.deletions), (2, 2));
    assert_eq!(facts.limits, []);
    let hunk = facts.hunks[0];
    assert_eq!((hunk.file, hunk.old_start, hunk.old_lines), (0, 10, 1));
    assert_eq!((hunk.new_start, hunk.new_lines), (10, 1));
    let commit = &facts.commits[0];
    assert_eq!(commit.parents, ids(&told, &[one]));
    assert_eq!(commit.summary, "Commit 4 of a story");
    assert_eq!(
        (commit.author.name.as_str(), commit.author.email.as_str()),
        ("A", "a@example.com")
    );
    assert_eq!(commit.committer.at, 1_700_000_180);
}

#[tokio::test]
async fn a_merged_change_is_what_its_merge_brought_in() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let one = story.commit(&[start], &[put("a", changed("mine"))]);
    let two = story.commit(&[one], &[put("d", "d\n")]);
    let before = story.commit(&[start], &[put("c", "other\n")]);
    let merge = story.commit(
        &[before, two],
        &[put("a", changed("mine")), put("d", "d\n")],
    );
    let main = story.commit(&[merge], &[put("e", "e\n")]);
    story.main(main);
    story.pull(1, two);
    story.pull(2, one);
    let told = story.tell().await;
    let facts = told.study(1);
    assert_eq!(facts.merged_as, Some(MergedAs::Ancestor));
    assert_eq!(facts.base, Some(told.id(before)));
    assert_eq!(facts.merge_base, Some(told.id(start)));
    assert_eq!(files(&facts), ["modified a +1 -1", "added d +1 -0"]);
    assert_eq!(commits(&told, 1), ids(&told, &[two, one]));
    // A change on which the other one was built landed with it.
    assert_eq!(commits(&told, 2), ids(&told, &[one]));
}

#[tokio::test]
async fn each_head_of_an_octopus_landed_with_it() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let [x, y] = ["x", "y"].map(|name| story.commit(&[start], &[put(name, "new\n")]));
    let before = story.commit(&[start], &[put("z", "new\n")]);
    let merge = story.commit(&[before, x, y], &[put("x", "new\n"), put("y", "new\n")]);
    story.main(merge);
    story.pull(1, x);
    story.pull(2, y);
    let told = story.tell().await;
    for (number, head, name) in [(1, x, "x"), (2, y, "y")] {
        let facts = told.study(number);
        assert_eq!(facts.merged_as, Some(MergedAs::Ancestor));
        assert_eq!(facts.base, Some(told.id(before)));
        assert_eq!(files(&facts), [format!("added {name} +1 -0")]);
        assert_eq!(commits(&told, number), ids(&told, &[head]));
    }
}

#[tokio::test]
async fn a_head_on_the_default_branch_itself_brought_nothing_that_can_be_told() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let main = story.commit(&[start], &[put("d", "d\n")]);
    story.main(main);
    story.pull(1, start);
    story.pull(2, main);
    let told = story.tell().await;
    for (number, head) in [(1, start), (2, main)] {
        let facts = told.study(number);
        assert_eq!(facts.merged_as, Some(MergedAs::Ancestor));
        assert_eq!(facts.base, Some(told.id(main)));
        assert_eq!(facts.merge_base, Some(told.id(head)));
        assert_eq!((facts.files.len(), facts.commits.len()), (0, 0));
    }
}

#[tokio::test]
async fn the_test_merge_says_what_the_target_is_if_it_is_one_of_this_head() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let release = story.commit(&[start], &[put("release", "1\n")]);
    let side = story.commit(&[release], &[put("release", "2\n")]);
    let change = story.commit(&[side], &[put("a", changed("mine"))]);
    let tip = story.commit(&[side], &[put("release", "3\n")]);
    let test = story.commit(&[tip, change], &[put("a", changed("mine"))]);
    let newer = story.commit(&[change], &[put("d", "d\n")]);
    let main = story.commit(&[start], &[put("c", "other\n")]);
    story.main(main);
    story.pull(1, change);
    story.reference("refs/pull/1/merge", test);
    story.pull(2, newer);
    story.reference("refs/pull/2/merge", test);
    let told = story.tell().await;
    let facts = told.study(1);
    assert_eq!(facts.base, Some(told.id(tip)));
    assert_eq!(facts.merge_base, Some(told.id(side)));
    assert_eq!(files(&facts), ["modified a +1 -1"]);
    assert_eq!(commits(&told, 1), ids(&told, &[change]));
    // The head moved on since that one was made.
    let stale = told.study(2);
    assert_eq!(stale.base, Some(told.id(main)));
    assert_eq!(stale.merge_base, Some(told.id(start)));
    assert_eq!(
        commits(&told, 2),
        ids(&told, &[newer, change, side, release])
    );
}

#[tokio::test]
async fn without_a_common_ancestor_all_of_a_change_is_new() {
    let mut story = Story::default();
    let main = beginning(&mut story);
    let root = story.commit(&[], &[put("other", "1\n")]);
    let change = story.commit(&[root], &[put("more", "2\n3\n")]);
    story.main(main);
    story.pull(1, change);
    let told = story.tell().await;
    let facts = told.study(1);
    assert_eq!((facts.base, facts.merge_base), (Some(told.id(main)), None));
    assert!(facts.open());
    assert_eq!(files(&facts), ["added more +2 -0", "added other +1 -0"]);
    assert_eq!(commits(&told, 1), ids(&told, &[change, root]));
}

#[tokio::test]
async fn without_a_default_branch_nothing_is_merged() {
    let mut story = Story::default();
    let main = beginning(&mut story);
    story.main(main);
    story.pull(1, main);
    let told = story.tell().await;
    let cancel = CancellationToken::new();
    let changes = Changes::open(&told.content, None);
    let facts = changes.study(&told.change(1), &cancel).unwrap();
    assert_eq!((facts.base, facts.merge_base), (None, None));
    assert!(facts.open());
    assert_eq!(facts.commits.len(), 2);
    assert_eq!(changes.history(&|_| false, &cancel).unwrap().remaining(), 0);
}

#[tokio::test]
async fn of_several_best_common_ancestors_it_is_the_one_that_git_names_first() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let left = story.commit(&[start], &[put("left", "1\n")]);
    let right = story.commit(&[start], &[put("right", "1\n")]);
    let main = story.commit(&[left, right], &[put("right", "1\n")]);
    let crossed = story.commit(&[right, left], &[put("left", "1\n")]);
    let change = story.commit(&[crossed], &[put("a", changed("mine"))]);
    story.main(main);
    story.pull(1, change);
    // The same with a base that is not on the default branch.
    let tip = story.commit(&[main], &[put("tip", "1\n")]);
    let test = story.commit(&[tip, change], &[put("a", changed("mine"))]);
    story.pull(2, change);
    story.reference("refs/pull/2/merge", test);
    let told = story.tell().await;
    for number in [1, 2] {
        let facts = told.study(number);
        let base = facts.base.unwrap().to_string();
        let expected = told.git(&["merge-base", &base, &facts.head.to_string()]);
        assert_eq!(facts.merge_base.unwrap().to_string(), expected);
        assert_eq!(facts.merge_base, Some(told.id(right)));
        assert_eq!(commits(&told, number), ids(&told, &[change, crossed]));
    }
}

#[tokio::test]
async fn a_change_that_merged_the_default_branch_is_compared_with_what_it_merged() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let one = story.commit(&[start], &[put("a", changed("mine"))]);
    let newer = story.commit(&[start], &[put("c", "other\n")]);
    let merge = story.commit(&[one, newer], &[put("c", "other\n")]);
    let main = story.commit(&[newer], &[put("z", "z\n")]);
    story.main(main);
    story.pull(1, merge);
    let told = story.tell().await;
    let facts = told.study(1);
    assert_eq!(facts.merge_base, Some(told.id(newer)));
    assert_eq!(files(&facts), ["modified a +1 -1"]);
    assert_eq!(commits(&told, 1), ids(&told, &[merge, one]));
}

#[tokio::test]
async fn a_head_that_was_pushed_by_force_is_the_new_one_and_a_deleted_ref_is_no_change() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let old = story.commit(&[start], &[put("a", changed("mine"))]);
    let new = story.commit(&[start], &[put("d", "d\n")]);
    story.main(start);
    story.pull(1, old);
    story.pull(2, old);
    let told = story.tell().await;
    assert_eq!(files(&told.study(1)), ["modified a +1 -1"]);
    let new = told.id(new).to_string();
    told.git(&["update-ref", "refs/pull/1/head", &new]);
    told.git(&["update-ref", "-d", "refs/pull/2/head"]);
    let told = told.go_on(Story::default()).await;
    assert_eq!(files(&told.study(1)), ["added d +1 -0"]);
    let numbers: Vec<_> = told
        .report
        .change_refs
        .iter()
        .map(|change| change.number)
        .collect();
    assert_eq!(numbers, [1]);
}

#[tokio::test]
async fn changes_of_every_forge_are_studied() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let first = story.commit(&[start], &[put("d", "1\n")]);
    let second = story.commit(&[start], &[put("d", "2\n2\n")]);
    story.main(start);
    story.reference("refs/changes/42/1042/1", first);
    story.reference("refs/changes/42/1042/2", second);
    story.reference("refs/changes/42/1042/meta", start);
    story.reference("refs/merge-requests/7/head", first);
    let told = story.tell().await;
    let found: Vec<_> = told
        .report
        .change_refs
        .iter()
        .map(|c| (c.family, c.number))
        .collect();
    assert_eq!(
        found,
        [
            (ChangeFamily::Gerrit, 1042),
            (ChangeFamily::MergeRequest, 7)
        ]
    );
    assert_eq!(files(&told.study(1042)), ["added d +2 -0"]);
    assert_eq!(files(&told.study(7)), ["added d +1 -0"]);
}

#[tokio::test]
async fn what_cannot_be_studied_says_whose_fault_it_is() {
    let mut story = Story::default();
    let main = beginning(&mut story);
    story.main(main);
    story.pull(1, main);
    let told = story.tell().await;
    let blob = crate::story::id(&told.git(&["rev-parse", "main:a"]));
    let nowhere = crate::story::id(&"1".repeat(40));
    let with = |head, test_merge| ChangeRef {
        head,
        test_merge,
        ..told.change(1)
    };
    let error = told.try_study(&with(nowhere, None)).unwrap_err();
    assert!(
        matches!(error, StudyError::Missing { id } if id == nowhere),
        "{error}"
    );
    let error = told
        .try_study(&with(told.id(main), Some(nowhere)))
        .unwrap_err();
    assert!(
        matches!(error, StudyError::Missing { id } if id == nowhere),
        "{error}"
    );
    let error = told.try_study(&with(blob, None)).unwrap_err();
    assert!(
        matches!(
            error,
            StudyError::Change {
                code: "head_not_a_commit",
                ..
            }
        ),
        "{error}"
    );
    let changes = Changes::open(&told.content, Some(nowhere));
    let cancel = CancellationToken::new();
    let error = changes.study(&told.change(1), &cancel).unwrap_err();
    assert!(
        matches!(error, StudyError::Missing { id } if id == nowhere),
        "{error}"
    );
    cancel.cancel();
    let changes = Changes::open(&told.content, Some(told.id(main)));
    let error = changes.study(&told.change(1), &cancel).unwrap_err();
    assert!(matches!(error, StudyError::Cancelled), "{error}");
    // That did not leave anything half-known behind.
    changes
        .study(&told.change(1), &CancellationToken::new())
        .unwrap();
}

#[tokio::test]
async fn many_threads_find_what_one_finds() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let mut main = start;
    for number in 0..30 {
        let path = format!("file{number}");
        let change = story.commit(&[main], &[put(&path, lines(20, &[(number, "mine")]))]);
        story.pull(u64::try_from(number).unwrap() + 1, change);
        let path = format!("file{}", number / 2);
        main = story.commit(&[main], &[put(&path, lines(20, &[(number / 2, "mine")]))]);
    }
    story.main(main);
    let told = story.tell().await;
    let all = &told.report.change_refs;
    let cancel = CancellationToken::new();
    let alone: Vec<_> = all
        .iter()
        .map(|change| told.try_study(change).unwrap())
        .collect();
    let together = Changes::open(&told.content, Some(told.id(main)));
    let together = together.study_all(all, threads(4), &cancel);
    let together: Vec<_> = together.into_iter().map(Result::unwrap).collect();
    assert_eq!(together, alone);
    assert!(alone.iter().any(|facts| facts.open()) && !alone.iter().all(|facts| facts.open()));
    for (change, facts) in all.iter().zip(&alone) {
        let base = told.changes.base_of(change, &cancel).unwrap();
        assert_eq!((base.base, base.merge_base), (facts.base, facts.merge_base));
        assert!(!base.is_ancestor);
    }
}
