//! How long leases last, and when silence counts as death.

use std::time::Duration;

use thiserror::Error;

/// An owner's own timing. It is stored with each lease, so that workers with different settings
/// judge each other by the owner's word and cannot rob each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseSettings {
    heartbeat_interval: Duration,
    stale_after: Duration,
    ttl: Duration,
}

/// The settings contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum LeaseSettingsError {
    /// Too little time between a missed beat and a verdict.
    #[error("stale-after must be at least three heartbeat intervals")]
    StaleAfterTooShort,
    /// A lease that ends before silence is noticed.
    #[error("lease-ttl must not be shorter than stale-after")]
    TtlTooShort,
    /// A beat without a pause.
    #[error("the heartbeat interval must be at least 10 ms")]
    HeartbeatTooShort,
    /// Beyond what a timestamp can carry.
    #[error("lease times are at most 30 days")]
    TooLong,
}

impl LeaseSettings {
    /// Checks that the times fit together: `3 × heartbeat ≤ stale_after ≤ ttl`.
    ///
    /// # Errors
    /// When they do not.
    pub fn new(
        heartbeat_interval: Duration,
        stale_after: Duration,
        ttl: Duration,
    ) -> Result<Self, LeaseSettingsError> {
        if heartbeat_interval < Duration::from_millis(10) {
            return Err(LeaseSettingsError::HeartbeatTooShort);
        }
        if ttl > Duration::from_secs(30 * 86_400) {
            return Err(LeaseSettingsError::TooLong);
        }
        if stale_after < heartbeat_interval.saturating_mul(3) {
            return Err(LeaseSettingsError::StaleAfterTooShort);
        }
        if ttl < stale_after {
            return Err(LeaseSettingsError::TtlTooShort);
        }
        Ok(Self {
            heartbeat_interval,
            stale_after,
            ttl,
        })
    }

    /// Time between two beats.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval
    }

    /// Silence after which others may take over.
    #[must_use]
    pub fn stale_after(&self) -> Duration {
        self.stale_after
    }

    /// Time without progress after which others may take over.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long after a beat was *sent* the owner trusts its lease: `stale_after` less a margin of
    /// a tenth, at most two seconds, for clocks that run at different speeds and for stopping.
    #[must_use]
    pub fn trust_window(&self) -> Duration {
        self.stale_after - (self.stale_after / 10).min(Duration::from_secs(2))
    }
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(10),
            stale_after: Duration::from_secs(30),
            ttl: Duration::from_secs(15 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_worker_stops_trusting_its_lease_before_others_may_take_it() {
        let settings = LeaseSettings::default();
        assert!(settings.trust_window() < settings.stale_after());
        assert_eq!(settings.trust_window(), SECOND * 28);
        let short = LeaseSettings::new(SECOND, SECOND * 3, SECOND * 9).unwrap();
        assert_eq!(short.trust_window(), Duration::from_millis(2_700));
    }

    #[test]
    fn settings_are_what_they_were_made_of() {
        let settings = LeaseSettings::new(SECOND, SECOND * 4, SECOND * 9).unwrap();
        assert_eq!(settings.heartbeat_interval(), SECOND);
        assert_eq!(settings.stale_after(), SECOND * 4);
        assert_eq!(settings.ttl(), SECOND * 9);
    }

    #[test]
    fn the_shortest_beat_and_the_longest_lease_are_allowed() {
        let (beat, month) = (Duration::from_millis(10), SECOND * 86_400 * 30);
        assert!(LeaseSettings::new(beat, beat * 3, month).is_ok());
    }

    #[test]
    fn times_that_contradict_each_other_are_refused() {
        assert!(LeaseSettings::new(SECOND, SECOND * 3, SECOND * 3).is_ok());
        for (beat, stale, ttl, error) in [
            (
                SECOND,
                SECOND * 2,
                SECOND * 9,
                LeaseSettingsError::StaleAfterTooShort,
            ),
            (
                SECOND,
                SECOND * 3,
                SECOND * 2,
                LeaseSettingsError::TtlTooShort,
            ),
            (
                Duration::ZERO,
                SECOND,
                SECOND,
                LeaseSettingsError::HeartbeatTooShort,
            ),
            (
                SECOND,
                SECOND * 3,
                SECOND * 86_400 * 31,
                LeaseSettingsError::TooLong,
            ),
        ] {
            assert_eq!(LeaseSettings::new(beat, stale, ttl), Err(error));
        }
    }
}
