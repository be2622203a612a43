//! What a change changes, held against what git itself says of the same two commits.

use std::collections::BTreeMap;

use leasectl_repo::{ChangeFacts, StudyError, StudyLimit};

use crate::story::{Edit, Story, Told, files, gone, lines, put, put_link, put_module, put_program};

/// A file as `git diff --numstat` shows it: lines added and removed, old path if renamed, path.
type Counted = (String, String, Option<String>, String);

fn counted(facts: &ChangeFacts) -> Vec<Counted> {
    let shown = facts.files.iter().map(|file| {
        let count = |lines: Option<u32>| lines.map_or("-".to_owned(), |lines| lines.to_string());
        let old = file.old_path.as_ref().map(ToString::to_string);
        (
            count(file.additions),
            count(file.deletions),
            old,
            file.path.to_string(),
        )
    });
    shown.collect()
}

pub(crate) fn counted_by_git(numstat: &str) -> Vec<Counted> {
    let mut parts = numstat.split('\0');
    let mut found = Vec::new();
    while let Some(head) = parts.next().filter(|head| !head.is_empty()) {
        let columns: Vec<_> = head.trim_start_matches('\n').splitn(3, '\t').collect();
        let [added, removed, path] = columns[..] else {
            panic!("{head:?}");
        };
        let (old, path) = if path.is_empty() {
            let mut next = || parts.next().unwrap().to_owned();
            (Some(next()), next())
        } else {
            (None, path.to_owned())
        };
        found.push((added.to_owned(), removed.to_owned(), old, path));
    }
    found.sort_by(|a, b| a.3.cmp(&b.3));
    found
}

/// Where lines differ, in order: the numbers in the heads of hunks.
fn hunks_of_git(diff: &str) -> Vec<[u32; 4]> {
    let heads = diff.lines().filter_map(|line| line.strip_prefix("@@ -"));
    let parsed = heads.map(|head| {
        let (old, rest) = head.split_once(" +").unwrap();
        let (new, _) = rest.split_once(" @@").unwrap();
        let [old, new] = [old, new].map(|range| {
            let (start, lines) = range.split_once(',').unwrap_or((range, "1"));
            [start, lines].map(|number| number.parse::<u32>().unwrap())
        });
        [old[0], old[1], new[0], new[1]]
    });
    parsed.collect()
}

fn hunks(facts: &ChangeFacts) -> Vec<[u32; 4]> {
    let hunks = facts.hunks.iter();
    hunks
        .map(|hunk| {
            [
                hunk.old_start,
                hunk.old_lines,
                hunk.new_start,
                hunk.new_lines,
            ]
        })
        .collect()
}

/// Holds a change against git; says whether the hunks are the same too.
pub(crate) fn hold(told: &Told, number: u64) -> bool {
    let facts = told.study(number);
    let base = facts.merge_base.unwrap().to_string();
    let head = facts.head.to_string();
    let git = |args: &[&str]| told.git(&[args, &[&base, &head]].concat());
    let numstat = git(&["diff", "--numstat", "-z", "-M"]);
    assert_eq!(counted(&facts), counted_by_git(&numstat), "change {number}");
    let statuses = git(&["diff", "--name-status", "--no-renames", "-z"]);
    let mut by_git = BTreeMap::new();
    let mut parts = statuses.split('\0');
    while let (Some(status), Some(path)) = (parts.next(), parts.next()) {
        by_git.insert(path.to_owned(), status.to_owned());
    }
    let mut ours = BTreeMap::new();
    for file in &facts.files {
        let letter = match file.status.as_str() {
            "added" | "renamed" => "A",
            "deleted" => "D",
            "modified" => "M",
            "type_changed" => "T",
            other => panic!("{other}"),
        };
        ours.insert(file.path.to_string(), letter.to_owned());
        if let Some(old) = &file.old_path {
            ours.insert(old.to_string(), "D".to_owned());
        }
    }
    assert_eq!(ours, by_git, "change {number}");
    for file in &facts.files {
        let side = if file.status.as_str() == "deleted" {
            &base
        } else {
            &head
        };
        let id = told.git(&["rev-parse", &format!("{side}:{}", file.path)]);
        assert_eq!(file.blob.to_string(), id);
    }
    let log = told.git(&["rev-list", &format!("{}..{head}", facts.base.unwrap())]);
    let commits: Vec<_> = facts
        .commits
        .iter()
        .map(|commit| commit.id.to_string())
        .collect();
    assert_eq!(commits.join("\n"), log, "change {number}");
    hunks(&facts) == hunks_of_git(&git(&["diff", "-U0", "-M"]))
}

/// One change that does this to that.
async fn told(before: &[Edit], after: &[Edit]) -> Told {
    let mut story = Story::default();
    let base = story.commit(&[], before);
    let head = story.commit(&[base], after);
    story.main(base);
    story.pull(1, head);
    story.tell().await
}

#[tokio::test]
async fn files_links_and_modules_come_go_and_become_each_other_as_in_git() {
    let before = [
        put("mode", "a\n"),
        put("to_link", "one\ntwo\n"),
        put_link("to_file", "target"),
        put("to_module", "one\n"),
        put_module("module", '1'),
        put_module("module_gone", '2'),
        put_module("from_module", '3'),
        put("to_dir", "file\n"),
        put("from_dir/inside", "file in a directory\n"),
        put("from_dir-x", "x\n"),
        put_link("link", "there"),
        put("empty_gone", ""),
        put("filled", ""),
        put("emptied", "a\nb\n"),
    ];
    let after = [
        put_program("mode", "a\n"),
        put_link("to_link", "one"),
        put("to_file", "target\nmore\n"),
        put_module("to_module", '4'),
        put_module("module", '5'),
        put_module("module_new", '6'),
        gone("module_gone"),
        put("from_module", "now a file\n"),
        gone("to_dir"),
        put("to_dir/inside", "quite another thing\n"),
        gone("from_dir"),
        put("from_dir", "nothing like it\n"),
        put_link("link", "elsewhere"),
        gone("empty_gone"),
        put("empty_new", ""),
        put("filled", "a"),
        put("emptied", ""),
    ];
    let told = told(&before, &after).await;
    assert!(hold(&told, 1), "{:?}", hunks(&told.study(1)));
    let shown = files(&told.study(1));
    for expected in [
        "modified mode +0 -0",
        "type_changed to_link +1 -2",
        "type_changed to_module +1 -1",
        "modified module +1 -1",
        "modified link +1 -1",
        "renamed empty_new from empty_gone +0 -0",
    ] {
        assert!(
            shown.iter().any(|file| file == expected),
            "{expected}: {shown:?}"
        );
    }
}

#[tokio::test]
async fn line_ends_missing_line_feeds_and_odd_bytes_count_as_in_git() {
    let before = [
        put("crlf", "a\r\nb\r\nc\r\n"),
        put("unfinished", "a\nb"),
        put("finished", "a\nb\n"),
        put("latin", b"caf\xe9\nx\n"),
        put("cr", "a\rb\rc\r"),
        put("blank", "\n\n\n"),
        put("binary", "a\0b\n"),
        put("becomes_binary", "text\n"),
        put("late_nul", format!("{}\0", "a".repeat(8_000))),
        put("binary_mode", "\0"),
    ];
    let after = [
        put("crlf", "a\nb\nc\r\n"),
        put("unfinished", "a\nb\n"),
        put("finished", "a\nb"),
        put("latin", b"caf\xe8\nx\n"),
        put("cr", "a\rb\rd\r"),
        put("blank", "\n\n"),
        put("binary", "a\0c\n"),
        put("becomes_binary", "text\0\n"),
        put("late_nul", format!("{}\0b", "a".repeat(8_000))),
        put_program("binary_mode", "\0"),
    ];
    let told = told(&before, &after).await;
    assert!(hold(&told, 1), "{:?}", hunks(&told.study(1)));
    let shown = files(&told.study(1));
    for expected in [
        "modified binary +- --",
        "modified becomes_binary +- --",
        "modified binary_mode +- --",
        "modified late_nul +1 -1",
        "modified crlf +2 -2",
    ] {
        assert!(
            shown.iter().any(|file| file == expected),
            "{expected}: {shown:?}"
        );
    }
}

#[tokio::test]
async fn renames_are_those_that_git_sees() {
    let text = |seed: usize| {
        let all = (0..40).map(|line| format!("text {seed} of line {line}\n"));
        all.collect::<String>()
    };
    let edited = |seed: usize, kept: usize| {
        let mut all: Vec<_> = text(seed).lines().map(str::to_owned).collect();
        for line in &mut all[kept..] {
            line.insert_str(0, "edited: ");
        }
        all.join("\n")
    };
    let before = [
        put("moved", text(1)),
        put("moved_and_edited", text(2)),
        put("barely", text(3)),
        put("too_much", text(4)),
        put("here/named", text(5)),
        put("there/named_too", text(6)),
        put("twin1", text(7)),
        put("twin2", text(7)),
        put_link("link", "target of the link"),
        put("binary", [&[0_u8][..], text(8).as_bytes()].concat()),
        put_module("module", '1'),
        put("kept", text(9)),
    ];
    let mut after: Vec<_> = [
        "moved",
        "moved_and_edited",
        "barely",
        "too_much",
        "here",
        "there",
    ]
    .map(gone)
    .to_vec();
    after.extend(["twin1", "twin2", "link", "binary", "module"].map(gone));
    after.extend([
        put("x/moved", text(1)),
        put("x/elsewhere", edited(2, 30)),
        put("x/half", edited(3, 22)),
        put("x/too_much", edited(4, 15)),
        put("x/named", edited(5, 32)),
        put_program("x/named_too", edited(6, 22)),
        put("x/twin2", text(7)),
        put("x/twin3", text(7)),
        put_link("x/link", "target of the link"),
        put("x/binary", [&[0_u8][..], edited(8, 35).as_bytes()].concat()),
        put_module("x/module", '1'),
        put("copy_of_kept", text(9)),
    ]);
    let told = told(&before, &after).await;
    assert!(hold(&told, 1), "{:?}", hunks(&told.study(1)));
    let shown = files(&told.study(1));
    for expected in [
        "renamed x/moved from moved +0 -0",
        "renamed x/twin2 from twin2 +0 -0",
        "renamed x/twin3 from twin1 +0 -0",
        "renamed x/binary from binary +- --",
        "renamed x/named from here/named +8 -8",
        "added copy_of_kept +40 -0",
        "deleted too_much +0 -40",
    ] {
        assert!(
            shown.iter().any(|file| file == expected),
            "{expected}: {shown:?}"
        );
    }
}

#[tokio::test]
async fn files_beyond_the_limit_are_counted_and_not_listed() {
    let after: Vec<_> = (0..10_003)
        .map(|file| put(&format!("f{file:05}"), "a\n"))
        .collect();
    let told = told(&[put("z", "z\n")], &after).await;
    let facts = told.study(1);
    assert_eq!(facts.limits, [StudyLimit::Files]);
    assert_eq!(
        (facts.totals.files, facts.totals.additions),
        (10_003, 10_000)
    );
    assert_eq!(facts.files.last().unwrap().path, "f09999");
}

#[tokio::test]
async fn directories_are_followed_down_to_a_limit() {
    let at_depth = |depth: usize| put(&format!("{}file", "d/".repeat(depth)), "a\n");
    let told = told(&[put("z", "z\n")], &[at_depth(400)]).await;
    assert!(hold(&told, 1));
    let told = self::told(&[put("z", "z\n")], &[at_depth(600)]).await;
    let error = told.try_study(&told.change(1)).unwrap_err();
    let StudyError::Change { code, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(code, "content_invalid");
}

#[tokio::test]
async fn whether_what_is_too_large_to_compare_was_squashed_is_not_known() {
    let mut story = Story::default();
    let base = story.commit(&[], &[put("large", "a\n")]);
    let large = put("large", "a\n".repeat(5 << 20));
    let other = put("z", "z\n");
    let squash = story.commit(&[base], std::slice::from_ref(&large));
    let change = story.commit(&[base], &[large]);
    let elsewhere = story.commit(&[base], &[other, put("large", "b\n".repeat(5 << 20))]);
    story.main(squash);
    story.pull(1, change);
    story.pull(2, elsewhere);
    let told = story.tell().await;
    let facts = told.study(1);
    assert!(facts.open());
    assert_eq!(
        facts.limits,
        [StudyLimit::BlobBytes, StudyLimit::PatchSearch]
    );
    // No commit changes the same files, so that it was not squashed is known without a look at them.
    assert_eq!(told.study(2).limits, [StudyLimit::BlobBytes]);
}

#[tokio::test]
async fn what_is_too_large_is_listed_without_what_would_have_to_be_compared() {
    let after = [
        put("many_hunks", lines(50_000, &[])),
        put("large", "a\n".repeat(5 << 20)),
    ];
    let odd: String = (1..=50_000)
        .filter(|line| line % 2 == 1)
        .map(|line| format!("line {line}\n"))
        .collect();
    let told = told(&[put("many_hunks", odd), put("large", "a\n")], &after).await;
    let facts = told.study(1);
    assert_eq!(facts.limits, [StudyLimit::Hunks, StudyLimit::BlobBytes]);
    assert_eq!(
        files(&facts),
        ["modified large +- --", "modified many_hunks +25000 -0"]
    );
    assert_eq!(facts.hunks.len(), 20_000);
}
