//! What a change changes, as whoever studied it says.

use serde::Serialize;

use crate::database::DatabaseError;
use crate::index::ObjectId;

/// What was found of a change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// The commit of the target with which it was compared; nothing when there is no target.
    pub base: Option<ObjectId>,
    /// The best common ancestor of base and head; nothing when they have none, and the change was compared with
    /// an empty tree.
    pub merge_base: Option<ObjectId>,
    /// Whether it is not in the default branch yet.
    pub open: bool,
    /// Equal for changes that do the same elsewhere in a file.
    pub digest: Option<Vec<u8>>,
    /// Its commits, as many as the limits allow.
    pub commits: Vec<Commit>,
    /// How many it has.
    pub commit_count: u64,
    /// Its files, as many as the limits allow.
    pub files: Vec<File>,
    /// How many it has.
    pub file_count: u64,
    /// Lines that all its files gain.
    pub additions: u64,
    /// Lines that all its files lose.
    pub deletions: u64,
    /// Which limits were met: words such as `too_many_files`, without blanks.
    pub limits: Vec<&'static str>,
}

/// A commit. Texts may hold anything; what PostgreSQL cannot hold is replaced, and what is too long is cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// Its name.
    pub id: ObjectId,
    /// Its parents, in their order.
    pub parents: Vec<ObjectId>,
    /// Who wrote it.
    pub author_name: String,
    /// The author's address.
    pub author_email: String,
    /// When it was written, in seconds since 1970; kept within the years 1 to 9999.
    pub authored_at_s: i64,
    /// When it was committed, likewise.
    pub committed_at_s: i64,
    /// The first line of its message.
    pub summary: String,
}

/// What happened to a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// It is new.
    Added,
    /// Its content or its mode is another one.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another name.
    Renamed,
    /// It is like another file.
    Copied,
    /// It became something else, such as a symbolic link.
    TypeChanged,
}

/// A file of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its name; of a deleted file the old one.
    pub path: String,
    /// Its old name, of a renamed or copied file.
    pub old_path: Option<String>,
    /// What happened.
    pub status: FileStatus,
    /// Lines that it gains; nothing for content without lines.
    pub additions: Option<u32>,
    /// Lines that it loses; nothing for content without lines.
    pub deletions: Option<u32>,
    /// The new content; of a deleted file the old one.
    pub blob: Option<ObjectId>,
    /// Where it changes, in the order of the lines, as many as the limits allow.
    pub hunks: Vec<Hunk>,
}

/// Lines that are replaced, as `git diff -U0` gives them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Hunk {
    /// The first line of the old content, from 1; the line before when there are none.
    pub old_start: u32,
    /// How many lines are replaced.
    pub old_lines: u32,
    /// The first line of the new content, from 1; the line before when there are none.
    pub new_start: u32,
    /// By how many.
    pub new_lines: u32,
}

impl FileStatus {
    const ALL: [Self; 6] = [
        Self::Added,
        Self::Modified,
        Self::Deleted,
        Self::Renamed,
        Self::Copied,
        Self::TypeChanged,
    ];

    /// The status' name in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Renamed => "renamed",
            Self::Copied => "copied",
            Self::TypeChanged => "type_changed",
        }
    }

    pub(super) fn from_sql_name(name: &str) -> Result<Self, DatabaseError> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == name)
            .ok_or_else(|| DatabaseError::UnknownValue(name.to_owned()))
    }
}

/// The numbers of a hunk as they are stored.
pub(super) const NUMBERS: usize = 4;

impl Hunk {
    pub(super) fn numbers(self) -> [i32; NUMBERS] {
        [
            self.old_start,
            self.old_lines,
            self.new_start,
            self.new_lines,
        ]
        .map(count)
    }

    /// The hunks of numbers as they are stored.
    pub(super) fn all_of(numbers: &[i32]) -> Vec<Self> {
        numbers
            .as_chunks::<NUMBERS>()
            .0
            .iter()
            .map(|&numbers| {
                let [old_start, old_lines, new_start, new_lines] = numbers.map(i32::unsigned_abs);
                Self {
                    old_start,
                    old_lines,
                    new_start,
                    new_lines,
                }
            })
            .collect()
    }
}

/// A number of lines as it is stored: no file has two thousand million of them.
pub(super) fn count(lines: u32) -> i32 {
    i32::try_from(lines).unwrap_or(i32::MAX)
}

/// A larger number as it is stored.
pub(super) fn total(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
