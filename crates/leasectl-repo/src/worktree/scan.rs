//! Finds the tree that a commit of everything in a worktree would have.
//!
//! The folders are walked beside the index. A file whose data in the file system prove that it is what the
//! index has is not opened; any other is hashed as it is, without a filter. Memory holds the folders from the
//! root down to the one that is looked at, and of the rest what no object holds.

use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice as _, ByteVec as _};
use gix::index::entry::Mode;
use gix::objs::tree::{Entry as TreeEntry, EntryKind as GitEntryKind};
use gix::objs::{Kind, Tree, WriteTo as _};
use rustix::io::Errno;

use super::beneath::{Beneath, is_denied, is_gone, kind, list, stat_in};
use super::files::rules_in;
use super::ignored::Ignored;
use super::overlay::FileAt;
use super::tracked::{BadPath, Child, Tracked};
use crate::content::{DirEntry, entry_kind};
use crate::error::{Cause, RepoError};

/// The most files and folders of a worktree; trees that have more are not indexed.
const MAX_ENTRIES: u64 = 1_000_000;

/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 4_096;

/// One look at a worktree.
pub(super) struct Scan<'a> {
    pub(super) root: &'a Beneath,
    pub(super) repo: &'a gix::Repository,
    pub(super) tracked: Tracked<'a>,
    pub(super) ignored: Ignored,
    pub(super) stop: &'a AtomicBool,
    /// Told how many files and folders were looked at.
    pub(super) seen: &'a dyn Fn(u64),
    pub(super) count: u64,
    pub(super) found: Found,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Trees that no object holds, and files.
    pub(super) trees: HashMap<ObjectId, Vec<DirEntry>>,
    pub(super) blobs: HashMap<ObjectId, FileAt>,
    /// Files and folders that this user may not read.
    pub(super) unreadable: u64,
}

/// A folder that is to be looked at.
pub(super) struct Place {
    name: BString,
    /// From the root, without a slash at the end.
    pub(super) path: BString,
    /// Its entries of the index.
    tracked: Range<usize>,
    /// A rule leaves it out, so only what the index has of it counts.
    pub(super) is_ignored: bool,
    /// It is not on the disk, and parts of it count nevertheless.
    is_absent: bool,
}

/// A folder that is being looked at.
struct Level {
    name: BString,
    entries: Vec<TreeEntry>,
    below: Vec<Place>,
    /// It has rules of its own.
    has_rules: bool,
}

impl Scan<'_> {
    /// Looks at all of it; answers the tree, and what no object holds of it.
    pub(super) fn run(mut self) -> Result<(ObjectId, Found), RepoError> {
        let root = Place {
            name: BString::default(),
            path: BString::default(),
            tracked: self.tracked.all(),
            is_ignored: false,
            is_absent: false,
        };
        let mut levels = vec![self.enter(root)?];
        loop {
            let below = levels.last_mut().and_then(|level| level.below.pop());
            if let Some(below) = below {
                levels.push(self.enter(below)?);
                continue;
            }
            let Some(level) = levels.pop() else {
                let nothing = ObjectId::empty_tree(self.repo.object_hash());
                return Ok((nothing, self.found));
            };
            if level.has_rules {
                self.ignored.leave();
            }
            let is_empty = level.entries.is_empty();
            let tree = self.tree(level.entries)?;
            match levels.last_mut() {
                None => return Ok((tree, self.found)),
                // Git knows no empty folders.
                Some(_) if is_empty => {}
                Some(above) => above
                    .entries
                    .push(entry(level.name, GitEntryKind::Tree, tree)),
            }
        }
    }

    /// Reads a folder, and of what is in it everything but the folders.
    fn enter(&mut self, place: Place) -> Result<Level, RepoError> {
        if place.path.len() > MAX_PATH_BYTES {
            return Err(too_large("it has a path of more than 4,096 bytes"));
        }
        let prefix = if place.path.is_empty() {
            0
        } else {
            place.path.len() + 1
        };
        let children = self.tracked.children(place.tracked.clone(), prefix);
        let mut children = children.map_err(|error| bad_index(&error))?;
        let mut level = Level {
            name: place.name.clone(),
            entries: Vec::new(),
            below: Vec::new(),
            has_rules: false,
        };
        if !place.is_absent {
            match self.root.dir(place.path.as_bstr()) {
                Ok(dir) => self.read(&dir, &place, &mut children, &mut level)?,
                Err(error) if is_gone(error) => {}
                Err(error) if is_denied(error) => self.found.unreadable += 1,
                Err(error) => return Err(failed("opening a folder", error)),
            }
        }
        for (name, child) in children {
            self.keep(name, child, &place, &mut level);
        }
        Ok(level)
    }

    fn read(
        &mut self,
        dir: &OwnedFd,
        place: &Place,
        children: &mut HashMap<BString, Child>,
        level: &mut Level,
    ) -> Result<(), RepoError> {
        let names = if place.is_ignored {
            children.keys().cloned().collect()
        } else {
            let listing = list(dir).map_err(|error| failed("listing a folder", error))?;
            if listing.has_git && place.tracked.is_empty() && !place.path.is_empty() {
                // Another repository, which is none of this one's content.
                return Ok(());
            }
            if let Some(rules) = rules_in(dir, &listing.names) {
                self.ignored.enter(place.path.as_bstr(), &rules);
                level.has_rules = true;
            }
            listing.names
        };
        for name in names {
            self.counted()?;
            let stat = match stat_in(dir, name.as_bstr()) {
                Ok(stat) => stat,
                Err(error) if is_gone(error) => continue,
                Err(error) if is_denied(error) => {
                    self.found.unreadable += 1;
                    continue;
                }
                Err(error) => return Err(failed("looking at a file", error)),
            };
            let child = children.remove(&name).unwrap_or_default();
            // Git has no pipes, sockets or devices.
            if kind(&stat).is_dir() {
                self.folder(name, child, place, level);
            } else if kind(&stat).is_file() || kind(&stat).is_symlink() {
                let found = self.file(dir, name, &child, place, &stat)?;
                level.entries.extend(found);
            }
        }
        Ok(())
    }

    fn counted(&mut self) -> Result<(), RepoError> {
        self.count += 1;
        if self.count > MAX_ENTRIES {
            return Err(too_large("it has more than 1,000,000 files and folders"));
        }
        if self.count.is_multiple_of(256) {
            (self.seen)(self.count);
            if self.stop.load(Ordering::Relaxed) {
                return Err(RepoError::Cancelled);
            }
        }
        Ok(())
    }

    fn folder(&self, name: BString, child: Child, place: &Place, level: &mut Level) {
        if let Some(at) = child.entry {
            if let Some(commit) = self.tracked.submodule(at) {
                level
                    .entries
                    .push(entry(name, GitEntryKind::Commit, commit));
                return;
            }
            if let Some((Mode::DIR, tree)) = self.tracked.kept(at) {
                level.entries.push(entry(name, GitEntryKind::Tree, tree));
                return;
            }
        }
        let path = join(&place.path, &name);
        let is_ignored = place.is_ignored || self.ignored.has(path.as_bstr(), true);
        if child.below.is_some() || !is_ignored {
            level.below.push(Place {
                name,
                path,
                tracked: child.below.unwrap_or_default(),
                is_ignored,
                is_absent: false,
            });
        }
    }

    /// What the index has under a name that is not on the disk.
    fn keep(&self, name: BString, child: Child, place: &Place, level: &mut Level) {
        if let Some(below) = child.below {
            if self.tracked.keeps_any(below.clone()) {
                level.below.push(Place {
                    path: join(&place.path, &name),
                    name,
                    tracked: below,
                    is_ignored: true,
                    is_absent: true,
                });
            }
        } else if let Some((mode, id)) = child.entry.and_then(|at| self.tracked.kept(at)) {
            let kind = match mode {
                Mode::DIR => GitEntryKind::Tree,
                Mode::FILE_EXECUTABLE => GitEntryKind::BlobExecutable,
                Mode::SYMLINK => GitEntryKind::Link,
                Mode::COMMIT => GitEntryKind::Commit,
                _ => GitEntryKind::Blob,
            };
            level.entries.push(entry(name, kind, id));
        }
    }

    /// The tree with these entries; noted when no object holds it.
    fn tree(&mut self, mut entries: Vec<TreeEntry>) -> Result<ObjectId, RepoError> {
        entries.sort_unstable();
        let tree = Tree { entries };
        let mut bytes = Vec::new();
        let unusable = |cause| RepoError::Worktree {
            doing: "making a tree of a folder",
            cause,
        };
        tree.write_to(&mut bytes)
            .map_err(|error| unusable(Cause::new(error)))?;
        let id = gix::objs::compute_hash(self.repo.object_hash(), Kind::Tree, &bytes)
            .map_err(|error| unusable(Cause::new(error)))?;
        if !self.repo.has_object(id) {
            let entries = tree.entries.into_iter().map(|entry| DirEntry {
                kind: entry_kind(entry.mode.kind()),
                name: entry.filename,
                id: entry.oid,
            });
            self.found.trees.insert(id, entries.collect());
        }
        Ok(id)
    }
}

pub(super) fn entry(filename: BString, kind: GitEntryKind, oid: ObjectId) -> TreeEntry {
    TreeEntry {
        mode: kind.into(),
        filename,
        oid,
    }
}

pub(super) fn join(dir: &BString, name: &BString) -> BString {
    let mut path = BString::new(Vec::with_capacity(dir.len() + 1 + name.len()));
    if !dir.is_empty() {
        path.push_str(dir);
        path.push_byte(b'/');
    }
    path.push_str(name);
    path
}

pub(super) fn failed(doing: &'static str, error: Errno) -> RepoError {
    RepoError::Worktree {
        doing,
        cause: Cause::new(std::io::Error::from(error)),
    }
}

fn too_large(why: &str) -> RepoError {
    RepoError::InvalidArgument {
        what: "the worktree".to_owned(),
        why: why.to_owned(),
    }
}

fn bad_index(error: &BadPath) -> RepoError {
    RepoError::InvalidArgument {
        what: "the worktree".to_owned(),
        why: error.to_string(),
    }
}
