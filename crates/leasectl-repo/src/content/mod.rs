//! The content of a clone or of a worktree on this machine: commits, trees and blobs, read by id and never
//! through paths that could lead elsewhere.

mod attributes;

use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice as _};
use gix::error::Class;
use gix::objs::tree::EntryKind as GitEntryKind;
use leasectl_remote::RefName;

pub use self::attributes::{AttributeRules, Marks, MarksReader};
use crate::cache::{CloneCache, ReadyClone, blocking};
use crate::error::{Cause, RepoError, is_disk_full};
use crate::lost_pages::{self, Since};
use crate::repository;
use crate::worktree::{Overlay, unreadable};

/// What a ref leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The ref: a branch by its short name, anything else by its full one, a commit by its id.
    pub name: String,
    /// The commit.
    pub commit: ObjectId,
    /// The commit's tree.
    pub tree: ObjectId,
}

/// What stands in a directory under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without slashes.
    pub name: BString,
    /// What it is.
    pub kind: EntryKind,
    /// The object.
    pub id: ObjectId,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Dir,
    /// A file, executable or not.
    File,
    /// A symbolic link; its blob is where it points.
    Link,
    /// A commit of another repository.
    Submodule,
}

/// A blob that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobRead {
    /// Its bytes are in the caller's buffer.
    Whole,
    /// It is longer than was asked for, or takes more memory to read than it may, and was not read.
    TooLong {
        /// Its length in bytes.
        bytes: u64,
    },
    /// The object is something else: no honest tree names it as a file.
    NoBlob,
}

/// Reads the content of one clone or worktree; share it between threads, and take a [`Handle`] in each.
#[derive(Debug, Clone)]
pub struct Content {
    repo: gix::ThreadSafeRepository,
    source: Source,
    opened: Since,
}

#[derive(Debug, Clone)]
enum Source {
    /// Keeps the clone from being evicted.
    Clone(ReadyClone),
    /// Knows what no object holds.
    Worktree(Arc<Overlay>),
}

/// Reads the content of one clone or worktree on one thread.
#[derive(Debug)]
pub struct Handle {
    repo: gix::Repository,
    worktree: Option<Arc<Overlay>>,
    opened: Since,
}

impl CloneCache {
    /// Opens a clone for reading. When reading fails with [`RepoError::Corrupt`], give the clone to
    /// [`quarantine`](Self::quarantine) and ask for it again.
    ///
    /// # Errors
    /// [`RepoError::Corrupt`] if it cannot be opened.
    pub async fn content(&self, clone: &ReadyClone) -> Result<Content, RepoError> {
        let most = self.max_read_bytes();
        let clone = clone.clone();
        blocking(move || {
            let opened = Since::now();
            let repo = repository::open(clone.path(), most)
                .map_err(of_git)?
                .into_sync();
            let source = Source::Clone(clone);
            Ok(Content {
                repo,
                source,
                opened,
            })
        })
        .await
    }
}

impl Content {
    pub(crate) fn of_worktree(repo: gix::ThreadSafeRepository, files: Arc<Overlay>) -> Self {
        Self {
            repo,
            source: Source::Worktree(files),
            opened: Since::now(),
        }
    }

    /// The repository itself, for this thread.
    pub(crate) fn repository(&self) -> gix::Repository {
        self.repo.to_thread_local()
    }

    /// When it was opened: its maps may be older than those who read through them.
    pub(crate) fn opened(&self) -> Since {
        self.opened
    }

    /// A handle for this thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        // Trees and the blobs of one directory share delta bases.
        self.handle_keeping(8 << 20)
    }

    /// A handle for one thread at a time that keeps so many bytes of the objects that it read, to read them
    /// again.
    #[must_use]
    pub fn handle_keeping(&self, bytes: usize) -> Handle {
        let mut repo = self.repo.to_thread_local();
        repo.object_cache_size(Some(bytes));
        let worktree = match &self.source {
            Source::Clone(_) => None,
            Source::Worktree(files) => Some(Arc::clone(files)),
        };
        Handle {
            repo,
            worktree,
            opened: self.opened,
        }
    }

    /// The clone that is read, if it is one.
    #[must_use]
    pub fn clone_read(&self) -> Option<&ReadyClone> {
        match &self.source {
            Source::Clone(clone) => Some(clone),
            Source::Worktree(_) => None,
        }
    }
}

impl Handle {
    /// What a ref leads to; HEAD when none is given.
    ///
    /// # Errors
    /// [`RepoError::RefNotFound`] if the clone has no such ref or commit, or HEAD is unborn;
    /// [`RepoError::Corrupt`] if the clone cannot be read.
    pub fn resolve(&self, reference: Option<&RefName>) -> Result<Snapshot, RepoError> {
        let (name, commit) = match self.commit_of(reference) {
            Err(RepoError::RefNotFound { .. }) => self.anew(|anew| anew.commit_of(reference)),
            found => found,
        }?;
        self.at(name, commit)
    }

    fn commit_of(&self, reference: Option<&RefName>) -> Result<(String, ObjectId), RepoError> {
        match reference {
            None => head(&self.repo),
            Some(reference) => named(&self.repo, reference),
        }
    }

    fn anew<T>(&self, read: impl FnOnce(&Self) -> Result<T, RepoError>) -> Result<T, RepoError> {
        let opened = Since::now();
        lost_pages::anew(&self.repo, of_git, |repo| {
            let worktree = self.worktree.clone();
            read(&Self {
                repo,
                worktree,
                opened,
            })
        })
    }

    /// A commit that somebody recorded for a ref, under the ref's name as [`Snapshot::name`] says it.
    ///
    /// # Errors
    /// [`RepoError::Corrupt`] if the clone lacks the commit, or its tree.
    pub fn at(&self, name: String, commit: ObjectId) -> Result<Snapshot, RepoError> {
        let tree = self
            .repo
            .find_commit(commit)
            .and_then(|commit| Ok(commit.tree_id()?.detach()))
            .map_err(of_git)?;
        Ok(Snapshot { name, commit, tree })
    }

    /// What stands in a directory, in Git's order.
    ///
    /// # Errors
    /// [`RepoError::Corrupt`] if the tree is missing or damaged.
    pub fn dir(&self, tree: ObjectId) -> Result<Vec<DirEntry>, RepoError> {
        if let Some(entries) = self.worktree.as_ref().and_then(|files| files.dir(tree)) {
            return Ok(entries.to_vec());
        }
        self.dir_of_object(tree)
            .map_err(|error| self.in_its_words(error))
    }

    fn dir_of_object(&self, tree: ObjectId) -> Result<Vec<DirEntry>, RepoError> {
        let tree = self.repo.find_tree(tree).map_err(of_git)?;
        self.check(tree.id, gix::objs::Kind::Tree, &tree.data)?;
        let entries = tree.iter().map(|entry| {
            let entry = entry.map_err(of_git)?;
            Ok(DirEntry {
                name: entry.filename().to_owned(),
                kind: entry_kind(entry.kind()),
                id: entry.object_id(),
            })
        });
        entries.collect()
    }

    /// The rules beneath a directory with these entries, where `above` were in force above it. `path` is
    /// the directory's, from the root, without a slash at its end.
    ///
    /// # Errors
    /// [`RepoError::Corrupt`] if its file of attributes is missing or damaged.
    pub fn rules_beneath(
        &self,
        above: &AttributeRules,
        path: &BStr,
        entries: &[DirEntry],
    ) -> Result<AttributeRules, RepoError> {
        let is_rules = |entry: &&DirEntry| {
            entry.kind == EntryKind::File && entry.name == attributes::FILE.as_bstr()
        };
        let mut file = Vec::new();
        match entries.iter().find(is_rules) {
            Some(entry)
                if self.blob(entry.id, attributes::MAX_BYTES, &mut file)? == BlobRead::Whole =>
            {
                Ok(above.beneath(path, &file))
            }
            _ => Ok(above.clone()),
        }
    }

    /// Reads a blob into `buffer`, unless it is longer than `most_bytes`.
    ///
    /// # Errors
    /// [`RepoError::Corrupt`] if the object is missing or damaged, [`RepoError::Changed`] if a worktree's file
    /// is another blob by now.
    pub fn blob(
        &self,
        id: ObjectId,
        most_bytes: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<BlobRead, RepoError> {
        let in_worktree = self.worktree.as_ref();
        if let Some(read) = in_worktree.and_then(|files| files.blob(id, most_bytes, buffer)) {
            return read;
        }
        let read = match self.object(id, most_bytes, buffer) {
            // Its length may be made up of what is left.
            Ok(BlobRead::TooLong { .. }) | Err(RepoError::Unwieldy { .. })
                if self.opened.has_lost() =>
            {
                self.anew(|anew| anew.object(id, most_bytes, buffer))
            }
            read => read,
        };
        read.map_err(|error| self.in_its_words(error))
    }

    /// Whether an object holds it; a worktree's files are not looked at.
    #[must_use]
    pub fn has(&self, id: ObjectId) -> bool {
        self.repo.has_object(id)
    }

    /// A worktree's repository is no clone, so nobody makes it again.
    fn in_its_words(&self, error: RepoError) -> RepoError {
        if self.worktree.is_some() {
            unreadable(error)
        } else {
            error
        }
    }

    /// Whether the object is what its id says. A clone was checked when it was made, unless it lost pages since; the
    /// repository of a worktree is whoever's, and what is made known of an id is known to everybody.
    fn check(&self, id: ObjectId, kind: gix::objs::Kind, data: &[u8]) -> Result<(), RepoError> {
        if self.worktree.is_none() && !self.opened.has_lost() {
            return Ok(());
        }
        match gix::objs::compute_hash(id.kind(), kind, data) {
            Ok(found) if found == id => Ok(()),
            Ok(_) | Err(_) => Err(damaged("an object is not what its id says")),
        }
    }

    fn object(
        &self,
        id: ObjectId,
        most_bytes: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<BlobRead, RepoError> {
        use gix::objs::{Find as _, Kind};
        let bytes = self.repo.find_header(id).map_err(of_git)?.size();
        if bytes > most_bytes {
            return Ok(BlobRead::TooLong { bytes });
        }
        let read = match self.repo.objects.try_find(&id, buffer) {
            Ok(Some(object)) if object.kind == Kind::Blob => {
                self.check(id, Kind::Blob, object.data)?;
                BlobRead::Whole
            }
            Ok(Some(_)) => BlobRead::NoBlob,
            Ok(None) => return Err(damaged("a blob is missing")),
            // It is small, and a change of something large.
            Err(error) if is_unwieldy(&error) => {
                buffer.clear();
                BlobRead::TooLong { bytes }
            }
            Err(error) => return Err(of_git(error)),
        };
        // What it was a change of is not kept room for.
        buffer.shrink_to(usize::try_from(most_bytes).unwrap_or(usize::MAX));
        Ok(read)
    }
}

/// What Git's kind of an entry is here.
pub(crate) fn entry_kind(kind: GitEntryKind) -> EntryKind {
    match kind {
        GitEntryKind::Tree => EntryKind::Dir,
        GitEntryKind::Blob | GitEntryKind::BlobExecutable => EntryKind::File,
        GitEntryKind::Link => EntryKind::Link,
        GitEntryKind::Commit => EntryKind::Submodule,
    }
}

fn head(repo: &gix::Repository) -> Result<(String, ObjectId), RepoError> {
    let unborn = || RepoError::RefNotFound {
        reference: "HEAD".to_owned(),
    };
    let mut head = repo.head().map_err(of_git)?;
    let name = head
        .referent_name()
        .map(|name| shown(name.as_bstr().to_string()));
    let commit = head.try_peel_to_id().map_err(of_git)?.ok_or_else(unborn)?;
    let commit = commit.detach();
    Ok((name.unwrap_or_else(|| commit.to_string()), commit))
}

/// The commit that a name or an id leads to, and how it is called.
pub(crate) fn named(
    repo: &gix::Repository,
    reference: &RefName,
) -> Result<(String, ObjectId), RepoError> {
    let missing = || RepoError::RefNotFound {
        reference: reference.as_str().to_owned(),
    };
    let (name, id) = if let Ok(id) = ObjectId::from_hex(reference.as_str().as_bytes()) {
        (id.to_string(), id)
    } else {
        let found = repo
            .try_find_reference(reference.as_str())
            .map_err(of_git)?
            .ok_or_else(missing)?;
        let name = shown(found.name().as_bstr().to_string());
        (name, found.into_fully_peeled_id().map_err(of_git)?.detach())
    };
    let object = repo.try_find_object(id).map_err(of_git)?;
    let commit = object.ok_or_else(missing)?.peel_to_commit();
    Ok((name, commit.map_err(|_| missing())?.id))
}

/// A branch by its short name, anything else as it is.
fn shown(full: String) -> String {
    match full.strip_prefix("refs/heads/") {
        Some(short) => short.to_owned(),
        None => full,
    }
}

fn damaged(what: &'static str) -> RepoError {
    RepoError::Corrupt {
        cause: Cause::new(std::io::Error::other(what)),
    }
}

/// An error of Git while reading the clone or writing files.
pub(crate) fn of_git(error: gix::Error) -> RepoError {
    let full = error.iter_errors().any(|error| {
        error
            .downcast_ref::<std::io::Error>()
            .is_some_and(is_disk_full)
    });
    let unwieldy = is_unwieldy(&error);
    let cause = Cause::new(error);
    if full {
        RepoError::DiskFull
    } else if unwieldy {
        RepoError::Unwieldy { cause }
    } else {
        RepoError::Corrupt { cause }
    }
}

/// Whether there is nothing wrong but that it takes too much memory.
fn is_unwieldy(error: &gix::Error) -> bool {
    let mut found = error.classify();
    found.any(|found| matches!(found.class(), Class::ResourceExhaustion(_)))
}
