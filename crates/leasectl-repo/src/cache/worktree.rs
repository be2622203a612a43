//! Checked-out commits for programs that want files: linked worktrees of the bare clone, made
//! aside and renamed, one for each commit.
//!
//! No filter, attribute driver or hook runs, because nothing in the clone's configuration is
//! trusted. Links inside a worktree are created as the repository has them: who reads files there
//! must not follow them out.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use gix::ObjectId;
use leasectl_remote::RefName;
use tokio_util::sync::CancellationToken;

use super::{CloneCache, ReadyClone, blocking};
use crate::{
    content::{named, of_git},
    error::RepoError,
    layout::{self, Layout},
    lock::Lock,
    repository,
};

impl CloneCache {
    /// Returns the directory of a checked-out worktree of `reference`, which may be a branch, a tag,
    /// a full ref name or a full commit id. It is made once for each commit and then kept.
    ///
    /// # Errors
    /// [`RepoError::RefNotFound`] if the clone has no such ref; [`RepoError::Corrupt`] if its objects
    /// cannot be read, in which case the next use clones again; else see [`RepoError`].
    pub async fn worktree(
        &self,
        clone: &ReadyClone,
        reference: &RefName,
    ) -> Result<PathBuf, RepoError> {
        let layout = self.layout(clone.id());
        let (lock_file, longest) = (
            layout.worktrees_lock(),
            self.inner.settings.limits.lock_wait,
        );
        // Nobody can ask this to stop: it takes no longer than reading one tree.
        let never = CancellationToken::new();
        let lock = Lock::wait(layout.dir(), &lock_file, longest, &never, || ()).await?;
        // Whoever asks for the files wants the large ones too.
        let most = self.inner.settings.limits.max_object_bytes;
        let (path, name) = (clone.path().to_owned(), reference.clone());
        let made = blocking(move || {
            let made = find_or_make(&path, &name, &layout, most);
            drop(lock);
            made
        })
        .await;
        if let Err(RepoError::Corrupt { .. }) = &made {
            self.quarantine(clone)?;
        }
        made
    }
}

/// Finds or makes the worktree of `reference`. Needs the lock of the worktrees.
fn find_or_make(
    clone: &Path,
    reference: &RefName,
    layout: &Layout,
    max_object_bytes: u64,
) -> Result<PathBuf, RepoError> {
    let failed = |error| RepoError::local("checking out a worktree", error);
    let repo = repository::open(clone, max_object_bytes).map_err(of_git)?;
    let (_, commit) = named(&repo, reference)?;
    let place = layout.worktrees().join(commit.to_string());
    if fs::symlink_metadata(place.join(".git")).is_ok() {
        return Ok(place);
    }
    fs::create_dir_all(layout.worktrees()).map_err(failed)?;
    layout.sweep_worktrees().map_err(failed)?;
    let fresh = layout.fresh_worktree();
    let made = check_out(&repo, commit, &fresh, &place)
        .and_then(|()| fs::rename(&fresh, &place).map_err(failed));
    if made.is_err() {
        let _ = layout::remove_all(&fresh);
    }
    made.map(|()| place)
}

/// Writes the files of a commit to `fresh`, as a worktree that will stand at `place`.
fn check_out(
    repo: &gix::Repository,
    commit: ObjectId,
    fresh: &Path,
    place: &Path,
) -> Result<(), RepoError> {
    let failed = |error| RepoError::local("checking out a worktree", error);
    let tree = repo
        .find_object(commit)
        .and_then(|object| Ok(object.peel_to_tree()?.id))
        .map_err(of_git)?;
    let mut index = repo.index_from_tree(&tree).map_err(of_git)?;
    let mut options = repo
        .checkout_options(gix::worktree::stack::state::attributes::Source::IdMapping)
        .map_err(of_git)?;
    options.destination_is_initially_empty = true;
    fs::create_dir_all(fresh).map_err(failed)?;
    let (files, bytes) = (gix::progress::Discard, gix::progress::Discard);
    let outcome = gix::worktree::state::checkout(
        &mut index,
        fresh,
        repo.objects.clone().into_arc().map_err(failed)?,
        &files,
        &bytes,
        &AtomicBool::new(false),
        options,
    )
    .map_err(of_git)?;
    if let Some(error) = outcome.errors.into_iter().next() {
        return Err(of_git(error.error));
    }
    link(repo, commit, fresh, place, &mut index)
}

/// Makes the directory a linked worktree, so that Git's own commands work in it.
fn link(
    repo: &gix::Repository,
    commit: ObjectId,
    fresh: &Path,
    place: &Path,
    index: &mut gix::index::File,
) -> Result<(), RepoError> {
    let failed = |error| RepoError::local("linking a worktree", error);
    let admin = repo.git_dir().join("worktrees").join(commit.to_string());
    let _ = layout::remove_all(&admin);
    fs::create_dir_all(&admin).map_err(failed)?;
    let line = |path: &Path| [path.as_os_str().as_encoded_bytes(), b"\n"].concat();
    for (name, content) in [
        ("HEAD", format!("{commit}\n").into_bytes()),
        ("commondir", b"../..\n".to_vec()),
        ("gitdir", line(&place.join(".git"))),
    ] {
        fs::write(admin.join(name), content).map_err(failed)?;
    }
    index.set_path(admin.join("index"));
    index
        .write(gix::index::write::Options::default())
        .map_err(of_git)?;
    let pointer = [b"gitdir: ", line(&admin).as_slice()].concat();
    fs::write(fresh.join(".git"), pointer).map_err(failed)
}
