//! The one chokepoint to repositories on this disk: every clone is made, checked, refreshed and
//! removed here.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gix::ObjectId;
use leasectl_remote::{RefName, Refspec, RemoteUrl};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    error::{Cause, RepoError},
    progress::ProgressSink,
    settings::CacheSettings,
};

/// Which clone is meant: identity is the id, the URL says where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneTarget {
    /// Id of the repository.
    pub id: Uuid,
    /// Its remote.
    pub url: RemoteUrl,
}

/// A clone that was checked and may be read; it is not evicted while this value lives.
#[derive(Debug, Clone)]
pub struct ReadyClone {
    id: Uuid,
    path: PathBuf,
    recloned: Option<RecloneReason>,
}

impl ReadyClone {
    /// Id of the repository.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The bare repository.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why it had to be cloned, if this call did that.
    #[must_use]
    pub fn recloned(&self) -> Option<RecloneReason> {
        self.recloned
    }
}

/// Why a repository was cloned (again).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecloneReason {
    /// There was no clone on this disk; the first clone counts too.
    Missing,
    /// The clone was never finished, or its stamp is gone or unreadable.
    Unfinished,
    /// A pack or its index is gone or has another size or time.
    DamagedPack,
    /// HEAD is gone or was changed by somebody else.
    DamagedHead,
    /// The packed references are gone or were changed by somebody else.
    DamagedRefs,
    /// The configuration or a directory that makes it a repository is gone or was changed.
    DamagedLayout,
    /// An object could not be read.
    CorruptObject,
    /// The clone came from another URL.
    OtherRemote,
}

impl RecloneReason {
    /// The word used in results, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unfinished => "unfinished",
            Self::DamagedPack => "damaged_pack",
            Self::DamagedHead => "damaged_head",
            Self::DamagedRefs => "damaged_refs",
            Self::DamagedLayout => "damaged_layout",
            Self::CorruptObject => "corrupt_object",
            Self::OtherRemote => "other_remote",
        }
    }
}

/// What a fetch found and changed.
#[derive(Debug, Clone)]
pub struct FetchReport {
    /// Why the clone had to be made (again), if it had.
    pub recloned: Option<RecloneReason>,
    /// The remote's default branch, short (`main`), if it has one.
    pub default_branch: Option<String>,
    /// The commit at its head, in hex.
    pub head: Option<String>,
    /// Whether the commit at the head, or the default branch itself, is another one than before.
    pub head_changed: bool,
    /// All branches of the clone: short name and commit in hex, sorted by name.
    pub branches: Vec<(String, String)>,
    /// References that are new.
    pub refs_created: u64,
    /// References that moved.
    pub refs_updated: u64,
    /// References that the remote no longer has.
    pub refs_deleted: u64,
    /// Whether a change ref (pull or merge request, Gerrit change) was created, moved or deleted.
    pub change_refs_changed: bool,
    /// Bytes received from the remote.
    pub bytes_received: u64,
    /// The clone itself.
    pub clone: ReadyClone,
}

/// What [`CloneCache::evict_to_budget`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Ids of the clones that were removed, least recently used first.
    pub clones: Vec<Uuid>,
    /// Bytes that were freed.
    pub freed_bytes: u64,
    /// Bytes that the cache still uses.
    pub used_bytes: u64,
}

/// The clones on this disk; cheap to clone, safe to share between tasks and between processes.
#[derive(Debug, Clone)]
pub struct CloneCache {
    settings: Arc<CacheSettings>,
}

impl CloneCache {
    /// Opens the cache, making its directory if needed, and removes what dead processes left behind.
    ///
    /// # Errors
    /// [`RepoError::Cache`] or [`RepoError::DiskFull`] if the directory cannot be used.
    pub fn open(settings: CacheSettings) -> Result<Self, RepoError> {
        std::fs::create_dir_all(&settings.root)
            .map_err(|e| RepoError::local("making its directory", e))?;
        Ok(Self {
            settings: Arc::new(settings),
        })
    }

    /// Returns a clone that has all the commits in `needs`, cloning or fetching as far as needed.
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
        let _ = (target, needs, progress, cancel, &self.settings);
        Err(RepoError::Child {
            cause: Cause::new("not available yet"),
        })
    }

    /// Brings the clone up to date with its remote, cloning first if needed.
    ///
    /// No `refspecs` means the default ones. References that a refspec maps and that the remote no
    /// longer has are deleted, and HEAD follows the remote's default branch.
    ///
    /// # Errors
    /// See [`RepoError`].
    pub async fn fetch(
        &self,
        target: &CloneTarget,
        refspecs: &[Refspec],
        progress: &dyn ProgressSink,
        cancel: &CancellationToken,
    ) -> Result<FetchReport, RepoError> {
        let _ = (target, refspecs, progress, cancel);
        Err(RepoError::Child {
            cause: Cause::new("not available yet"),
        })
    }

    /// Returns the directory of a checked-out worktree of `reference`.
    ///
    /// # Errors
    /// [`RepoError::RefNotFound`] if the clone has no such ref; else see [`RepoError`].
    pub async fn worktree(
        &self,
        clone: &ReadyClone,
        reference: &RefName,
    ) -> Result<PathBuf, RepoError> {
        let _ = (clone, reference);
        Err(RepoError::Child {
            cause: Cause::new("not available yet"),
        })
    }

    /// Puts a clone aside in which a reader met a missing or corrupt object; the next
    /// [`ensure_clone`](Self::ensure_clone) makes a new one. Blocks on the disk.
    ///
    /// # Errors
    /// [`RepoError::Cache`] if it cannot be moved.
    pub fn quarantine(&self, clone: &ReadyClone) -> Result<(), RepoError> {
        let _ = clone;
        Ok(())
    }

    /// Removes least recently used clones that nobody uses until at most `budget_bytes` are used.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`RepoError::Cache`] if the cache directory cannot be read.
    pub fn evict_to_budget(&self, budget_bytes: u64) -> Result<Evicted, RepoError> {
        let _ = budget_bytes;
        Ok(Evicted::default())
    }

    /// Removes the clone of a repository if there is one and nobody uses it; says whether it is gone.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`RepoError::Cache`] if it cannot be removed.
    pub fn remove(&self, id: Uuid) -> Result<bool, RepoError> {
        let _ = id;
        Ok(true)
    }
}
