//! Hints that a lane may have ready jobs, from wherever they come, for the claim loop.

use std::sync::atomic::{AtomicBool, Ordering};

use leasectl_core::kind::Lane;
use tokio::sync::{Notify, watch};

use super::per_lane::PerLane;

/// Lanes that somebody hinted at since the claim loop last looked.
#[derive(Debug)]
pub(crate) struct Hints {
    lanes: PerLane<AtomicBool>,
    /// Lanes with leases that are over, to be reclaimed.
    dead: PerLane<AtomicBool>,
    /// Ready jobs were seen by somebody who began at the head of the queue.
    seen: AtomicBool,
    /// Wakeups are listened for.
    listening: watch::Sender<bool>,
    given: Notify,
}

impl Hints {
    /// No hint yet.
    pub(crate) fn new() -> Self {
        Self {
            lanes: PerLane::from_fn(|_| AtomicBool::new(false)),
            dead: PerLane::from_fn(|_| AtomicBool::new(false)),
            seen: AtomicBool::new(false),
            listening: watch::Sender::new(false),
            given: Notify::new(),
        }
    }

    /// Says that the lanes may have ready jobs; many hints before the next look count once.
    pub(crate) fn give(&self, lanes: impl IntoIterator<Item = Lane>) {
        let mut is_new = false;
        for lane in lanes {
            is_new |= !self.lanes[lane].swap(true, Ordering::AcqRel);
        }
        if is_new {
            self.given.notify_one();
        }
    }

    /// Says that the lanes have ready jobs, maybe before those that the claim loop saw last.
    pub(crate) fn give_seen(&self, lanes: impl IntoIterator<Item = Lane>) {
        let mut lanes = lanes.into_iter().peekable();
        if lanes.peek().is_some() {
            self.seen.store(true, Ordering::Release);
        }
        self.give(lanes);
    }

    /// Says that the lanes have leases that are over, to be reclaimed at once.
    pub(crate) fn give_dead(&self, lanes: impl IntoIterator<Item = Lane>) {
        for lane in lanes {
            self.dead[lane].store(true, Ordering::Release);
            self.lanes[lane].store(true, Ordering::Release);
        }
        self.given.notify_one();
    }

    /// Says whether wakeups are listened for from now on.
    pub(crate) fn listens(&self, listening: bool) {
        self.listening.send_replace(listening);
    }

    /// Waits until no wakeups are listened for.
    pub(crate) async fn until_not_listening(&self) {
        // The sender is here, so there is always an answer.
        let _ = self
            .listening
            .subscribe()
            .wait_for(|listening| !listening)
            .await;
    }

    /// Whether ready jobs were seen since the last call.
    pub(crate) fn take_seen(&self) -> bool {
        self.seen.swap(false, Ordering::AcqRel)
    }

    /// Takes the lanes with something to reclaim that were told of since the last call.
    pub(crate) fn take_dead(&self) -> impl Iterator<Item = Lane> {
        Lane::ALL
            .into_iter()
            .filter(|lane| self.dead[*lane].swap(false, Ordering::AcqRel))
    }

    /// Takes the hints that were given since the last call.
    pub(crate) fn take(&self) -> impl Iterator<Item = Lane> {
        Lane::ALL
            .into_iter()
            .filter(|lane| self.lanes[*lane].swap(false, Ordering::AcqRel))
    }

    /// Waits until a hint was given since the last call.
    pub(crate) async fn given(&self) {
        self.given.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn hints_given_before_anybody_waits_are_kept_and_taken_once() {
        let hints = Hints::new();
        hints.give([Lane::Index, Lane::Fetch]);
        hints.give([Lane::Index]);
        hints.given().await;
        assert_eq!(hints.take().collect::<Vec<_>>(), [Lane::Fetch, Lane::Index]);
        assert_eq!(hints.take().count(), 0);
        assert!(hints.given().now_or_never().is_none());
    }

    #[tokio::test]
    async fn nobody_listens_before_it_is_said_or_after_it_is_taken_back() {
        let hints = Hints::new();
        hints.until_not_listening().await;
        hints.listens(true);
        assert!(hints.until_not_listening().now_or_never().is_none());
        hints.listens(false);
        hints.until_not_listening().await;
    }
}
