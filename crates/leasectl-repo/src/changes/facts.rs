//! What is known of a change after it was studied.

use gix::ObjectId;
use gix::bstr::BString;

/// What Git alone says of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFacts {
    /// Its head, as it was asked for.
    pub head: ObjectId,
    /// The commit of its target that it is compared with; none if the default branch is unborn.
    pub base: Option<ObjectId>,
    /// The best common ancestor of base and head; without one the change is compared with nothing.
    pub merge_base: Option<ObjectId>,
    /// Why it is not open, or nothing if it is.
    pub merged_as: Option<MergedAs>,
    /// What its head has and its base has not, in the order of `git log`; see [`StudyLimit::Commits`].
    pub commits: Vec<CommitFacts>,
    /// What differs between merge base and head, by path; see [`StudyLimit::Files`].
    pub files: Vec<FileFacts>,
    /// Where they differ, in the order of the files and then of the lines; see [`StudyLimit::Hunks`].
    pub hunks: Vec<HunkFacts>,
    /// How much that is.
    pub totals: ChangeTotals,
    /// What was left out, without repetition; nothing if everything is there.
    pub limits: Vec<StudyLimit>,
}

impl ChangeFacts {
    /// Whether the default branch has neither the head nor an equal patch.
    #[must_use]
    pub fn open(&self) -> bool {
        self.merged_as.is_none()
    }
}

/// Why a change is not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedAs {
    /// The head is an ancestor of the default branch's head, or is it.
    Ancestor,
    /// One commit of the default branch has the patch of the whole change.
    Squash {
        /// That commit.
        commit: ObjectId,
    },
    /// The patch of each of its commits is that of a commit of the default branch.
    Rebase,
}

impl MergedAs {
    /// The word that stands for it in tables and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ancestor => "ancestor",
            Self::Squash { .. } => "squash",
            Self::Rebase => "rebase",
        }
    }
}

/// How much a change is. What a [limit](ChangeFacts::limits) left out is counted as far as it was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeTotals {
    /// Commits, listed or not.
    pub commits: u64,
    /// Files, listed or not.
    pub files: u64,
    /// Lines added in the listed files.
    pub additions: u64,
    /// Lines removed in the listed files.
    pub deletions: u64,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFacts {
    /// Its id.
    pub id: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, in order.
    pub parents: Vec<ObjectId>,
    /// Who wrote it, and when.
    pub author: Person,
    /// Who made it a commit, and when.
    pub committer: Person,
    /// The first paragraph of its message in one line; at most 1,000 characters, none of them NUL.
    pub summary: String,
}

/// Who did something, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The name; at most 1,000 characters, none of them NUL.
    pub name: String,
    /// The address; at most 1,000 characters, none of them NUL.
    pub email: String,
    /// Seconds since 1970, within the years 1 to 9999. What cannot be read is 0, as Git shows it.
    pub at: i64,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Its path; the old one if it was deleted.
    pub path: BString,
    /// What it was renamed from.
    pub old_path: Option<BString>,
    /// What happened to it.
    pub status: FileStatus,
    /// Lines added; none for what is binary or was too large to compare.
    pub additions: Option<u32>,
    /// Lines removed; none for what is binary or was too large to compare.
    pub deletions: Option<u32>,
    /// The blob (of a submodule: the commit) that it is now, or was if it was deleted.
    pub blob: ObjectId,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// It is new.
    Added,
    /// Its content or mode is another one.
    Modified,
    /// It is gone.
    Deleted,
    /// It was somewhere else before; its content may have changed too.
    Renamed,
    /// A file, a link or a submodule became another of these.
    TypeChanged,
}

impl FileStatus {
    /// The word that stands for it in tables and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Renamed => "renamed",
            Self::TypeChanged => "type_changed",
        }
    }
}

/// Lines that differ, as `git diff -U0` numbers them: from 1, and no lines stand after the one that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HunkFacts {
    /// Which of the change's files it is in.
    pub file: u32,
    /// The first line removed.
    pub old_start: u32,
    /// How many lines are removed.
    pub old_lines: u32,
    /// The first line added.
    pub new_start: u32,
    /// How many lines are added.
    pub new_lines: u32,
}

/// What was left out of the facts, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StudyLimit {
    /// More files differ than are listed.
    Files,
    /// There are more hunks than are listed; the counts of lines are right.
    Hunks,
    /// There are more commits than are listed.
    Commits,
    /// A file is too large to compare its lines.
    BlobBytes,
    /// So many or so large files are new or gone that renames were only looked for among those of equal content or name.
    Renames,
    /// There is too much to look for equal patches: open means that the head is no ancestor.
    PatchSearch,
    /// What a commit of the default branch leads to is malformed, or larger than this worker reads.
    Invalid,
}

impl StudyLimit {
    /// The word that stands for it in tables and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Hunks => "hunks",
            Self::Commits => "commits",
            Self::BlobBytes => "blob_bytes",
            Self::Renames => "renames",
            Self::PatchSearch => "patch_search",
            Self::Invalid => "invalid",
        }
    }
}
