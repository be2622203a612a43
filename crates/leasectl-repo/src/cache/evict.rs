//! Making room: which clones go, and how none is taken from somebody who reads it.

use std::{fs, io, time::SystemTime};

use uuid::Uuid;

use super::{CloneCache, Evicted};
use crate::{
    error::RepoError,
    layout::{self, Layout},
    lock::Lock,
};

/// A clone that might go.
struct Candidate {
    id: Uuid,
    last_used: SystemTime,
    bytes: u64,
}

impl CloneCache {
    /// Removes least recently used clones that nobody uses until at most `budget_bytes` are used.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`RepoError::Cache`] if the cache directory cannot be read.
    pub fn evict_to_budget(&self, budget_bytes: u64) -> Result<Evicted, RepoError> {
        let root = &self.inner.settings.root;
        let failed = |error| RepoError::local("measuring it", error);
        let mut candidates = Vec::new();
        for id in layout::repositories(root).map_err(failed)? {
            let layout = Layout::new(root, id);
            let last_used = fs::metadata(layout.usage()).and_then(|meta| meta.modified());
            candidates.push(Candidate {
                id,
                last_used: last_used.unwrap_or(SystemTime::UNIX_EPOCH),
                bytes: layout::disk_usage(layout.dir()),
            });
        }
        candidates.sort_by_key(|candidate| candidate.last_used);
        let mut evicted = Evicted {
            used_bytes: candidates.iter().map(|c| c.bytes).sum(),
            ..Evicted::default()
        };
        for candidate in candidates {
            if evicted.used_bytes <= budget_bytes {
                break;
            }
            if self.remove(candidate.id)? {
                tracing::info!(repository = %candidate.id, bytes = candidate.bytes, "clone evicted");
                evicted.clones.push(candidate.id);
                evicted.freed_bytes += candidate.bytes;
                evicted.used_bytes -= candidate.bytes;
            }
        }
        Ok(evicted)
    }

    /// Removes the clone of a repository if there is one and nobody uses it; says whether it is gone.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`RepoError::Cache`] if it cannot be removed.
    pub fn remove(&self, id: Uuid) -> Result<bool, RepoError> {
        let root = &self.inner.settings.root;
        let layout = Layout::new(root, id);
        let removed = (|| -> io::Result<bool> {
            if fs::symlink_metadata(layout.dir()).is_err() {
                return Ok(true);
            }
            let Some(_lock) = Lock::take_if_free(&layout.lock())? else {
                return Ok(false);
            };
            let Some(_usage) = Lock::take_if_free(&layout.usage())? else {
                return Ok(false);
            };
            let aside = layout.set_aside(root)?;
            layout::remove_all(&aside)?;
            Ok(true)
        })();
        let gone = removed.map_err(|error| RepoError::local("removing a clone", error))?;
        if gone {
            self.inner.slots.forget(id);
            self.inner.handles.forget(&layout.clone_dir());
        }
        Ok(gone)
    }
}
