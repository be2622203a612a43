//! The death signal: seeing within a second that a worker's process is gone.
//!
//! Each worker holds an advisory lock on one idle session for as long as it lives; the kernel closes
//! the connection of a killed process, and the server frees the lock. One of the workers, the
//! detector, looks for locks that are absent. A lock that stays absent for its worker's grace means
//! that the worker is dead: its leases expire at once, and whoever is free reclaims them.
//!
//! **Invariant.** This is evidence that speeds up reclaiming, never ownership. A wrong verdict costs
//! repeated work; the fence and the tokens keep it from costing anything else.
//!
//! **Invariant.** A row of a worker says `session` only if the lock was held when the row was written,
//! by the database's own look. Who watches therefore never takes a worker for dead that only its
//! heartbeats speak for.

mod probe;
mod session;
mod settings;
mod settled;
mod sightings;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

pub use self::probe::PoolerSign;
pub use self::session::{
    Judged, LivenessError, LivenessSession, Obstacle, Pulse, ServerStart, SessionEnd,
};
pub use self::settings::RefusedSetting;
pub use self::settled::deaths_are_told;
pub use self::sightings::{SIGHTING_INTERVAL, Sightings};

use crate::ids::Owner;

/// Names the advisory lock of one worker incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LivenessKey(i32);

impl LivenessKey {
    pub(crate) fn new(key: i32) -> Self {
        Self(key)
    }

    pub(crate) fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for LivenessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How long a worker's lock may be absent before the worker counts as dead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DeathGrace(Duration);

/// A grace in which nobody could hold a lost lock again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the death grace must be at least 200 ms and at most an hour")]
pub struct DeathGraceError;

impl DeathGrace {
    const LEAST: Duration = Duration::from_millis(200);
    const MOST: Duration = Duration::from_secs(3_600);

    /// Checks the length.
    ///
    /// # Errors
    /// When it is below 200 ms or above an hour.
    pub fn new(grace: Duration) -> Result<Self, DeathGraceError> {
        if (Self::LEAST..=Self::MOST).contains(&grace) {
            Ok(Self(grace))
        } else {
            Err(DeathGraceError)
        }
    }

    /// How long the lock may be absent.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }

    /// How long a worker that notices the loss of its lock has to hold it again: 140 ms less, 100 for
    /// stopping and 40 for the notice, so that it has stopped in time counted from the loss itself.
    #[must_use]
    pub fn to_hold_again(self) -> Duration {
        self.0 - Duration::from_millis(140)
    }
}

impl Default for DeathGrace {
    fn default() -> Self {
        Self(Duration::from_millis(300))
    }
}

/// A watched worker whose lock was absent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Absent {
    /// Who.
    pub owner: Owner,
    /// The key of its lock.
    pub key: LivenessKey,
    /// Its own grace.
    pub grace: Duration,
    /// Whether it was declared dead before.
    pub judged: bool,
}

/// What the database answered to one look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// Whether the server runs long enough for an absent lock to mean anything.
    pub settled: bool,
    /// How many watched workers that beat and do not drain are older than the one that looked.
    pub older: usize,
    /// Watched workers whose lock was absent.
    pub absent: Vec<Absent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_too_short_to_hold_a_lost_lock_again_is_refused() {
        let ms = Duration::from_millis;
        assert!(DeathGrace::new(ms(199)).is_err());
        assert!(DeathGrace::new(ms(3_600_001)).is_err());
        assert_eq!(DeathGrace::new(ms(200)).unwrap().to_hold_again(), ms(60));
        assert_eq!(DeathGrace::default().to_hold_again(), ms(160));
    }

    #[test]
    fn a_grace_is_as_long_as_it_was_asked_for() {
        for grace in [200, 1_500, 3_600_000].map(Duration::from_millis) {
            assert_eq!(DeathGrace::new(grace).unwrap().get(), grace);
        }
    }

    #[test]
    fn a_key_reads_as_its_number() {
        assert_eq!(LivenessKey::new(-7).to_string(), "-7");
    }
}
