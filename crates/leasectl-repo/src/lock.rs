//! Locks that hold between threads and between processes, and that the kernel releases on death.
//!
//! Each acquisition opens its own file, because `flock` belongs to the open file: two threads that
//! shared one would both hold it. A lock is never released by hand, only by closing the last
//! descriptor of that open file, so that a child process which inherited it keeps it.
//!
//! **Invariant:** a lock counts only if the locked file is still the one at its path. Otherwise
//! somebody removed the repository's directory, and a newcomer would lock another file.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, flock, futimens},
    io::Errno,
};
use tokio_util::sync::CancellationToken;

use crate::error::RepoError;

/// An exclusive lock; closing it (and every inherited copy) releases it.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock now, or says that somebody else has it.
    pub(crate) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_still_at(&file, path)? => return Ok(Some(Self { file })),
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Takes the lock unless somebody really has it. A process that is just being started holds
    /// copies of all descriptors until it begins its own program, so one look is not enough.
    pub(crate) fn take_if_free(path: &Path) -> io::Result<Option<Self>> {
        const PAUSE: Duration = Duration::from_millis(2);
        const TRIES: u32 = 25;
        for _ in 0..TRIES {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(Some(lock));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(None)
    }

    /// Waits for the lock; `waiting` is called once if that takes a moment.
    pub(crate) async fn wait(
        dir: &Path,
        path: &Path,
        longest: Duration,
        cancel: &CancellationToken,
        waiting: impl FnOnce(),
    ) -> Result<Self, RepoError> {
        const FIRST_PAUSE: Duration = Duration::from_millis(2);
        const LONGEST_PAUSE: Duration = Duration::from_millis(50);
        let failed = |e| RepoError::local("locking a clone", e);
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut waiting = Some(waiting);
        loop {
            fs::create_dir_all(dir).map_err(failed)?;
            match Self::try_take(path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => {}
                // The directory was removed between the two calls.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed(e)),
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            if started.elapsed() >= longest {
                return Err(RepoError::Busy { waited: longest });
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(RepoError::Cancelled),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// Another descriptor of the same open file: whoever gets it holds the lock as well.
    pub(crate) fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Says "somebody reads this clone" for as long as it lives.
#[derive(Debug)]
pub(crate) struct InUse {
    file: File,
}

impl InUse {
    /// Marks the clone as used, or says that somebody is removing it.
    pub(crate) fn mark(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockShared) {
                Ok(()) if is_still_at(&file, path)? => {
                    let usage = Self { file };
                    usage.touch()?;
                    return Ok(Some(usage));
                }
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Notes the time of use, which decides what is evicted first.
    pub(crate) fn touch(&self) -> io::Result<()> {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            },
        };
        Ok(futimens(&self.file, &times)?)
    }
}

/// Opens a lock file, which never holds anything, without following a link.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(there.ino() == ours.ino() && there.dev() == ours.dev()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_by_every_copy_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::try_take(&path).unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        let copy = lock.share().unwrap();
        drop(lock);
        assert!(
            Lock::try_take(&path).unwrap().is_none(),
            "a copy holds it as well"
        );
        drop(copy);
        assert!(Lock::take_if_free(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_on_a_file_that_was_replaced_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let old = Lock::try_take(&path).unwrap().unwrap();
        fs::remove_file(&path).unwrap();
        let new = Lock::take_if_free(&path).unwrap();
        assert!(new.is_some(), "the one at the path is free");
        assert!(!is_still_at(&old.file, &path).unwrap());
    }

    #[test]
    fn readers_share_and_keep_removers_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("use");
        let readers = (InUse::mark(&path).unwrap(), InUse::mark(&path).unwrap());
        assert!(readers.0.is_some() && readers.1.is_some());
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(readers);
        let remover = Lock::take_if_free(&path).unwrap();
        assert!(remover.is_some());
        assert!(InUse::mark(&path).unwrap().is_none());
    }

    #[test]
    fn a_lock_that_cannot_be_opened_is_an_error_and_not_somebody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("lock");
        std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
        assert!(Lock::try_take(&link).is_err());
        assert!(Lock::try_take(&dir.path().join("missing/lock")).is_err());
    }

    #[tokio::test]
    async fn waiting_for_a_lock_ends_when_it_is_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = Lock::try_take(&path).unwrap().unwrap();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let longest = Duration::from_secs(600);
        let waited = Lock::wait(dir.path(), &path, longest, &cancel, || stop.cancel()).await;
        assert!(matches!(waited, Err(RepoError::Cancelled)));
    }
}
