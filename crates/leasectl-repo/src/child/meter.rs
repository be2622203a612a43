//! Counts what comes from the remote and holds it to the limits, and remembers what went wrong.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    error::{SizeLimit, TimeLimit},
    settings::Limits,
    wire::Failure,
};

/// Shared by everything that reads from the remote during one operation.
///
/// Git errors pass through several layers that do not keep their meaning, so whoever knows what
/// happened notes it here, and the first note is what is reported.
#[derive(Debug)]
pub(crate) struct Meter {
    received: AtomicU64,
    limits: Limits,
    listing: Mutex<Option<u64>>,
    trouble: Mutex<Option<Failure>>,
    window: Mutex<Window>,
}

/// Time spent waiting for the remote, and what came during it.
#[derive(Debug, Default)]
struct Window {
    waited: Duration,
    bytes: u64,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            received: AtomicU64::new(0),
            limits,
            listing: Mutex::new(None),
            trouble: Mutex::new(None),
            window: Mutex::new(Window::default()),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// While references are listed, much less than a whole pack may come.
    pub(crate) fn listing(&self, on: bool) {
        const LONGEST_LINE_BYTES: u64 = 400;
        let limit = self
            .limits
            .max_refs
            .saturating_mul(LONGEST_LINE_BYTES)
            .saturating_add(1 << 20);
        *lock(&self.listing) = on.then_some(limit);
    }

    /// Notes what went wrong, unless something else went wrong before, and makes an error of it.
    pub(crate) fn note(&self, failure: Failure) -> io::Error {
        let text = failure.to_string();
        lock(&self.trouble).get_or_insert(failure);
        io::Error::other(text)
    }

    /// What went wrong first.
    pub(crate) fn trouble(&self) -> Option<Failure> {
        lock(&self.trouble).clone()
    }

    /// Counts bytes that came after waiting since `since`, and checks the limits.
    pub(crate) fn count(&self, bytes: usize, since: Instant) -> io::Result<()> {
        let bytes = bytes as u64;
        let received = self.received.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if lock(&self.listing).is_some_and(|limit| received > limit) {
            return Err(self.note(Failure::TooLarge(SizeLimit::Refs(self.limits.max_refs))));
        }
        if received > self.limits.max_bytes {
            return Err(self.note(Failure::TooLarge(SizeLimit::Bytes(self.limits.max_bytes))));
        }
        self.check_rate(bytes, since.elapsed())
    }

    /// Only time spent waiting counts, so that a slow disk here does not look like a slow remote.
    fn check_rate(&self, bytes: u64, waited: Duration) -> io::Result<()> {
        let lowest = self.limits.min_bytes_per_second;
        let mut window = lock(&self.window);
        window.waited += waited;
        window.bytes += bytes;
        if window.waited < self.limits.rate_window {
            return Ok(());
        }
        let Window { waited, bytes } = std::mem::take(&mut *window);
        drop(window);
        if u128::from(bytes) * 1000 < u128::from(lowest) * waited.as_millis() {
            return Err(self.note(Failure::TimedOut(TimeLimit::Rate(lowest))));
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
