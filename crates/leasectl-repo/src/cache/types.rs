//! What goes into the cache's operations and what comes out.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use leasectl_remote::RemoteUrl;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::changes::ChangeRef;
use crate::lock::InUse;

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
    /// The very clone that was found at the path: another one may stand there by now.
    folder: Arc<OwnedFd>,
    /// Keeps it from being evicted, in all processes.
    _usage: Arc<InUse>,
}

impl ReadyClone {
    pub(crate) fn new(id: Uuid, path: PathBuf, usage: InUse) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self {
            id,
            path,
            recloned: None,
            folder: Arc::new(folder),
            _usage: Arc::new(usage),
        })
    }

    /// Leaves an empty file in the clone, wherever it is by now; nothing happens if it is gone.
    pub(crate) fn mark(&self, name: &str) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR);
        match made {
            Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn with_reason(self, reason: RecloneReason) -> Self {
        Self {
            recloned: Some(reason),
            ..self
        }
    }

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
    /// All changes of the clone, by family and number.
    pub change_refs: Vec<ChangeRef>,
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

/// What `CloneCache::evict_to_budget` removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Ids of the clones that were removed, least recently used first.
    pub clones: Vec<Uuid>,
    /// Bytes that were freed.
    pub freed_bytes: u64,
    /// Bytes that the cache still uses.
    pub used_bytes: u64,
}
