//! When to claim, from which lanes, and when to look for dead leases: decisions, no I/O.
//!
//! A lane is worth asking when a hint or the poll says that there may be work, or when the last
//! claim returned all that it asked for. A lane that returned less is empty until a hint says
//! otherwise, so an idle worker sends one round per poll interval and nothing more.
//!
//! **Invariant (I12).** Dead leases are looked for before fresh jobs are claimed whenever the
//! reclaim deadline has passed, and the deadline moves only when the look found fewer than there
//! was room for.

use std::time::Duration;

use leasectl_core::kind::Lane;
use tokio::time::Instant;

use super::per_lane::PerLane;

/// How long a claim waits for a few freed slots to become a batch.
const GATHER: Duration = Duration::from_millis(2);

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Ask the database.
    Round {
        /// Whether dead leases are to be looked for first.
        reclaim: bool,
        /// How many leases to ask for, by lane; none is zero.
        asks: Vec<(Lane, usize)>,
    },
    /// Nothing to ask before this moment, unless a hint or a freed slot comes first.
    WaitUntil(Instant),
}

/// The state of one lane's claims.
#[derive(Clone, Copy, Default, Debug)]
struct LanePace {
    /// There may be ready jobs.
    may_have_more: bool,
}

/// Decides when to ask for what.
#[derive(Debug)]
pub(crate) struct Pacing {
    batch: usize,
    poll_interval: Duration,
    lanes: PerLane<LanePace>,
    next_poll: Instant,
    reclaim_due: Instant,
    gather_until: Option<Instant>,
}

impl Pacing {
    /// Everything is due at once: a new worker knows nothing about the queue.
    pub(crate) fn new(now: Instant, batch: usize, poll_interval: Duration) -> Self {
        Self {
            batch: batch.max(1),
            poll_interval,
            lanes: PerLane::default(),
            next_poll: now,
            reclaim_due: now,
            gather_until: None,
        }
    }

    /// Somebody said that the lane may have ready jobs.
    pub(crate) fn hint(&mut self, lane: Lane) {
        self.lanes[lane].may_have_more = true;
    }

    /// Somebody said that there are leases of a dead worker: they are looked for now.
    pub(crate) fn somebody_died(&mut self, now: Instant) {
        self.reclaim_due = self.reclaim_due.min(now);
    }

    /// Decides what to do now. `jitter` is in 0..1 and spreads the polls of many workers.
    pub(crate) fn step(&mut self, now: Instant, room: impl Fn(Lane) -> Room, jitter: f64) -> Step {
        if now >= self.next_poll {
            for lane in Lane::ALL {
                self.hint(lane);
            }
            self.next_poll = now + jittered(self.poll_interval, jitter);
        }
        let reclaim = now >= self.reclaim_due;
        let rooms = PerLane::from_fn(room);
        let open = |lane: &Lane| rooms[*lane].free > 0;
        let asks: Vec<(Lane, usize)> = Lane::ALL
            .into_iter()
            .filter(open)
            .filter(|lane| reclaim || self.lanes[*lane].may_have_more)
            .map(|lane| (lane, rooms[lane].free.min(self.batch)))
            .collect();
        if asks.is_empty() {
            self.gather_until = None;
            return Step::WaitUntil(self.next_poll);
        }
        if !asks
            .iter()
            .any(|(lane, _)| rooms[*lane].is_worth_a_claim(self.batch))
        {
            let until = *self.gather_until.get_or_insert(now + GATHER);
            if now < until {
                return Step::WaitUntil(until.min(self.next_poll));
            }
        }
        self.gather_until = None;
        Step::Round { reclaim, asks }
    }

    /// A claim is about to be sent; hints that come from now on count for the next one.
    pub(crate) fn claiming(&mut self, asks: &[(Lane, usize)]) {
        for (lane, _) in asks {
            self.lanes[*lane].may_have_more = false;
        }
    }

    /// A claim returned `got` leases of a lane that was asked for `asked`.
    pub(crate) fn claimed(&mut self, lane: Lane, asked: usize, got: usize) {
        if asked > 0 && got >= asked {
            self.lanes[lane].may_have_more = true;
        }
    }

    /// A look for dead leases ended; `took_all_room` says that there may be more of them.
    pub(crate) fn reclaimed(&mut self, now: Instant, took_all_room: bool, jitter: f64) {
        if !took_all_room {
            self.reclaim_due = now + jittered(self.poll_interval, jitter);
        }
    }
}

/// A lane's slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Room {
    /// Slots in all.
    pub(crate) capacity: usize,
    /// Slots that no handler holds.
    pub(crate) free: usize,
}

impl Room {
    /// Whether the free slots make a batch that pays for a round trip, in a lane of this size.
    fn is_worth_a_claim(self, batch: usize) -> bool {
        self.free >= (self.capacity / 4).clamp(1, batch)
    }
}

/// The interval shortened or lengthened by up to a tenth. `random` is in 0..1.
pub(crate) fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(1);

    fn fetch_only(capacity: usize, free: usize) -> impl Fn(Lane) -> Room {
        move |lane| match lane {
            Lane::Fetch => Room { capacity, free },
            Lane::Index | Lane::Backfill | Lane::Stack => Room {
                capacity: 0,
                free: 0,
            },
        }
    }

    /// A pacing whose first round found nothing.
    fn idle(now: Instant) -> Pacing {
        let mut pacing = Pacing::new(now, 100, POLL);
        let step = pacing.step(now, fetch_only(4, 4), 0.5);
        assert_eq!(
            step,
            Step::Round {
                reclaim: true,
                asks: vec![(Lane::Fetch, 4)]
            }
        );
        pacing.claiming(&[(Lane::Fetch, 4)]);
        pacing.reclaimed(now, false, 0.5);
        pacing.claimed(Lane::Fetch, 4, 0);
        pacing
    }

    #[test]
    fn an_idle_worker_sleeps_until_the_poll() {
        let now = Instant::now();
        let mut pacing = idle(now);
        assert_eq!(
            pacing.step(now, fetch_only(4, 4), 0.5),
            Step::WaitUntil(now + POLL)
        );
        let step = pacing.step(now + POLL, fetch_only(4, 4), 0.5);
        assert_eq!(
            step,
            Step::Round {
                reclaim: true,
                asks: vec![(Lane::Fetch, 4)]
            }
        );
    }

    #[test]
    fn a_hint_is_followed_at_once() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.hint(Lane::Fetch);
        let step = pacing.step(now, fetch_only(4, 4), 0.5);
        assert_eq!(
            step,
            Step::Round {
                reclaim: false,
                asks: vec![(Lane::Fetch, 4)]
            }
        );
    }

    #[test]
    fn a_death_is_followed_by_a_look_for_dead_leases_at_once() {
        let now = Instant::now();
        let mut pacing = idle(now);
        let soon = now + POLL / 10;
        pacing.somebody_died(soon);
        assert!(matches!(
            pacing.step(soon, fetch_only(4, 0), 0.5),
            Step::WaitUntil(_)
        ));
        let step = pacing.step(soon, fetch_only(4, 1), 0.5);
        assert_eq!(
            step,
            Step::Round {
                reclaim: true,
                asks: vec![(Lane::Fetch, 1)]
            }
        );
    }

    #[test]
    fn a_full_claim_is_followed_by_another_as_soon_as_there_is_room() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claimed(Lane::Fetch, 4, 4);
        assert_eq!(
            pacing.step(now, fetch_only(4, 0), 0.5),
            Step::WaitUntil(now + POLL)
        );
        let step = pacing.step(now, fetch_only(4, 1), 0.5);
        assert_eq!(
            step,
            Step::Round {
                reclaim: false,
                asks: vec![(Lane::Fetch, 1)]
            }
        );
    }

    #[test]
    fn a_claim_that_came_back_short_is_not_repeated() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claimed(Lane::Fetch, 4, 3);
        assert_eq!(
            pacing.step(now, fetch_only(4, 1), 0.5),
            Step::WaitUntil(now + POLL)
        );
    }

    #[test]
    fn a_hint_that_comes_while_a_claim_is_under_way_outlives_its_answer() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claiming(&[(Lane::Fetch, 4)]);
        pacing.hint(Lane::Fetch);
        pacing.claimed(Lane::Fetch, 4, 0);
        assert!(matches!(
            pacing.step(now, fetch_only(4, 4), 0.5),
            Step::Round { .. }
        ));
    }

    #[test]
    fn a_few_freed_slots_of_a_large_lane_are_gathered_for_a_moment_only() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.hint(Lane::Fetch);
        assert_eq!(
            pacing.step(now, fetch_only(500, 3), 0.5),
            Step::WaitUntil(now + GATHER)
        );
        assert!(matches!(
            pacing.step(now, fetch_only(500, 100), 0.5),
            Step::Round { .. }
        ));
        pacing.hint(Lane::Fetch);
        let later = now + GATHER;
        assert_eq!(
            pacing.step(now, fetch_only(500, 3), 0.5),
            Step::WaitUntil(later)
        );
        assert!(matches!(
            pacing.step(later, fetch_only(500, 4), 0.5),
            Step::Round { .. }
        ));
    }

    #[test]
    fn dead_leases_come_first_until_none_is_left_even_when_slots_were_full() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claimed(Lane::Fetch, 4, 4);
        let due = now + POLL;
        assert!(matches!(
            pacing.step(due, fetch_only(4, 0), 0.5),
            Step::WaitUntil(_)
        ));
        let later = due + POLL;
        let round = Step::Round {
            reclaim: true,
            asks: vec![(Lane::Fetch, 1)],
        };
        assert_eq!(pacing.step(later, fetch_only(4, 1), 0.5), round);
        pacing.reclaimed(later, true, 0.5);
        assert_eq!(pacing.step(later, fetch_only(4, 1), 0.5), round);
        pacing.reclaimed(later, false, 0.5);
        pacing.hint(Lane::Fetch);
        let fresh = Step::Round {
            reclaim: false,
            asks: vec![(Lane::Fetch, 1)],
        };
        assert_eq!(pacing.step(later, fetch_only(4, 1), 0.5), fresh);
    }

    #[test]
    fn a_claim_never_asks_for_more_than_a_batch() {
        let now = Instant::now();
        let mut pacing = Pacing::new(now, 100, POLL);
        let step = pacing.step(now, fetch_only(500, 500), 0.5);
        assert_eq!(
            step,
            Step::Round {
                reclaim: true,
                asks: vec![(Lane::Fetch, 100)]
            }
        );
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        assert_eq!(
            jittered(Duration::from_secs(10), 0.0),
            Duration::from_secs(9)
        );
        assert_eq!(
            jittered(Duration::from_secs(10), 1.0),
            Duration::from_secs(11)
        );
    }
}
