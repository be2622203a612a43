//! Waiting longer after each failure of a loop's round trip, and not in step with others.

use std::time::Duration;

/// Doubling delays with jitter; pure, the caller sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// From `first`, doubling up to `most`.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: 0,
        }
    }

    /// How long to wait after one more failure. `random` is in 0..1.
    ///
    /// At least half of the delay is kept, so that a dead server is never hammered.
    pub(crate) fn after_failure(&mut self, random: f64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled
            .min(self.most)
            .mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }

    /// It worked: the next failure starts from the beginning.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let delays: Vec<_> = (0..6)
            .map(|_| backoff.after_failure(1.0).as_millis())
            .collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.after_failure(1.0).as_millis(), 100);
    }

    #[test]
    fn jitter_takes_away_half_at_most() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        assert_eq!(backoff.after_failure(0.0).as_millis(), 50);
    }

    #[test]
    fn a_very_long_outage_does_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for _ in 0..100_000 {
            assert!(backoff.after_failure(1.0) <= Duration::from_secs(5));
        }
    }
}
