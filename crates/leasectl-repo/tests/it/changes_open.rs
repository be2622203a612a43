//! Whether a change is open: whether the default branch has an equal patch.

use leasectl_repo::MergedAs;

use crate::changes::{beginning, changed};
use crate::story::{Story, files, lines, put, put_program};

#[tokio::test]
async fn a_change_that_was_squashed_is_not_open_even_where_lines_have_moved() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let one = story.commit(&[start], &[put("a", changed("half"))]);
    let two = story.commit(&[one], &[put("a", changed("mine")), put("d", "d\n")]);
    let moved = format!("first\n{}", lines(20, &[]));
    let before = story.commit(&[start], &[put("a", moved)]);
    let squashed = format!("first\n{}", changed("mine"));
    let squash = story.commit(&[before], &[put("a", squashed), put("d", "d\n")]);
    let main = story.commit(&[squash], &[put("e", "e\n")]);
    story.main(main);
    story.pull(1, two);
    story.pull(2, one);
    let told = story.tell().await;
    let facts = told.study(1);
    let commit = told.id(squash);
    assert_eq!(facts.merged_as, Some(MergedAs::Squash { commit }));
    assert_eq!(facts.base, Some(told.id(main)));
    assert_eq!(files(&facts), ["modified a +1 -1", "added d +1 -0"]);
    assert!(told.study(2).open());
}

#[tokio::test]
async fn a_commit_that_does_more_or_less_or_elsewhere_is_no_equal_patch() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let mine = |path: &str| put(path, changed("mine"));
    let change = story.commit(&[start], &[mine("a"), put("d", "d\n")]);
    let less = story.commit(&[start], &[mine("a")]);
    let more = story.commit(&[less], &[put("d", "d\n"), put("e", "e\n")]);
    let other = story.commit(&[more], &[put("d", "other\n")]);
    let again = story.commit(&[other], &[put("a", lines(20, &[]))]);
    let mode = story.commit(&[again], &[mine("a"), put_program("d", "other\n")]);
    story.main(mode);
    story.pull(1, change);
    let told = story.tell().await;
    assert!(told.study(1).open());
}

#[tokio::test]
async fn modes_and_binary_files_are_part_of_a_patch() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let program = story.commit(&[start], &[put_program("b", "b\n")]);
    let binary = story.commit(&[start], &[put("c", "\0one")]);
    let other = story.commit(&[start], &[put("c", "\0two")]);
    let main = story.commit(&[start], &[put_program("b", "b\n")]);
    let main = story.commit(&[main], &[put("c", "\0one")]);
    story.main(main);
    story.pull(1, program);
    story.pull(2, binary);
    story.pull(3, other);
    let told = story.tell().await;
    let is_open = [1, 2, 3].map(|number| told.study(number).open());
    assert_eq!(is_open, [false, false, true]);
    assert_eq!(files(&told.study(1)), ["modified b +0 -0"]);
    assert_eq!(files(&told.study(2)), ["modified c +- --"]);
}

#[tokio::test]
async fn a_change_whose_commits_were_all_picked_is_not_open_and_one_of_whose_some_were_is() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let edits = [put("a", changed("mine")), put("d", "d\n"), put("e", "e\n")];
    let mut picks = vec![start];
    for edit in &edits {
        picks.push(story.commit(&[*picks.last().unwrap()], std::slice::from_ref(edit)));
    }
    // A merge of the default branch and an empty commit in between are nothing of the change's own.
    let before = story.commit(&[start], &[put("z", "z\n")]);
    let merge = story.commit(&[picks[2], before], &[put("z", "z\n")]);
    let empty = story.commit(&[merge], &[]);
    let mut main = before;
    for edit in &edits[..2] {
        main = story.commit(&[main], std::slice::from_ref(edit));
    }
    story.main(main);
    story.pull(1, picks[2]);
    story.pull(2, picks[3]);
    story.pull(3, empty);
    let told = story.tell().await;
    assert_eq!(told.study(1).merged_as, Some(MergedAs::Rebase));
    assert_eq!(told.study(2).merged_as, None);
    let merged = told.study(3);
    assert_eq!(merged.merged_as, Some(MergedAs::Rebase));
    assert_eq!(merged.merge_base, Some(told.id(before)));
    assert_eq!(files(&merged), ["modified a +1 -1", "added d +1 -0"]);
}

#[tokio::test]
async fn what_was_picked_and_reverted_is_not_open_since_an_equal_patch_is_there() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let change = story.commit(&[start], &[put("a", changed("mine"))]);
    let undone = story.commit(&[change], &[put("a", changed("line 10"))]);
    let again = story.commit(&[undone], &[put("a", changed("mine"))]);
    let pick = story.commit(
        &[start],
        &[put("a", changed("mine")), put("y", "y\n"), put("z", "z\n")],
    );
    let revert = story.commit(&[pick], &[put("a", changed("line 10"))]);
    let alone = story.commit(&[revert], &[put("a", changed("mine"))]);
    let main = story.commit(&[alone], &[put("a", changed("line 10"))]);
    story.main(main);
    story.pull(1, change);
    story.pull(2, undone);
    story.pull(3, again);
    let told = story.tell().await;
    let commit = told.id(alone);
    assert_eq!(told.study(1).merged_as, Some(MergedAs::Squash { commit }));
    // It changes nothing, but both of its commits are there.
    assert_eq!(told.study(2).merged_as, Some(MergedAs::Rebase));
    assert_eq!(told.study(2).files, []);
    assert_eq!(told.study(3).merged_as, Some(MergedAs::Squash { commit }));
}

#[tokio::test]
async fn an_empty_change_is_open_until_its_head_is_merged() {
    let mut story = Story::default();
    let start = beginning(&mut story);
    let empty = story.commit(&[start], &[]);
    let main = story.commit(&[start], &[]);
    story.main(main);
    story.pull(1, empty);
    let told = story.tell().await;
    assert!(told.study(1).open());
}
