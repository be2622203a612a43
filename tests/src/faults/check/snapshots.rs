//! C2: what is recorded of changes, against what plain git says.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Digest;
use crate::faults::record::{FileSeen, Offered, ProposalsSeen, Recorded, SnapshotSeen};

/// Lines added and deleted; none of what is binary.
type Lines = (Option<i64>, Option<i64>);

pub(super) fn what_is_recorded_is_what_git_says(digest: &Digest<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for seen in &digest.trial.proposals {
        for change in &seen.recorded {
            let offered = seen.offered.get(&(change.family.clone(), change.number));
            let faults = offered.map_or_else(Vec::new, |offered| faults(seen, change, offered));
            broken.extend(faults.iter().map(|fault| {
                format!(
                    "{} ({}): {fault}: {change:?}, {offered:?}",
                    seen.name, seen.mode
                )
            }));
        }
        if seen.mode == "full_history" && sorted(&seen.commits) != sorted(&seen.log) {
            broken.push(format!(
                "{}: {} commits are recorded of a history of {}",
                seen.name,
                seen.commits.len(),
                seen.log.len()
            ));
        }
    }
    broken
}

fn sorted(commits: &[String]) -> Vec<&String> {
    let mut commits: Vec<&String> = commits.iter().collect();
    commits.sort_unstable();
    commits
}

/// What is wrong with what is recorded of a change.
fn faults(seen: &ProposalsSeen, change: &Recorded, offered: &Offered) -> Vec<&'static str> {
    let Some(snapshot) = &change.snapshot else {
        return vec!["it was never studied"];
    };
    let is_current = change.freshness.as_deref() == Some("current");
    // What landed is left alone in these modes, however far the branch goes.
    let may_be_stale = seen.mode != "full_history" && !snapshot.is_open;
    let is_left_alone = may_be_stale && change.freshness.as_deref() == Some("stale_base_moved");
    let is_compared = !is_current || snapshot.base.as_deref() == Some(&offered.base);
    let sum = |lines: fn(&FileSeen) -> Option<i64>| -> i64 {
        snapshot.files.iter().filter_map(lines).sum()
    };
    let [commits, files, additions, deletions] = snapshot.totals;
    let listed: BTreeSet<&String> = snapshot.commits.iter().collect();
    let rules = [
        (is_current || is_left_alone, "it is not current"),
        (snapshot.head == offered.head, "an older head was studied"),
        (
            snapshot.is_open == offered.is_open,
            "it is not known whether it is open",
        ),
        (is_compared, "it was compared with another commit"),
        (
            snapshot.merge_base == offered.merge_base,
            "it has another merge base",
        ),
        (
            listed == offered.commits.iter().collect(),
            "it has other commits",
        ),
        (
            usize::try_from(commits) == Ok(snapshot.commits.len())
                && listed.len() == snapshot.commits.len(),
            "not all of its commits are listed once",
        ),
        (
            has_files_of(snapshot, &offered.files),
            "it has other files or lines",
        ),
        (
            usize::try_from(files) == Ok(snapshot.files.len())
                && additions == sum(|file| file.additions)
                && deletions == sum(|file| file.deletions),
            "its totals are not those of its files",
        ),
    ];
    let broken = rules.iter().filter(|(is_kept, _)| !is_kept);
    broken.map(|(_, fault)| *fault).collect()
}

/// Whether a snapshot has the files that git lists without looking for renames. The lines of a renamed file are
/// counted against its old name.
fn has_files_of(snapshot: &SnapshotSeen, files: &BTreeMap<String, Lines>) -> bool {
    let mut recorded: BTreeMap<&String, Option<Lines>> = BTreeMap::new();
    let mut is_doubled = false;
    for file in &snapshot.files {
        let lines = (file.additions, file.deletions);
        let lines = file.old_path.is_none().then_some(lines);
        for path in file.old_path.iter().chain([&file.path]) {
            is_doubled |= recorded.insert(path, lines).is_some();
        }
    }
    let is_equal = |path: &String, lines: &Lines| {
        let recorded = recorded.get(path);
        recorded.is_some_and(|recorded| recorded.is_none_or(|recorded| recorded == *lines))
    };
    !is_doubled
        && recorded.len() == files.len()
        && files.iter().all(|(path, lines)| is_equal(path, lines))
}

#[cfg(test)]
mod tests {
    use crate::faults::check::sample::{Sample, breaks, known};
    use crate::faults::record::SnapshotSeen;

    fn of_snapshot(doctor: impl FnOnce(&mut SnapshotSeen)) -> bool {
        breaks("C2", |seen| {
            doctor(seen.recorded[0].snapshot.as_mut().unwrap());
        })
    }

    #[test]
    fn what_is_recorded_as_git_says_breaks_nothing() {
        let mut sample = Sample::fetched();
        sample.trial.proposals.push(known());
        assert_eq!(sample.judge(), []);
    }

    #[test]
    fn c2_catches_a_change_that_was_not_studied_or_is_stale() {
        assert!(breaks("C2", |seen| seen.recorded[0].snapshot = None));
        for freshness in ["failed", "stale_head_changed", "stale_base_moved"] {
            assert!(breaks("C2", |seen| {
                seen.recorded[0].freshness = Some(freshness.to_owned());
            }));
        }
        assert!(of_snapshot(|snapshot| snapshot.head = "older".to_owned()));
        assert!(of_snapshot(|snapshot| snapshot.is_open = false));
    }

    #[test]
    fn c2_lets_what_landed_be_stale_where_the_mode_leaves_it_alone() {
        let landed = |mode: &str| {
            breaks("C2", |seen| {
                seen.mode = mode.to_owned();
                seen.offered.values_mut().for_each(|of| of.is_open = false);
                seen.recorded[0].freshness = Some("stale_base_moved".to_owned());
                seen.recorded[0].snapshot.as_mut().unwrap().is_open = false;
            })
        };
        assert!(!landed("open_only"));
        assert!(landed("full_history"));
    }

    #[test]
    fn c2_catches_another_base_merge_base_commit_file_or_line() {
        let other = || "other".to_owned();
        assert!(of_snapshot(|snapshot| snapshot.base = Some(other())));
        assert!(of_snapshot(|snapshot| snapshot.merge_base = None));
        assert!(of_snapshot(|snapshot| snapshot.commits[0] = other()));
        assert!(of_snapshot(|snapshot| snapshot.files[0].path = other()));
        assert!(of_snapshot(|snapshot| {
            snapshot.files[0].additions = Some(3);
            snapshot.totals[2] = 3;
        }));
    }

    #[test]
    fn c2_catches_a_snapshot_that_is_half_written() {
        assert!(of_snapshot(|snapshot| snapshot.files.clear()));
        assert!(of_snapshot(|snapshot| snapshot.commits.clear()));
        for total in 0..4 {
            assert!(of_snapshot(|snapshot| snapshot.totals[total] += 1));
        }
    }

    #[test]
    fn c2_takes_a_rename_for_the_two_files_that_git_lists_without_looking_for_any() {
        let renamed = |old_path: &str| {
            breaks("C2", |seen| {
                let files = &mut seen.offered.values_mut().next().unwrap().files;
                files.insert("old".to_owned(), (Some(0), Some(9)));
                let snapshot = seen.recorded[0].snapshot.as_mut().unwrap();
                snapshot.files[0].old_path = Some(old_path.to_owned());
            })
        };
        assert!(!renamed("old"));
        assert!(renamed("another"));
    }

    #[test]
    fn c2_catches_a_history_with_a_hole_or_something_doubled() {
        assert!(breaks("C2", |seen| seen.commits.clear()));
        assert!(breaks("C2", |seen| seen.commits.push("base".to_owned())));
    }
}
