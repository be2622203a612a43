//! When to give up: somebody asked, or the time is over.
//!
//! **Invariant** – Whatever loops over content asks [`Stop::check`] at least once per
//! [`STRIDE_BYTES`], so no file can hold up a worker that has to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// How much content may be worked on between two questions whether to stop.
pub(crate) const STRIDE_BYTES: usize = 64 * 1024;

/// Why work ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The flag was set.
    #[error("the work was asked to stop")]
    Asked,
    /// The deadline passed.
    #[error("the work took longer than it may")]
    Late,
}

/// A flag that somebody else sets, and a moment after which nobody waits any more.
#[derive(Clone, Copy, Debug)]
pub struct Stop<'a> {
    asked: &'a AtomicBool,
    deadline: Option<Instant>,
}

impl<'a> Stop<'a> {
    /// Stops once `asked` is true.
    #[must_use]
    pub const fn when(asked: &'a AtomicBool) -> Self {
        Self {
            asked,
            deadline: None,
        }
    }

    /// Stops at `deadline` as well.
    #[must_use]
    pub const fn or_at(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// The reason to end now.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.asked.load(Ordering::Relaxed) {
            return Err(Stopped::Asked);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Stopped::Late),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_flag_and_a_passed_deadline_stop() {
        let asked = AtomicBool::new(false);
        let stop = Stop::when(&asked);
        assert_eq!(stop.check(), Ok(()));
        assert_eq!(stop.or_at(Instant::now()).check(), Err(Stopped::Late));
        asked.store(true, Ordering::Relaxed);
        assert_eq!(stop.check(), Err(Stopped::Asked));
    }
}
