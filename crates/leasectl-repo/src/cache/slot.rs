//! What this process remembers about each clone, so that a warm look costs a few `stat` calls.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use uuid::Uuid;

use super::RecloneReason;
use crate::{
    error::RepoError,
    stamp::{self, Print, Stamp},
};

/// One repository.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Held by the task of this process that works on the clone; the file lock comes after it.
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
    stamp: Mutex<Option<(Print, Arc<Stamp>)>>,
    failure: Mutex<Option<(Instant, RepoError)>>,
}

impl Slot {
    /// The stamp of the clone in `dir`, read again only if the file changed.
    pub(crate) fn stamp(&self, dir: &Path) -> Result<Arc<Stamp>, RecloneReason> {
        let print = match Print::of(&stamp::path(dir)) {
            Ok(print) => print,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Stamp::read(dir).err().unwrap_or(RecloneReason::Unfinished));
            }
            Err(_) => return Err(RecloneReason::Unfinished),
        };
        let mut cached = locked(&self.stamp);
        if let Some((of, stamp)) = &*cached
            && *of == print
        {
            return Ok(Arc::clone(stamp));
        }
        let stamp = Arc::new(Stamp::read(dir)?);
        *cached = Some((print, Arc::clone(&stamp)));
        Ok(stamp)
    }

    /// Notes how an attempt to clone ended, for those who wait for it.
    pub(crate) fn note_failure(&self, error: &RepoError) {
        *locked(&self.failure) = Some((Instant::now(), error.clone()));
    }

    /// The failure of an attempt that ended after `since`.
    pub(crate) fn failure_after(&self, since: Instant) -> Option<RepoError> {
        locked(&self.failure)
            .as_ref()
            .filter(|(at, _)| *at > since)
            .map(|(_, error)| error.clone())
    }
}

/// All repositories that this process has met.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<HashMap<Uuid, Arc<Slot>>>);

impl Slots {
    pub(crate) fn of(&self, id: Uuid) -> Arc<Slot> {
        Arc::clone(locked(&self.0).entry(id).or_default())
    }

    pub(crate) fn forget(&self, id: Uuid) {
        locked(&self.0).remove(&id);
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
