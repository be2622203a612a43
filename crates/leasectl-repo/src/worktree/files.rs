//! The files of a worktree: what blob each is.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice as _};
use gix::objs::Kind;
use gix::objs::tree::{Entry as TreeEntry, EntryKind as GitEntryKind};
use rustix::fs::Stat;
use rustix::io::Errno;

use super::beneath::{file_in, is_denied, is_gone, kind, link_in};
use super::ignored;
use super::overlay::{FileAt, Unhashed, changed, hash};
use super::scan::{Place, Scan, entry, failed, join};
use super::tracked::Child;
use crate::error::{Cause, RepoError};

/// How often a file is read that changes under the reader's hands.
const TRIES: usize = 3;

impl Scan<'_> {
    /// What a file or a link is in the tree of its folder, if it counts.
    pub(super) fn file(
        &mut self,
        dir: &OwnedFd,
        name: BString,
        child: &Child,
        place: &Place,
        stat: &Stat,
    ) -> Result<Option<TreeEntry>, RepoError> {
        let path = join(&place.path, &name);
        let is_left_out = || place.is_ignored || self.ignored.has(path.as_bstr(), false);
        if child.entry.is_none() && is_left_out() {
            return Ok(None);
        }
        let is_link = kind(stat).is_symlink();
        let unchanged = child.entry.and_then(|at| self.tracked.unchanged(at, stat));
        let now = match unchanged {
            Some(id) => Ok(Some(id)),
            None if is_link => self.link(dir, &name),
            None => self.content(dir, &name, path)?,
        };
        let kind = if is_link {
            GitEntryKind::Link
        } else if stat.st_mode & 0o100 != 0 {
            GitEntryKind::BlobExecutable
        } else {
            GitEntryKind::Blob
        };
        match now {
            Ok(id) => Ok(id.map(|id| entry(name, kind, id))),
            // It went while it was looked at.
            Err(error) if is_gone(error) => Ok(None),
            Err(error) if is_denied(error) => {
                self.found.unreadable += 1;
                Ok(None)
            }
            Err(error) => Err(failed("reading a file", error)),
        }
    }

    /// The blob that a link is; nothing when it is none any more.
    fn link(&self, dir: &OwnedFd, name: &BString) -> Result<Option<ObjectId>, Errno> {
        let target = match link_in(dir, name.as_bstr()) {
            Err(Errno::INVAL) => return Ok(None),
            target => target?,
        };
        Ok(gix::objs::compute_hash(self.repo.object_hash(), Kind::Blob, &target).ok())
    }

    /// The blob that a file is; noted with its place when no object holds it.
    fn content(
        &mut self,
        dir: &OwnedFd,
        name: &BString,
        path: BString,
    ) -> Result<Result<Option<ObjectId>, Errno>, RepoError> {
        for _ in 0..TRIES {
            let file = match file_in(dir, name.as_bstr()) {
                Ok(file) => file,
                Err(error) => return Ok(Err(error)),
            };
            match hash(self.repo.object_hash(), file, self.stop) {
                Ok((id, bytes)) => {
                    if !self.repo.has_object(id) {
                        self.found.blobs.insert(id, FileAt { path, bytes });
                    }
                    return Ok(Ok(Some(id)));
                }
                Err(Unhashed::Changed) => {}
                Err(Unhashed::Stopped) => return Err(RepoError::Cancelled),
                Err(Unhashed::Failed(error)) => {
                    return Err(RepoError::Worktree {
                        doing: "reading a file",
                        cause: Cause::new(error),
                    });
                }
            }
        }
        Err(changed(&path))
    }
}

/// The rules that stand in a folder; nothing when they are too long to be any.
pub(super) fn rules_in(dir: &OwnedFd, names: &[BString]) -> Option<Vec<u8>> {
    let name = names.iter().find(|name| *name == ignored::FILE)?;
    read_bounded(file_in(dir, name.as_bstr()).ok()?)
}

/// The file's bytes, unless they are too many for rules.
pub(super) fn read_bounded(file: File) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(ignored::MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    (bytes.len() as u64 <= ignored::MAX_BYTES).then_some(bytes)
}
