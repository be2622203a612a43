//! What Git's index of a worktree knows of its files, read as Git reads it.

use std::collections::HashMap;
use std::ops::Range;

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice as _};
use gix::index::entry::stat::{Options, Time};
use gix::index::entry::{self, Flags, Mode};
use gix::index::{Entry, State};
use rustix::fs::Stat;

use super::beneath::{is_plain, kind};

/// The index of a worktree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracked<'a> {
    state: &'a State,
}

/// What the index has in a folder under one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Child {
    /// The place of its entry; of a conflict, that of the first.
    pub(super) entry: Option<usize>,
    /// The places of the entries below it, if it is a folder.
    pub(super) below: Option<Range<usize>>,
}

/// The index names a file that cannot be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the index of the worktree names a path that leads out of it")]
pub(super) struct BadPath;

impl<'a> Tracked<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state }
    }

    /// All entries.
    pub(super) fn all(self) -> Range<usize> {
        0..self.state.entries().len()
    }

    /// What stands in the folder whose entries are those of `range`, by name. The first `prefix` bytes of
    /// their paths are the folder's, with a slash at the end.
    pub(super) fn children(
        self,
        range: Range<usize>,
        prefix: usize,
    ) -> Result<HashMap<BString, Child>, BadPath> {
        let mut children: HashMap<BString, Child> = HashMap::new();
        let mut place = range.start;
        while place < range.end {
            let rest = self.rest(place, prefix);
            let (name, slash) = match rest.find_byte(b'/') {
                Some(slash) => (&rest[..slash], Some(slash)),
                None => (rest, None),
            };
            if !is_plain(name) {
                return Err(BadPath);
            }
            let child = children.entry(name.into()).or_default();
            match slash {
                // A folder that a sparse worktree does not have is an entry with a slash at its end.
                Some(slash) if slash + 1 < rest.len() => {
                    let head = &rest[..=slash];
                    let is_below = |other: &Entry| {
                        let path = other.path_in(self.state.path_backing());
                        path.get(prefix..)
                            .is_some_and(|path| path.starts_with(head))
                    };
                    let entries = &self.state.entries()[place..range.end];
                    // At least this one, even where an index that is out of order says otherwise.
                    let end = place + entries.partition_point(is_below).max(1);
                    child.below = Some(place..end);
                    place = end;
                }
                Some(_) | None => {
                    child.entry.get_or_insert(place);
                    place += 1;
                }
            }
        }
        Ok(children)
    }

    fn rest(self, place: usize, prefix: usize) -> &'a [u8] {
        let path = self.entry(place).path_in(self.state.path_backing());
        path.get(prefix..).unwrap_or_default()
    }

    fn entry(self, place: usize) -> &'a Entry {
        &self.state.entries()[place]
    }

    /// The content of a file, when its data in the file system prove that it is what the index has.
    pub(super) fn unchanged(self, place: usize, stat: &Stat) -> Option<ObjectId> {
        let entry = self.entry(place);
        let is_file = matches!(entry.mode, Mode::FILE | Mode::FILE_EXECUTABLE);
        let fits = (kind(stat).is_file() && is_file)
            || (kind(stat).is_symlink() && entry.mode == Mode::SYMLINK);
        let is_settled = entry.stage() == entry::Stage::Unconflicted
            && !entry.flags.contains(Flags::INTENT_TO_ADD);
        if !fits || !is_settled {
            return None;
        }
        if entry.flags.contains(Flags::ASSUME_VALID) {
            return Some(entry.id);
        }
        // What Git writes where it could not tell either.
        let is_smudged = entry.stat.size == 0 && !entry.id.is_empty_blob();
        let is_racy = entry
            .stat
            .is_racy(self.state.timestamp(), Options::default());
        let precise = Options {
            // Not every program that writes an index knows them.
            use_nsec: entry.stat.mtime.nsecs != 0 && entry.stat.ctime.nsecs != 0,
            ..Options::default()
        };
        let matches = entry.stat.matches(&of_index(stat), precise);
        (matches && !is_smudged && !is_racy).then_some(entry.id)
    }

    /// What stands at that place whatever the file system says: a submodule where a folder is, a part of a
    /// sparse worktree where nothing is.
    pub(super) fn submodule(self, place: usize) -> Option<ObjectId> {
        let entry = self.entry(place);
        (entry.mode == Mode::COMMIT && entry.stage() == entry::Stage::Unconflicted)
            .then_some(entry.id)
    }

    /// What counts as there although there is no file.
    pub(super) fn kept(self, place: usize) -> Option<(Mode, ObjectId)> {
        let entry = self.entry(place);
        let is_kept = entry.mode == Mode::DIR
            || (entry
                .flags
                .intersects(Flags::SKIP_WORKTREE | Flags::ASSUME_VALID)
                && entry.stage() == entry::Stage::Unconflicted);
        is_kept.then_some((entry.mode, entry.id))
    }

    /// Whether something below counts as there although there is no folder.
    pub(super) fn keeps_any(self, mut range: Range<usize>) -> bool {
        range.any(|place| self.kept(place).is_some())
    }
}

/// The data as an index has them: cut to 32 bits, by Git too.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index holds the low 32 bits of these numbers, and compares them"
)]
fn of_index(stat: &Stat) -> entry::Stat {
    entry::Stat {
        mtime: Time {
            secs: stat.st_mtime as u32,
            nsecs: stat.st_mtime_nsec as u32,
        },
        ctime: Time {
            secs: stat.st_ctime as u32,
            nsecs: stat.st_ctime_nsec as u32,
        },
        dev: stat.st_dev as u32,
        ino: stat.st_ino as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: stat.st_size as u32,
    }
}
