//! Advisory file locks (`flock`): the kernel frees them when their holder dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);

/// An exclusive lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct ExclusiveLock(File);

/// A shared lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct SharedLock(File);

impl ExclusiveLock {
    /// Waits for the lock; `TimedOut` when it is still held at the deadline.
    pub(crate) fn acquire(path: &Path, limit: Duration) -> io::Result<Self> {
        let file = open(path)?;
        poll(limit, || file.try_lock())?;
        Ok(Self(file))
    }

    /// The lock if nobody holds it, shared or exclusive.
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl SharedLock {
    /// Waits for the lock; `TimedOut` when somebody else holds it alone until the deadline.
    pub(crate) fn acquire(path: &Path, limit: Duration) -> io::Result<Self> {
        let file = open(path)?;
        poll(limit, || file.try_lock_shared())?;
        Ok(Self(file))
    }
}

// Unlocking names the lock itself. Closing would not: a child that another thread is just starting
// holds a copy of the descriptor for a moment, and the lock would seem to be in use.
impl Drop for ExclusiveLock {
    fn drop(&mut self) {
        drop(self.0.unlock());
    }
}

impl Drop for SharedLock {
    fn drop(&mut self) {
        drop(self.0.unlock());
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn poll(limit: Duration, attempt: impl Fn() -> Result<(), TryLockError>) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
        }
    }
}
