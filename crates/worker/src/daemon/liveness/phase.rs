//! What a worker may do while its liveness lock is held, lost or out of reach: decisions, no I/O.
//!
//! **Invariant.** A worker whose row may say `session` runs handlers only while it holds its lock, for
//! its death grace less 140 ms after it noticed the loss, or while the server is down, which frees
//! every lock and is no sign of anybody's death. So it has stopped before it is judged dead.

use std::time::Duration;

use leasectl_core::liveness::{DeathGrace, Obstacle};
use leasectl_core::time::BootInstant;

/// How long the session may be silent before its worker counts as cut off.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);

/// How long before the end of the silence handlers are asked to stop: a busy machine takes a while to tell them.
const TELLING: Duration = Duration::from_millis(50);

/// By how much a wait may take longer than asked for before this process must have been stopped.
const LATE: Duration = Duration::from_millis(500);

/// Where a worker stands with its lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The first try to hold the lock is under way; nothing is claimed yet.
    Starting,
    /// The lock is held.
    Held,
    /// The lock was lost, and may be held again until the deadline.
    Lost {
        /// When handlers are stopped.
        deadline: BootInstant,
        /// The server itself said that it, or only the session, is shut down.
        is_announced: bool,
        /// The same server has answered since.
        is_answered: bool,
    },
    /// The server went down, and every lock with it: only the trust window counts.
    ServerDown,
    /// The handlers were stopped. Nothing is claimed before the lock is held again, or the row says
    /// that heartbeats alone speak for this worker.
    Stopped,
    /// Heartbeats alone speak for this worker.
    Heartbeat,
}

impl Phase {
    /// Whether jobs may be claimed.
    pub(crate) fn may_claim(self) -> bool {
        match self {
            Self::Held | Self::ServerDown | Self::Heartbeat => true,
            Self::Starting | Self::Lost { .. } | Self::Stopped => false,
        }
    }

    /// Whether the row may claim the lock; the database looks whether it is held.
    pub(crate) fn claims_lock(self) -> bool {
        match self {
            Self::Held | Self::Lost { .. } | Self::ServerDown => true,
            Self::Starting | Self::Stopped | Self::Heartbeat => false,
        }
    }

    /// When the handlers are to be stopped, if the lock is not held before.
    pub(crate) fn deadline(self) -> Option<BootInstant> {
        match self {
            Self::Lost { deadline, .. } => Some(deadline),
            Self::Starting | Self::Held | Self::ServerDown | Self::Stopped | Self::Heartbeat => {
                None
            }
        }
    }

    /// The session ended, or is silent since it was last heard of: an answer to something sent at
    /// `heard`.
    pub(crate) fn lost(self, loss: &Loss, grace: DeathGrace) -> Self {
        if self != Self::Held {
            return self;
        }
        let until = loss.noticed + grace.to_hold_again();
        Self::Lost {
            deadline: loss
                .silent_since
                .map_or(until, |heard| until.min(heard + (SILENCE - TELLING))),
            is_announced: loss.is_announced,
            is_answered: false,
        }
    }

    /// The server answered on a new connection.
    pub(crate) fn answered(self, is_same_server: bool) -> Self {
        match self {
            Self::Lost { .. } if !is_same_server => Self::ServerDown,
            Self::Lost {
                deadline,
                is_announced,
                ..
            } => Self::Lost {
                deadline,
                is_announced,
                is_answered: true,
            },
            other @ (Self::Starting
            | Self::Held
            | Self::ServerDown
            | Self::Stopped
            | Self::Heartbeat) => other,
        }
    }

    /// The lock could not be held.
    pub(crate) fn hindered(self, obstacle: Obstacle) -> Self {
        match (self, obstacle) {
            (Self::Starting, _) => Self::Heartbeat,
            (Self::Lost { .. }, Obstacle::GoingDown) => Self::ServerDown,
            (
                Self::Lost {
                    is_announced: true,
                    is_answered: false,
                    ..
                },
                Obstacle::NoAnswer,
            ) => Self::ServerDown,
            (other, _) => other,
        }
    }

    /// Time has passed. Handlers are to be stopped when this turns into [`Phase::Stopped`].
    pub(crate) fn at(self, now: BootInstant) -> Self {
        match self {
            Self::Lost {
                deadline,
                is_announced,
                is_answered,
            } if now >= deadline => {
                if is_announced && !is_answered {
                    Self::ServerDown
                } else {
                    Self::Stopped
                }
            }
            other @ (Self::Starting
            | Self::Held
            | Self::Lost { .. }
            | Self::ServerDown
            | Self::Stopped
            | Self::Heartbeat) => other,
        }
    }

    /// The row says that heartbeats alone speak for this worker.
    pub(crate) fn unwatched(self) -> Self {
        match self {
            Self::Stopped | Self::ServerDown => Self::Heartbeat,
            other @ (Self::Starting | Self::Held | Self::Lost { .. } | Self::Heartbeat) => other,
        }
    }
}

/// How the lock was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Loss {
    /// When that was noticed.
    pub(crate) noticed: BootInstant,
    /// The server itself announced it.
    pub(crate) is_announced: bool,
    /// When the last thing was sent that was answered, if it was noticed by silence alone.
    pub(crate) silent_since: Option<BootInstant>,
}

/// When a session is given up that is silent since something sent at `heard` was answered: early enough
/// to hold the lock again within the silence that counts as being cut off.
pub(crate) fn patience_ends(heard: BootInstant, grace: DeathGrace) -> BootInstant {
    heard + (SILENCE - TELLING - grace.to_hold_again().min(SILENCE / 2))
}

/// Whether this process was stopped meanwhile: a wait took so much longer than it was asked to.
pub(crate) fn was_stopped(asked: Duration, took: Duration) -> bool {
    took > asked + LATE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grace() -> DeathGrace {
        DeathGrace::default()
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn loss(noticed: BootInstant, is_announced: bool) -> Loss {
        Loss {
            noticed,
            is_announced,
            silent_since: None,
        }
    }

    #[test]
    fn who_may_claim_and_whose_row_may_claim_the_lock() {
        let lost = Phase::Held.lost(&loss(BootInstant::now(), false), grace());
        for (phase, may_claim, claims_lock) in [
            (Phase::Starting, false, false),
            (Phase::Held, true, true),
            (lost, false, true),
            (Phase::ServerDown, true, true),
            (Phase::Stopped, false, false),
            (Phase::Heartbeat, true, false),
        ] {
            assert_eq!(phase.may_claim(), may_claim, "{phase:?}");
            assert_eq!(phase.claims_lock(), claims_lock, "{phase:?}");
            assert_eq!(phase.deadline().is_some(), phase == lost, "{phase:?}");
        }
    }

    #[test]
    fn only_a_lock_that_was_held_can_be_lost() {
        let lost = loss(BootInstant::now(), false);
        for phase in [
            Phase::Starting,
            Phase::ServerDown,
            Phase::Stopped,
            Phase::Heartbeat,
        ] {
            assert_eq!(phase.lost(&lost, grace()), phase);
        }
        let later = loss(BootInstant::now() + ms(50), false);
        let lost = Phase::Held.lost(&lost, grace());
        assert_eq!(lost.lost(&later, grace()), lost, "the deadline stands");
    }

    #[test]
    fn a_server_that_says_it_goes_down_stops_nobody_who_lost_the_lock_to_it() {
        let lost = Phase::Held.lost(&loss(BootInstant::now(), false), grace());
        assert_eq!(lost.hindered(Obstacle::GoingDown), Phase::ServerDown);
        assert_eq!(lost.hindered(Obstacle::NoAnswer), lost);
        assert_eq!(Phase::Held.hindered(Obstacle::GoingDown), Phase::Held);
    }

    #[test]
    fn a_row_without_the_lock_frees_a_worker_whose_server_is_down() {
        assert_eq!(Phase::ServerDown.unwatched(), Phase::Heartbeat);
        assert_eq!(Phase::Starting.unwatched(), Phase::Starting);
    }

    #[test]
    fn a_silent_session_is_given_up_early_enough_to_hold_the_lock_again() {
        let heard = BootInstant::now();
        let patience = |grace_ms| {
            let grace = DeathGrace::new(ms(grace_ms)).unwrap();
            patience_ends(heard, grace).since(heard)
        };
        assert_eq!(patience(300), ms(2_790));
        assert_eq!(patience(10_000), ms(1_450));
    }

    #[test]
    fn a_wait_that_took_half_a_second_too_long_tells_of_a_stopped_process() {
        assert!(!was_stopped(ms(1_000), ms(900)));
        assert!(!was_stopped(ms(1_000), ms(1_500)));
        assert!(was_stopped(ms(1_000), ms(1_501)));
    }

    #[test]
    fn a_lost_lock_stops_the_handlers_at_the_deadline_and_not_before() {
        let now = BootInstant::now();
        let lost = Phase::Held.lost(&loss(now, false), grace());
        assert_eq!(lost.deadline(), Some(now + ms(160)));
        assert!(!lost.may_claim());
        assert_eq!(lost.at(now + ms(159)), lost);
        assert_eq!(lost.at(now + ms(160)), Phase::Stopped);
        assert_eq!(
            lost.hindered(Obstacle::NoAnswer).at(now + ms(160)),
            Phase::Stopped
        );
        assert_eq!(
            lost.hindered(Obstacle::Refused).at(now + ms(160)),
            Phase::Stopped
        );
    }

    #[test]
    fn the_whole_silence_is_three_seconds_at_most() {
        let heard = BootInstant::now();
        for grace_ms in [200, 300, 1_000, 10_000] {
            let grace = DeathGrace::new(ms(grace_ms)).unwrap();
            let noticed = patience_ends(heard, grace);
            let silent = Loss {
                noticed,
                is_announced: false,
                silent_since: Some(heard),
            };
            let deadline = Phase::Held.lost(&silent, grace).deadline().unwrap();
            assert!(deadline + TELLING <= heard + SILENCE, "{grace_ms} ms");
            assert!(noticed < deadline, "{grace_ms} ms");
        }
    }

    #[test]
    fn a_server_that_said_so_and_is_gone_stops_nobody() {
        let now = BootInstant::now();
        let lost = Phase::Held.lost(&loss(now, true), grace());
        assert_eq!(lost.hindered(Obstacle::NoAnswer), Phase::ServerDown);
        assert_eq!(lost.hindered(Obstacle::GoingDown), Phase::ServerDown);
        // A connection attempt that hangs.
        assert_eq!(lost.at(now + ms(160)), Phase::ServerDown);
        assert_eq!(
            Phase::ServerDown.at(now + Duration::from_secs(60)),
            Phase::ServerDown
        );
        assert!(Phase::ServerDown.may_claim());
    }

    #[test]
    fn a_session_that_was_terminated_on_a_living_server_must_be_back_in_time() {
        let now = BootInstant::now();
        let lost = Phase::Held.lost(&loss(now, true), grace()).answered(true);
        assert_eq!(
            lost.hindered(Obstacle::NoAnswer).at(now + ms(160)),
            Phase::Stopped
        );
        let refused = Phase::Held.lost(&loss(now, true), grace());
        let refused = refused.answered(true).hindered(Obstacle::Refused);
        assert_eq!(refused.at(now + ms(160)), Phase::Stopped);
    }

    #[test]
    fn another_server_has_no_old_locks_and_judges_nobody() {
        let now = BootInstant::now();
        let lost = Phase::Held.lost(&loss(now, false), grace());
        assert_eq!(lost.answered(false), Phase::ServerDown);
        assert_eq!(Phase::Stopped.answered(false), Phase::Stopped);
    }

    #[test]
    fn a_stopped_worker_claims_again_only_when_nobody_watches_it() {
        assert!(!Phase::Stopped.may_claim());
        assert!(!Phase::Stopped.claims_lock());
        assert_eq!(Phase::Stopped.unwatched(), Phase::Heartbeat);
        assert!(Phase::Stopped.unwatched().may_claim());
        assert_eq!(Phase::Held.unwatched(), Phase::Held);
    }

    #[test]
    fn a_worker_that_cannot_hold_a_lock_at_its_start_goes_on_with_heartbeats() {
        for obstacle in [
            Obstacle::GoingDown,
            Obstacle::NoAnswer,
            Obstacle::Pooler,
            Obstacle::Refused,
        ] {
            assert_eq!(Phase::Starting.hindered(obstacle), Phase::Heartbeat);
        }
        assert!(!Phase::Starting.may_claim());
    }
}
