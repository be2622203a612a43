//! How many more handlers may run in each lane.
//!
//! **Invariant.** Only the claim loop takes slots, and it takes one for every lease that a claim
//! returned; so between counting the free ones and filling them nobody else can take them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leasectl_core::kind::Lane;
use tokio::sync::Notify;

use super::per_lane::PerLane;
use super::settings::Concurrency;

/// The slots of all lanes.
#[derive(Debug)]
pub(crate) struct Slots {
    capacity: PerLane<usize>,
    used: PerLane<AtomicUsize>,
    freed: Notify,
}

impl Slots {
    /// Slots for the lanes that have a handler; the others have none, whatever is configured.
    pub(crate) fn new(concurrency: Concurrency, is_served: impl Fn(Lane) -> bool) -> Self {
        let of = |lane| {
            if is_served(lane) {
                concurrency.of(lane)
            } else {
                0
            }
        };
        Self {
            capacity: PerLane::from_fn(of),
            used: PerLane::from_fn(|_| AtomicUsize::new(0)),
            freed: Notify::new(),
        }
    }

    /// How many handlers may run in the lane at once.
    pub(crate) fn capacity(&self, lane: Lane) -> usize {
        self.capacity[lane]
    }

    /// How many more handlers may start in the lane now.
    pub(crate) fn free(&self, lane: Lane) -> usize {
        self.capacity[lane].saturating_sub(self.used[lane].load(Ordering::Acquire))
    }

    /// Takes a slot; it is given back when the returned value is dropped.
    pub(crate) fn take(self: &Arc<Self>, lane: Lane) -> Slot {
        self.used[lane].fetch_add(1, Ordering::AcqRel);
        Slot {
            slots: Arc::clone(self),
            lane,
        }
    }

    /// Waits until a slot was given back since the last call.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// The right to run one handler.
#[derive(Debug)]
#[must_use = "dropping a slot gives it back"]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    lane: Lane,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.used[self.lane].fetch_sub(1, Ordering::AcqRel);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn slots() -> Arc<Slots> {
        let concurrency = Concurrency::none()
            .with(Lane::Fetch, 2)
            .with(Lane::Stack, 5);
        Arc::new(Slots::new(concurrency, |lane| lane != Lane::Stack))
    }

    #[test]
    fn a_slot_is_free_again_when_it_is_dropped() {
        let slots = slots();
        let first = slots.take(Lane::Fetch);
        let second = slots.take(Lane::Fetch);
        assert_eq!(slots.free(Lane::Fetch), 0);
        drop(first);
        assert_eq!(slots.free(Lane::Fetch), 1);
        drop(second);
        assert_eq!(slots.free(Lane::Fetch), 2);
    }

    #[test]
    fn a_lane_without_a_handler_has_no_slots() {
        let slots = slots();
        assert_eq!(
            (slots.capacity(Lane::Stack), slots.free(Lane::Stack)),
            (0, 0)
        );
        assert_eq!(
            (slots.capacity(Lane::Index), slots.free(Lane::Index)),
            (0, 0)
        );
        assert_eq!(
            (slots.capacity(Lane::Fetch), slots.free(Lane::Fetch)),
            (2, 2)
        );
    }

    #[tokio::test]
    async fn giving_a_slot_back_before_anybody_waits_is_remembered() {
        let slots = slots();
        assert!(slots.freed().now_or_never().is_none());
        drop(slots.take(Lane::Fetch));
        slots.freed().await;
        assert!(slots.freed().now_or_never().is_none());
    }
}
