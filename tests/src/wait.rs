//! Waiting for a condition. Nothing else in the tests sleeps, but for the pace of the fault suite.

use std::time::{Duration, Instant};

/// How long a test waits for what must happen, on a slow and busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks again and again until there is something to return.
///
/// # Panics
/// When nothing came within `limit`; the message says `what` was waited for.
#[track_caller]
pub fn wait_until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < limit,
            "waited {limit:?} in vain: {what}"
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Lets faults come at a pace.
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}
