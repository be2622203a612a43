//! What the loops of one worker know of its liveness lock.

use std::sync::atomic::{AtomicUsize, Ordering};

use leasectl_core::liveness::{DeathGrace, LivenessKey, Obstacle};
use leasectl_core::time::BootInstant;
use leasectl_core::worker::{Liveness, LockClaim};
use tokio::sync::{Notify, watch};

use super::phase::{Loss, Phase};
use crate::daemon::metrics;

/// Why the mode is `heartbeat` when the signal is switched off.
const OFF: &str = "the death signal is switched off (--death-grace off)";

/// What the loops of one worker know of its liveness lock; the session's thread alone changes it.
#[derive(Debug)]
pub(crate) struct LivenessBoard {
    grace: Option<DeathGrace>,
    state: watch::Sender<State>,
    /// The worker's row says something else than it should.
    row_is_old: Notify,
    /// How many of the watched workers are older, when that was last looked at.
    older: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    key: Option<LivenessKey>,
    /// Why the lock is not held, for the worker's row.
    reason: &'static str,
    /// How often the handlers were stopped.
    stops: u64,
}

/// A moment in the life of the lock, to tell whether handlers were stopped since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stops(u64);

impl LivenessBoard {
    /// Before the first try; with the signal switched off there is none.
    pub(crate) fn new(grace: Option<DeathGrace>) -> Self {
        let (phase, reason) = match grace {
            Some(_) => (Phase::Starting, "the worker is starting"),
            None => (Phase::Heartbeat, OFF),
        };
        let state = State {
            phase,
            key: None,
            reason,
            stops: 0,
        };
        Self {
            grace,
            state: watch::Sender::new(state),
            row_is_old: Notify::new(),
            older: AtomicUsize::new(0),
        }
    }

    /// Where the worker stands.
    pub(crate) fn phase(&self) -> Phase {
        self.state.borrow().phase
    }

    /// Waits until the phase is as wanted.
    pub(crate) async fn until(&self, mut wanted: impl FnMut(Phase) -> bool) {
        let mut state = self.state.subscribe();
        // The sender lives in `self`, so waiting cannot fail while this borrow lasts.
        let _ = state.wait_for(|state| wanted(state.phase)).await;
    }

    /// Waits until jobs may be claimed.
    pub(crate) async fn may_claim(&self) {
        self.until(Phase::may_claim).await;
    }

    /// What the worker's row says of the lock.
    pub(crate) fn lock_claim(&self) -> LockClaim {
        let state = self.state.borrow();
        match state.key.filter(|_| state.phase.claims_lock()) {
            Some(key) => LockClaim::Key(key),
            None => LockClaim::None(state.reason),
        }
    }

    /// The row was written, and this is what it says.
    pub(crate) fn row_says(&self, liveness: Liveness) {
        metrics::liveness_mode(liveness);
        if liveness == Liveness::Heartbeat {
            self.change(Phase::unwatched);
        }
    }

    /// Waits until the row should be written again.
    pub(crate) async fn row_is_old(&self) {
        self.row_is_old.notified().await;
    }

    /// How many live workers are known to be older; none while this one's own lock is not held.
    pub(crate) fn older(&self) -> usize {
        if self.phase() == Phase::Held {
            self.older.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    /// So many of the watched workers are older.
    pub(super) fn saw_older(&self, older: usize) {
        self.older.store(older, Ordering::Relaxed);
    }

    /// How often handlers were stopped until now.
    pub(crate) fn stops(&self) -> Stops {
        Stops(self.state.borrow().stops)
    }

    /// The lock is held.
    pub(super) fn held(&self, key: LivenessKey) {
        self.state.send_modify(|state| state.key = Some(key));
        self.change(|_| Phase::Held);
    }

    /// The session ended or fell silent.
    pub(super) fn lost(&self, loss: &Loss) {
        if let Some(grace) = self.grace {
            self.explain("the liveness session was lost");
            self.change(|phase| phase.lost(loss, grace));
        }
    }

    /// The server answered on a new connection.
    pub(super) fn answered(&self, is_same_server: bool) {
        self.change(|phase| phase.answered(is_same_server));
    }

    /// The lock could not be held. Answers whether the reason is a new one.
    pub(super) fn hindered(&self, obstacle: Obstacle, reason: &'static str) -> bool {
        let is_new = self.explain(reason);
        self.change(|phase| phase.hindered(obstacle));
        is_new
    }

    /// Time has passed. Answers whether the handlers are to be stopped now.
    pub(super) fn expire(&self, now: BootInstant) -> bool {
        self.change(|phase| phase.at(now)) == Some(Phase::Stopped)
    }

    fn explain(&self, reason: &'static str) -> bool {
        self.state.send_if_modified(|state| {
            let is_new = state.reason != reason;
            state.reason = reason;
            is_new
        })
    }

    /// Moves on; answers the new phase if it is another one.
    fn change(&self, change: impl FnOnce(Phase) -> Phase) -> Option<Phase> {
        let mut changed = None;
        self.state.send_if_modified(|state| {
            let next = change(state.phase);
            if next == state.phase {
                return false;
            }
            tracing::debug!(from = ?state.phase, to = ?next, "liveness");
            if next == Phase::Stopped {
                state.stops += 1;
            }
            state.phase = next;
            changed = Some(next);
            true
        });
        if changed.is_some() {
            self.row_is_old.notify_one();
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_worker_without_the_signal_claims_at_once_and_says_why() {
        let board = LivenessBoard::new(None);
        assert!(board.may_claim().now_or_never().is_some());
        assert_eq!(board.lock_claim(), LockClaim::None(OFF));
    }

    #[test]
    fn handlers_are_stopped_once_for_each_loss() {
        let board = LivenessBoard::new(Some(DeathGrace::default()));
        assert!(board.may_claim().now_or_never().is_none());
        board.change(|_| Phase::Held);
        let before = board.stops();
        let noticed = BootInstant::now();
        board.lost(&Loss {
            noticed,
            is_announced: false,
            silent_since: None,
        });
        assert_eq!(board.stops(), before);
        let late = noticed + std::time::Duration::from_secs(1);
        assert!(board.expire(late));
        assert!(!board.expire(late));
        assert_ne!(board.stops(), before);
        board.row_says(Liveness::Heartbeat);
        assert_eq!(board.phase(), Phase::Heartbeat);
    }

    #[test]
    fn a_reason_is_new_once() {
        let board = LivenessBoard::new(Some(DeathGrace::default()));
        assert!(board.hindered(Obstacle::Refused, "refused"));
        assert!(!board.hindered(Obstacle::Refused, "refused"));
        assert_eq!(board.lock_claim(), LockClaim::None("refused"));
        assert!(board.hindered(Obstacle::NoAnswer, "out of reach"));
    }

    #[test]
    fn older_workers_count_only_while_the_own_lock_is_held() {
        let board = LivenessBoard::new(Some(DeathGrace::default()));
        board.saw_older(7);
        assert_eq!(board.older(), 0);
        board.change(|_| Phase::Held);
        assert_eq!(board.older(), 7);
    }

    #[test]
    fn a_lock_that_is_lost_on_another_server_stops_nobody() {
        let board = LivenessBoard::new(Some(DeathGrace::default()));
        board.change(|_| Phase::Held);
        let noticed = BootInstant::now();
        board.lost(&Loss {
            noticed,
            is_announced: false,
            silent_since: None,
        });
        assert!(!board.expire(noticed));
        board.answered(false);
        assert!(!board.expire(noticed + std::time::Duration::from_secs(1)));
        assert_eq!(board.phase(), Phase::ServerDown);
    }

    #[test]
    fn the_row_is_written_again_when_the_phase_is_another_one() {
        let board = LivenessBoard::new(Some(DeathGrace::default()));
        assert!(board.row_is_old().now_or_never().is_none());
        board.change(|_| Phase::Held);
        assert!(board.row_is_old().now_or_never().is_some());
        board.change(|_| Phase::Held);
        assert!(board.row_is_old().now_or_never().is_none());
    }

    #[test]
    fn a_row_written_before_the_lock_was_held_changes_nothing() {
        let board = LivenessBoard::new(Some(DeathGrace::default()));
        board.change(|_| Phase::Held);
        board.row_says(Liveness::Heartbeat);
        assert_eq!(board.phase(), Phase::Held);
        assert!(board.row_is_old().now_or_never().is_some());
    }
}
