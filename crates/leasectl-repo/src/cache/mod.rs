//! The one chokepoint to repositories on this disk: every clone is made, checked, refreshed and
//! removed here.
//!
//! **Architecture invariant:** nothing else in the workspace opens a path beneath the cache's root
//! without a [`ReadyClone`] in hand.

mod derived;
mod evict;
mod failure;
mod flow;
mod handles;
mod slot;
mod types;
mod worktree;

use std::{fs, sync::Arc};

use gix::ObjectId;
use leasectl_remote::{Refspec, default_refspecs};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::types::{CloneTarget, Evicted, FetchReport, ReadyClone, RecloneReason};
use self::{handles::Handles, slot::Slots};
use crate::{
    content::of_git,
    error::{Cause, RepoError},
    layout::{self, Layout},
    lock::{InUse, Lock},
    progress::ProgressSink,
    settings::CacheSettings,
};

/// Marks a clone in which a reader met a missing or corrupt object.
const CORRUPT_MARK: &str = "leasectl-corrupt";

/// The clones on this disk; cheap to clone, safe to share between tasks and between processes.
#[derive(Debug, Clone)]
pub struct CloneCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: CacheSettings,
    slots: Slots,
    handles: Handles,
}

impl CloneCache {
    /// Opens the cache, making its directory if needed, and removes what dead processes left behind.
    ///
    /// # Errors
    /// [`RepoError::Cache`] or [`RepoError::DiskFull`] if the directory cannot be used.
    pub fn open(settings: CacheSettings) -> Result<Self, RepoError> {
        let failed = |error| RepoError::local("opening it", error);
        fs::create_dir_all(&settings.root).map_err(failed)?;
        layout::sweep(&settings.root).map_err(failed)?;
        for id in layout::repositories(&settings.root).map_err(failed)? {
            let layout = Layout::new(&settings.root, id);
            // Somebody who holds the lock is alive, and what lies there is theirs.
            if let Ok(Some(_lock)) = Lock::take_if_free(&layout.lock()) {
                layout.sweep().map_err(failed)?;
            }
        }
        let inner = Inner {
            settings,
            slots: Slots::default(),
            handles: Handles::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Returns a clone that has all the commits in `needs`, cloning or fetching as far as needed.
    ///
    /// When a healthy clone is there and nothing is needed this takes some ten microseconds. Callers
    /// that ask at the same time, in this process or another, share one clone and its failure.
    ///
    /// # Errors
    /// [`RepoError::RefNotFound`] if the remote does not offer a needed commit; else see [`RepoError`].
    pub async fn ensure_clone(
        &self,
        target: &CloneTarget,
        needs: &[ObjectId],
        progress: &dyn ProgressSink,
        cancel: &CancellationToken,
    ) -> Result<ReadyClone, RepoError> {
        if let Ok(clone) = self.look(target)
            && (needs.is_empty() || matches!(self.first_missing(&clone, needs).await, Ok(None)))
        {
            return Ok(clone);
        }
        self.ensure_slowly(target, needs, progress, cancel).await
    }

    /// Brings the clone up to date with its remote, cloning first if needed.
    ///
    /// No `refspecs` means the default ones. References that a refspec maps and that the remote no
    /// longer has are deleted, and HEAD follows the remote's default branch.
    ///
    /// # Errors
    /// [`RepoError::RefNotFound`] if a refspec without a pattern names a ref that neither the remote
    /// nor the clone has; else see [`RepoError`].
    pub async fn fetch(
        &self,
        target: &CloneTarget,
        refspecs: &[Refspec],
        progress: &dyn ProgressSink,
        cancel: &CancellationToken,
    ) -> Result<FetchReport, RepoError> {
        let refspecs = if refspecs.is_empty() {
            default_refspecs()
        } else {
            refspecs.to_vec()
        };
        self.fetch_slowly(target, &refspecs, progress, cancel).await
    }

    /// Puts a clone aside in which a reader met a missing or corrupt object, and no other that was made in its
    /// place since; the next
    /// [`ensure_clone`](Self::ensure_clone) or [`fetch`](Self::fetch) makes a new one.
    ///
    /// # Errors
    /// [`RepoError::Cache`] if it cannot be marked.
    pub fn quarantine(&self, clone: &ReadyClone) -> Result<(), RepoError> {
        let marked = clone.mark(CORRUPT_MARK);
        marked.map_err(|error| RepoError::local("marking a damaged clone", error))
    }

    /// The state of the clone right now: a handful of `stat` calls, no waiting.
    fn look(&self, target: &CloneTarget) -> Result<ReadyClone, RecloneReason> {
        let layout = self.layout(target.id);
        let dir = layout.clone_dir();
        let Ok(Some(usage)) = InUse::mark(&layout.usage()) else {
            return Err(RecloneReason::Missing);
        };
        let stamp = self.inner.slots.of(target.id).stamp(&dir)?;
        stamp.check(&dir, target.url.as_str())?;
        if fs::symlink_metadata(dir.join(CORRUPT_MARK)).is_ok() {
            return Err(RecloneReason::CorruptObject);
        }
        ReadyClone::new(target.id, dir, usage).map_err(|_| RecloneReason::Missing)
    }

    /// The first needed commit that the clone lacks.
    async fn first_missing(
        &self,
        clone: &ReadyClone,
        needs: &[ObjectId],
    ) -> Result<Option<ObjectId>, RepoError> {
        let (this, clone, needs) = (self.clone(), clone.clone(), needs.to_vec());
        let most = self.max_read_bytes();
        blocking(move || {
            this.inner
                .handles
                .first_missing(clone.path(), &needs, most)
                .map_err(of_git)
        })
        .await
    }

    /// The most memory that reading one object may take here, in bytes.
    pub(crate) fn max_read_bytes(&self) -> u64 {
        self.inner.settings.limits.max_read_bytes
    }

    fn layout(&self, id: Uuid) -> Layout {
        Layout::new(&self.inner.settings.root, id)
    }
}

/// Runs work that blocks on the disk where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RepoError> + Send + 'static,
) -> Result<T, RepoError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(RepoError::Child {
            cause: Cause::new(error),
        }),
    }
}
