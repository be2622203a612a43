//! A worktree on this machine, uncommitted changes included, as the tree that a commit of it would have.
//!
//! **Invariants.**
//! - Nothing is read through a link, and nothing outside of the worktree and its repository.
//! - Nothing of the repository's configuration is trusted: no filter, hook, monitor or other program of it
//!   runs, and it does not say where the worktree is. Files count as their bytes are.
//! - Nothing is written: no object, no index, no lock.
//! - The bytes of a blob are the blob's: a file that changed since it was hashed is told, not read.

mod beneath;
mod files;
mod ignored;
mod overlay;
mod scan;
mod tracked;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gix::ObjectId;
use gix::bstr::BString;
use rustix::fs::OFlags;
use thiserror::Error;

use self::beneath::Beneath;
use self::ignored::Ignored;
use self::overlay::FileAt;
pub(crate) use self::overlay::Overlay;
use self::scan::{Found, Scan};
use self::tracked::Tracked;
use crate::content::{Content, of_git};
use crate::error::{Cause, RepoError};
use crate::repository;

/// The most bytes of an object, or of the index, that are held in memory.
const MAX_OBJECT_BYTES: u64 = 1 << 30;

/// A worktree on this machine.
#[derive(Debug, Clone)]
pub struct Worktree {
    root: PathBuf,
    repo: gix::ThreadSafeRepository,
}

/// There is no worktree at the path.
#[derive(Debug, Clone, Error)]
pub enum WorktreeError {
    /// Nothing is there.
    #[error("there is no folder {}", .0.display())]
    NotThere(PathBuf),
    /// It is something else.
    #[error("{} is no folder; name the folder of a Git worktree", .0.display())]
    NoFolder(PathBuf),
    /// Neither it nor a folder above it is a worktree.
    #[error("{} is in no Git worktree", .0.display())]
    NoWorktree(PathBuf),
    /// It is where Git keeps a repository.
    #[error("{} is inside of a Git repository's own folder; name a worktree of it", .0.display())]
    InsideRepository(PathBuf),
    /// The repository cannot be read.
    #[error("the Git repository of {} cannot be opened", .root.display())]
    Unusable {
        /// The worktree.
        root: PathBuf,
        /// Why not.
        #[source]
        cause: Cause,
    },
}

/// What a worktree held at one time.
#[derive(Debug, Clone)]
pub struct Present {
    /// The tree that a commit of it would have.
    pub tree: ObjectId,
    /// The commit that is checked out; all zeros before the first one.
    pub head: ObjectId,
    /// Files and folders that were left out because this user may not read them.
    pub unreadable: u64,
    /// Reads it.
    pub content: Content,
}

impl Worktree {
    /// The worktree that contains the folder at `path`.
    ///
    /// # Errors
    /// When there is none, or its repository cannot be opened.
    pub fn containing(path: &Path) -> Result<Self, WorktreeError> {
        let not_there = |_| WorktreeError::NotThere(path.to_owned());
        let real = path.canonicalize().map_err(not_there)?;
        if !real.is_dir() {
            return Err(WorktreeError::NoFolder(path.to_owned()));
        }
        for folder in real.ancestors() {
            let git = folder.join(".git");
            let is_there = git.symlink_metadata().is_ok();
            if is_there && (git.is_file() || gix::discover::is_git(&git).is_ok()) {
                return Self::open(folder, &git);
            }
            if gix::discover::is_git(folder).is_ok() {
                return Err(WorktreeError::InsideRepository(path.to_owned()));
            }
        }
        Err(WorktreeError::NoWorktree(path.to_owned()))
    }

    fn open(root: &Path, git: &Path) -> Result<Self, WorktreeError> {
        let repo = repository::open(git, MAX_OBJECT_BYTES);
        let repo = repo.map_err(|error| WorktreeError::Unusable {
            root: root.to_owned(),
            cause: Cause::new(error),
        })?;
        Ok(Self {
            root: root.to_owned(),
            repo: repo.into_sync(),
        })
    }

    /// Its folder, without links and dots.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that names its repository as a remote: the main worktree, or the bare repository. All
    /// worktrees of a repository have the same.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        let repo = self.repo.to_thread_local();
        let common = repo.common_dir();
        let common = common.canonicalize().unwrap_or_else(|_| common.to_owned());
        match common.parent() {
            Some(parent) if common.ends_with(".git") => parent.to_owned(),
            Some(_) | None => common,
        }
    }

    /// The URL of the remote `origin`, as it is written there. It may hold a credential.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        let repo = self.repo.to_thread_local();
        let url = repo.config_snapshot().string("remote.origin.url")?;
        String::from_utf8(url.into()).ok()
    }

    /// Looks at everything in it. This blocks, and ends soon once `stop` is set. `seen` is told now and then
    /// how many files and folders were looked at.
    ///
    /// # Errors
    /// [`RepoError::Changed`] when a file changes all the time, [`RepoError::Cancelled`] when it was told to
    /// stop; also when there is too much in it, or something cannot be read.
    pub fn look(&self, stop: &AtomicBool, seen: &dyn Fn(u64)) -> Result<Present, RepoError> {
        let mut repo = self.repo.to_thread_local();
        let head = head(&repo).map_err(unreadable)?;
        // What no object holds is asked for often, and no pack comes meanwhile.
        repo.objects.refresh_never();
        let index = repo
            .index_or_empty()
            .map_err(|error| unreadable(of_git(error)))?;
        let exclude = exclude(repo.common_dir()).unwrap_or_default();
        let root = self.hold()?;
        let scan = Scan {
            root: &root,
            repo: &repo,
            tracked: Tracked::new(&index),
            ignored: Ignored::everywhere(&exclude),
            stop,
            seen,
            count: 0,
            found: Found::default(),
        };
        let (tree, found) = scan.run()?;
        let overlay = Overlay::new(root, found.trees, found.blobs);
        Ok(Present {
            tree,
            head,
            unreadable: found.unreadable,
            content: Content::of_worktree(self.repo.clone(), Arc::new(overlay)),
        })
    }

    /// Reads blobs of it that were seen before, each with its path and length: from the repository where it has
    /// them, else from the file, as long as that has not changed. This blocks.
    ///
    /// # Errors
    /// When its folder is gone.
    pub fn seen_before(
        &self,
        files: impl IntoIterator<Item = (ObjectId, BString, u64)>,
    ) -> Result<Content, RepoError> {
        let repo = self.repo.to_thread_local();
        let missing = files.into_iter().filter(|(id, _, _)| !repo.has_object(id));
        let blobs: HashMap<ObjectId, FileAt> = missing
            .map(|(id, path, bytes)| (id, FileAt { path, bytes }))
            .collect();
        let overlay = Overlay::new(self.hold()?, HashMap::new(), blobs);
        Ok(Content::of_worktree(self.repo.clone(), Arc::new(overlay)))
    }

    fn hold(&self) -> Result<Beneath, RepoError> {
        Beneath::hold(&self.root).map_err(|error| RepoError::Worktree {
            doing: "opening its folder",
            cause: Cause::new(error),
        })
    }
}

fn head(repo: &gix::Repository) -> Result<ObjectId, RepoError> {
    let mut head = repo.head().map_err(of_git)?;
    let commit = head.try_peel_to_id().map_err(of_git)?;
    Ok(commit.map_or_else(|| ObjectId::null(repo.object_hash()), gix::Id::detach))
}

/// The rules of the whole repository, if they are a file of an honest size.
fn exclude(common_dir: &Path) -> Option<Vec<u8>> {
    let path = common_dir.join("info").join("exclude");
    // Opening a pipe must not wait for who writes to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    files::read_bounded(file)
}

/// What is wrong with a worktree's repository is nobody's damaged clone.
pub(crate) fn unreadable(error: RepoError) -> RepoError {
    if let RepoError::Corrupt { cause } = error {
        let doing = "reading its repository";
        RepoError::Worktree { doing, cause }
    } else {
        error
    }
}
