//! Lists of commits, and of lists below rows, as the columns that a statement takes.

use std::borrow::Cow;

use chrono::DateTime;

use super::facts::{Commit, FileStatus, count};
use crate::index::ObjectId;
use crate::time::Timestamp;

/// The most bytes of a name, an address or a summary.
const LONGEST_TEXT: usize = 1_024;

/// The first second of the year 1 and the last one of the year 9999: what every reader of a time can hold.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

/// Lists of which each row has one, one behind the other: PostgreSQL has no lists of lists of different lengths.
#[derive(Debug)]
pub(super) struct Slices<T> {
    pub(super) all: Vec<T>,
    /// Where the list of each row begins, from 1.
    pub(super) from: Vec<i32>,
    /// Where it ends; one less for an empty list.
    pub(super) to: Vec<i32>,
}

/// Commits as columns, all but the row to which each belongs.
#[derive(Debug, Default)]
pub(super) struct CommitColumns<'a> {
    pub(super) ids: Vec<ObjectId>,
    pub(super) author_names: Vec<Cow<'a, str>>,
    pub(super) author_emails: Vec<Cow<'a, str>>,
    pub(super) authored_at: Vec<Timestamp>,
    pub(super) committed_at: Vec<Timestamp>,
    pub(super) summaries: Vec<Cow<'a, str>>,
    pub(super) parents: Slices<ObjectId>,
}

/// Files as columns, all but the row to which each belongs.
#[derive(Debug, Default)]
pub(super) struct FileColumns<'a> {
    pub(super) paths: Vec<Cow<'a, str>>,
    pub(super) old_paths: Vec<Option<Cow<'a, str>>>,
    pub(super) statuses: Vec<&'static str>,
    pub(super) additions: Vec<Option<i32>>,
    pub(super) deletions: Vec<Option<i32>>,
}

impl<T> Default for Slices<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
        }
    }
}

impl<T> Slices<T> {
    /// The list of one more row.
    pub(super) fn push(&mut self, list: impl IntoIterator<Item = T>) {
        let end = |all: &Vec<T>| i32::try_from(all.len()).unwrap_or(i32::MAX);
        self.from.push(end(&self.all).saturating_add(1));
        self.all.extend(list);
        self.to.push(end(&self.all));
    }
}

impl<'a> CommitColumns<'a> {
    pub(super) fn push(&mut self, commit: &'a Commit) {
        self.ids.push(commit.id);
        self.author_names.push(text(&commit.author_name));
        self.author_emails.push(text(&commit.author_email));
        self.authored_at.push(moment(commit.authored_at_s));
        self.committed_at.push(moment(commit.committed_at_s));
        self.summaries.push(text(&commit.summary));
        self.parents.push(commit.parents.iter().copied());
    }
}

impl<'a> FileColumns<'a> {
    pub(super) fn push(
        &mut self,
        new_path: &'a str,
        old_path: Option<&'a str>,
        status: FileStatus,
        [additions, deletions]: [Option<u32>; 2],
    ) {
        self.paths.push(path(new_path));
        self.old_paths.push(old_path.map(path));
        self.statuses.push(status.as_str());
        self.additions.push(additions.map(count));
        self.deletions.push(deletions.map(count));
    }
}

/// A text as PostgreSQL can hold it, cut at a character.
fn text(given: &str) -> Cow<'_, str> {
    let cut = &given[..given.floor_char_boundary(LONGEST_TEXT)];
    path(cut)
}

/// A path as PostgreSQL can hold it: Git has none with a NUL, but nothing here checks that.
fn path(given: &str) -> Cow<'_, str> {
    if given.contains('\0') {
        Cow::Owned(given.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(given)
    }
}

fn moment(seconds: i64) -> Timestamp {
    let within = seconds.clamp(FIRST_SECOND, LAST_SECOND);
    DateTime::from_timestamp(within, 0)
        .unwrap_or_default()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character_and_hold_no_nul() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        let long = "é".repeat(1_000);
        assert_eq!(text(&long).len(), 1_024);
        assert_eq!(text(&format!("x{long}")).len(), 1_023);
    }

    #[test]
    fn times_stay_within_four_digits_of_years() {
        assert_eq!(moment(i64::MAX).to_string(), "9999-12-31T23:59:59.000000Z");
        assert_eq!(moment(i64::MIN).to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(moment(0).to_string(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn lists_lie_one_behind_the_other_and_an_empty_one_ends_before_it_begins() {
        let mut slices = Slices::default();
        slices.push([7, 8]);
        slices.push([]);
        slices.push([9]);
        assert_eq!(slices.all, [7, 8, 9]);
        assert_eq!((slices.from, slices.to), (vec![1, 3, 3], vec![2, 2, 3]));
    }
}
