//! Which paths differ between two trees, in the order of their bytes.

use std::cmp::Ordering;
use std::iter::Peekable;

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice as _};
use gix::objs::TreeRefIter;
use gix::objs::tree::{EntryKind, EntryRef, name_order};
use tokio_util::sync::CancellationToken;

use super::error::StudyError;
use super::objects::Objects;

/// Directories within directories beyond this are nobody's, and would take the thread's stack.
const MOST_DEPTH: usize = 500;

/// The longest path, in bytes, as most systems have it.
const MOST_PATH_BYTES: usize = 4_096;

/// The most entries of trees that are looked at. A few trees that name each other again and again have more paths
/// than anybody will ever count.
const MOST_ENTRIES: usize = 1_000_000;

/// What stands at a path on one side. Modes are what Git makes of them, not how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) id: ObjectId,
    pub(super) kind: EntryKind,
}

impl Side {
    /// Whether it is a file, executable or not.
    pub(super) fn is_regular(&self) -> bool {
        matches!(self.kind, EntryKind::Blob | EntryKind::BlobExecutable)
    }
}

/// A path at which the two trees have different things, or only one has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathChange {
    pub(super) path: BString,
    pub(super) old: Option<Side>,
    pub(super) new: Option<Side>,
}

/// Visits each path that differs; nothing stands for the empty tree.
pub(super) fn differences(
    objects: &Objects,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
    cancel: &CancellationToken,
    visit: &mut dyn FnMut(PathChange),
) -> Result<(), StudyError> {
    let mut walk = Walk {
        objects,
        cancel,
        visit,
        path: BString::default(),
        left: MOST_ENTRIES,
    };
    if old == new {
        return Ok(());
    }
    walk.trees(old, new, 0)
}

struct Walk<'a> {
    objects: &'a Objects,
    cancel: &'a CancellationToken,
    visit: &'a mut dyn FnMut(PathChange),
    path: BString,
    /// How many entries may still be looked at.
    left: usize,
}

type Entries<'a> = Peekable<TreeRefIter<'a>>;

/// What stands under one name, on either side.
type Both<'o, 'n> = (Option<EntryRef<'o>>, Option<EntryRef<'n>>);

impl Walk<'_> {
    fn trees(
        &mut self,
        old: Option<ObjectId>,
        new: Option<ObjectId>,
        depth: usize,
    ) -> Result<(), StudyError> {
        if self.cancel.is_cancelled() {
            return Err(StudyError::Cancelled);
        }
        if let (true, Some(id)) = (depth > MOST_DEPTH, new.or(old)) {
            return Err(StudyError::invalid(&id));
        }
        let (mut old_bytes, mut new_bytes) = (Vec::new(), Vec::new());
        let mut old_entries = self.entries(old, &mut old_bytes)?;
        let mut new_entries = self.entries(new, &mut new_bytes)?;
        while let Some((old_entry, new_entry)) =
            self.next((&mut old_entries, old), (&mut new_entries, new))?
        {
            self.pair(old_entry, new_entry, depth)?;
        }
        Ok(())
    }

    /// The entries of the next name in either tree. A function of its own, so that what it needs is not on the stack
    /// once for each directory on the way down.
    fn next<'o, 'n>(
        &mut self,
        (old_entries, old): (&mut Entries<'o>, Option<ObjectId>),
        (new_entries, new): (&mut Entries<'n>, Option<ObjectId>),
    ) -> Result<Option<Both<'o, 'n>>, StudyError> {
        let (left, right) = match (old_entries.peek(), new_entries.peek()) {
            (None, None) => return Ok(None),
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(Ok(old)), Some(Ok(new))) => match order(old, new) {
                Ordering::Less => (true, false),
                Ordering::Greater => (false, true),
                Ordering::Equal => (true, true),
            },
            // Whichever it is, taking both shows it.
            (Some(Err(_)), _) | (_, Some(Err(_))) => (true, true),
        };
        self.left = self.left.checked_sub(1).ok_or_else(too_large)?;
        Ok(Some((
            take(left, old_entries, old)?,
            take(right, new_entries, new)?,
        )))
    }

    fn entries<'b>(
        &self,
        tree: Option<ObjectId>,
        bytes: &'b mut Vec<u8>,
    ) -> Result<Entries<'b>, StudyError> {
        if let Some(id) = tree {
            self.objects.tree(&id, bytes)?;
        }
        Ok(TreeRefIter::from_bytes(bytes, self.objects.hash_kind()).peekable())
    }

    /// What stands under one name, on one side or both.
    fn pair(
        &mut self,
        old: Option<EntryRef<'_>>,
        new: Option<EntryRef<'_>>,
        depth: usize,
    ) -> Result<(), StudyError> {
        let Some(name) = new.or(old).map(|entry| entry.filename) else {
            return Ok(());
        };
        let (old, new) = (old.map(side), new.map(side));
        if old == new {
            return Ok(());
        }
        let above = self.enter(name)?;
        // Under an equal name, both are directories or neither is.
        let is_tree = new.or(old).is_some_and(|side| side.kind == EntryKind::Tree);
        if is_tree {
            self.trees(old.map(|side| side.id), new.map(|side| side.id), depth + 1)?;
        } else {
            (self.visit)(PathChange {
                path: self.path.clone(),
                old,
                new,
            });
        }
        self.path.truncate(above);
        Ok(())
    }

    /// Goes on to a name, and answers how long the path was before.
    fn enter(&mut self, name: &[u8]) -> Result<usize, StudyError> {
        let above = self.path.len();
        if above > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        if self.path.len() > MOST_PATH_BYTES {
            return Err(StudyError::path_too_long(MOST_PATH_BYTES));
        }
        Ok(above)
    }
}

fn too_large() -> StudyError {
    StudyError::tree_too_large(MOST_ENTRIES)
}

fn order(old: &EntryRef<'_>, new: &EntryRef<'_>) -> Ordering {
    name_order(
        old.filename.as_bytes(),
        old.mode.is_tree(),
        new.filename.as_bytes(),
        new.mode.is_tree(),
    )
}

fn take<'a>(
    wanted: bool,
    entries: &mut Entries<'a>,
    tree: Option<ObjectId>,
) -> Result<Option<EntryRef<'a>>, StudyError> {
    if !wanted {
        return Ok(None);
    }
    let invalid = || tree.map_or(StudyError::Cancelled, |id| StudyError::invalid(&id));
    entries.next().transpose().map_err(|_| invalid())
}

fn side(entry: EntryRef<'_>) -> Side {
    Side {
        id: entry.oid.to_owned(),
        kind: entry.mode.kind(),
    }
}
