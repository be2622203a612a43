//! Why the lock is not held, and when to try again: decisions, no I/O.

use std::time::Duration;

use leasectl_core::liveness::{LivenessError, Obstacle};

use super::phase::Phase;
use crate::daemon::backoff::Backoff;
use crate::daemon::outage::chain;

/// Time between two tries to reach the server before the deadline.
const HURRY: Duration = Duration::from_millis(10);

/// How often a URL that turned out to be pooled is looked at again.
const POOLED: Duration = Duration::from_secs(60);

/// The longest pause between two tries while the server is down.
const BACK_SOON: Duration = Duration::from_millis(300);

/// The first and the longest pause otherwise.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What came of a try to hold the lock that failed.
pub(super) enum Hindrance {
    /// The session said so.
    Failed(LivenessError),
    /// There was no answer in time.
    TimedOut,
}

impl From<LivenessError> for Hindrance {
    fn from(error: LivenessError) -> Self {
        Self::Failed(error)
    }
}

impl Hindrance {
    /// What is in the way.
    pub(super) fn obstacle(&self) -> Obstacle {
        match self {
            Self::Failed(error) => error.obstacle(),
            Self::TimedOut => Obstacle::NoAnswer,
        }
    }

    /// The reason for the worker's row.
    pub(super) fn reason(&self) -> &'static str {
        match (self, self.obstacle()) {
            (Self::TimedOut, _) => "the database did not open a liveness session in time",
            (_, Obstacle::GoingDown) => "the database is going down or coming up",
            (_, Obstacle::NoAnswer) => "no direct connection to the database could be opened",
            (_, Obstacle::Pooler) => {
                "a pooler stands between the worker and the database; set DATABASE_DIRECT_URL"
            }
            (_, Obstacle::Refused) => "the database refused the liveness session",
        }
    }

    /// What the log says beside the reason.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Failed(error) => chain(error),
            Self::TimedOut => self.reason().to_owned(),
        }
    }
}

/// When to try again.
pub(super) struct Pauses(Backoff);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(Backoff::new(PAUSES.0, PAUSES.1))
    }

    /// The lock was held again.
    pub(super) fn reset(&mut self) {
        self.0.reset();
    }

    /// How long to wait after one more failure. `random` is in 0..1.
    pub(super) fn after(&mut self, phase: Phase, obstacle: Obstacle, random: f64) -> Duration {
        match (phase, obstacle) {
            (_, Obstacle::Pooler) => POOLED,
            // Every millisecond before the deadline counts.
            (Phase::Lost { .. }, _) => HURRY,
            // It comes back for all workers at once, which may as well be told early.
            (Phase::ServerDown, _) => self.0.after_failure(0.0).min(BACK_SOON),
            (Phase::Starting | Phase::Held | Phase::Stopped | Phase::Heartbeat, _) => {
                self.0.after_failure(random)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use leasectl_core::liveness::{DeathGrace, PoolerSign};
    use leasectl_core::time::BootInstant;

    use super::super::phase::Loss;
    use super::*;

    fn lost() -> Phase {
        let loss = Loss {
            noticed: BootInstant::now(),
            is_announced: false,
            silent_since: None,
        };
        Phase::Held.lost(&loss, DeathGrace::default())
    }

    #[test]
    fn a_pooler_and_a_silent_server_are_told_apart_in_the_workers_row() {
        let pooler = Hindrance::from(LivenessError::from(PoolerSign::SharedSession));
        assert_eq!(pooler.obstacle(), Obstacle::Pooler);
        assert!(pooler.reason().contains("DATABASE_DIRECT_URL"));
        assert!(pooler.cause().contains("pooler"));
        let silent = Hindrance::TimedOut;
        assert_eq!(silent.obstacle(), Obstacle::NoAnswer);
        assert!(silent.reason().contains("in time"));
        assert_eq!(silent.cause(), silent.reason());
    }

    #[test]
    fn before_the_deadline_every_try_follows_at_once() {
        let mut pauses = Pauses::new();
        for _ in 0..9 {
            assert_eq!(pauses.after(lost(), Obstacle::NoAnswer, 1.0), HURRY);
        }
    }

    #[test]
    fn a_server_that_is_down_is_tried_within_a_third_of_a_second() {
        let mut pauses = Pauses::new();
        let mut after = || pauses.after(Phase::ServerDown, Obstacle::GoingDown, 1.0);
        let first = after();
        assert!(first < BACK_SOON, "{first:?}");
        assert_eq!((1..9).map(|_| after()).max(), Some(BACK_SOON));
    }

    #[test]
    fn otherwise_tries_become_rarer_until_one_succeeds() {
        let mut pauses = Pauses::new();
        let mut after = |random| pauses.after(Phase::Heartbeat, Obstacle::Refused, random);
        assert_eq!(after(1.0), PAUSES.0);
        assert_eq!((1..9).map(|_| after(1.0)).max(), Some(PAUSES.1));
        assert_eq!(after(0.0), PAUSES.1 / 2);
        pauses.reset();
        assert_eq!(
            pauses.after(Phase::Stopped, Obstacle::Refused, 1.0),
            PAUSES.0
        );
    }

    #[test]
    fn a_pooled_url_is_looked_at_again_in_a_minute_whatever_the_phase() {
        let mut pauses = Pauses::new();
        for phase in [lost(), Phase::ServerDown, Phase::Heartbeat] {
            assert_eq!(pauses.after(phase, Obstacle::Pooler, 0.0), POOLED);
        }
    }
}
