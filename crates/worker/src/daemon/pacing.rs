//! When to claim, from which lanes, and when to reclaim: decisions, no I/O.
//!
//! A lane is worth asking when a hint says that there may be work, or when the last claim returned all
//! that it asked for. A lane that returned less is empty until a hint says otherwise, so an idle worker
//! claims nothing; the look of each poll gives the hints that wakeups do not.
//!
//! **Invariant (I12).** Once somebody said that a lane has dead leases, they are taken before its fresh jobs,
//! until a reclaim of that lane found fewer than there was room for.

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
        /// Whether dead leases are to be reclaimed first.
        reclaim: bool,
        /// How many leases to ask for, by lane; none is zero.
        asks: Vec<(Lane, usize)>,
    },
    /// Nothing to ask before this moment, unless a hint or a freed slot comes first.
    WaitUntil(Instant),
    /// Nothing to ask before a hint or a freed slot comes.
    Wait,
}

/// Decides when to ask for what.
#[derive(Debug)]
pub(crate) struct Pacing {
    batch: usize,
    /// Lanes that may have ready jobs.
    may_have_more: PerLane<bool>,
    /// Lanes that may have dead leases.
    reclaim: PerLane<bool>,
    gather_until: Option<Instant>,
}

impl Pacing {
    /// Everything is due at once: a new worker knows nothing about the queue.
    pub(crate) fn new(batch: usize) -> Self {
        Self {
            batch: batch.max(1),
            may_have_more: PerLane::from_fn(|_| true),
            reclaim: PerLane::from_fn(|_| true),
            gather_until: None,
        }
    }

    /// Somebody said that the lane may have ready jobs.
    pub(crate) fn hint(&mut self, lane: Lane) {
        self.may_have_more[lane] = true;
    }

    /// Somebody said that the lane has dead leases.
    pub(crate) fn somebody_died(&mut self, lane: Lane) {
        self.reclaim[lane] = true;
    }

    /// Decides what to do now.
    pub(crate) fn step(&mut self, now: Instant, room: impl Fn(Lane) -> Room) -> Step {
        let rooms = PerLane::from_fn(room);
        let open = |lane: &Lane| rooms[*lane].free > 0;
        let asks: Vec<(Lane, usize)> = Lane::ALL
            .into_iter()
            .filter(open)
            .filter(|lane| self.reclaim[*lane] || self.may_have_more[*lane])
            .map(|lane| (lane, rooms[lane].free.min(self.batch)))
            .collect();
        if asks.is_empty() {
            self.gather_until = None;
            return Step::Wait;
        }
        if !asks
            .iter()
            .any(|(lane, _)| rooms[*lane].is_worth_a_claim(self.batch))
        {
            let until = *self.gather_until.get_or_insert(now + GATHER);
            if now < until {
                return Step::WaitUntil(until);
            }
        }
        self.gather_until = None;
        let reclaim = asks.iter().any(|(lane, _)| self.reclaim[*lane]);
        Step::Round { reclaim, asks }
    }

    /// A claim is about to be sent; hints that come from now on count for the next one.
    pub(crate) fn claiming(&mut self, asks: &[(Lane, usize)]) {
        for (lane, _) in asks {
            self.may_have_more[*lane] = false;
        }
    }

    /// A claim returned `got` leases of a lane that was asked for `asked`.
    pub(crate) fn claimed(&mut self, lane: Lane, asked: usize, got: usize) {
        if asked > 0 && got >= asked {
            self.may_have_more[lane] = true;
        }
    }

    /// A reclaim is about to be sent; deaths that are heard of from now on count for the next one.
    pub(crate) fn reclaiming(&mut self, asks: &[(Lane, usize)]) {
        for (lane, _) in asks {
            self.reclaim[*lane] = false;
        }
    }

    /// A reclaim that was asked for so much took so much of each lane; answers the room that it left. A lane
    /// without any may have more dead leases.
    pub(crate) fn reclaimed(
        &mut self,
        asks: &[(Lane, usize)],
        taken: impl Fn(Lane) -> usize,
    ) -> Vec<(Lane, usize)> {
        let left = |&(lane, free): &(Lane, usize)| (lane, free.saturating_sub(taken(lane)));
        let (room, full): (Vec<_>, Vec<_>) = asks.iter().map(left).partition(|(_, left)| *left > 0);
        for (lane, _) in full {
            self.reclaim[lane] = true;
        }
        room
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch_only(capacity: usize, free: usize) -> impl Fn(Lane) -> Room {
        move |lane| match lane {
            Lane::Fetch => Room { capacity, free },
            Lane::Index | Lane::Backfill | Lane::Stack => Room {
                capacity: 0,
                free: 0,
            },
        }
    }

    fn round(reclaim: bool, free: usize) -> Step {
        Step::Round {
            reclaim,
            asks: vec![(Lane::Fetch, free)],
        }
    }

    /// A reclaim of the fetch lane ends.
    fn reclaimed(pacing: &mut Pacing, took_all_room: bool) {
        pacing.reclaimed(&[(Lane::Fetch, 4)], |_| if took_all_room { 4 } else { 0 });
    }

    /// A pacing whose first round found nothing.
    fn idle(now: Instant) -> Pacing {
        let mut pacing = Pacing::new(100);
        assert_eq!(pacing.step(now, fetch_only(4, 4)), round(true, 4));
        pacing.reclaiming(&[(Lane::Fetch, 4)]);
        reclaimed(&mut pacing, false);
        pacing.claiming(&[(Lane::Fetch, 4)]);
        pacing.claimed(Lane::Fetch, 4, 0);
        pacing
    }

    #[test]
    fn an_idle_worker_asks_nothing_until_it_gets_a_hint() {
        let now = Instant::now();
        let mut pacing = idle(now);
        let later = now + Duration::from_secs(3_600);
        assert_eq!(pacing.step(later, fetch_only(4, 4)), Step::Wait);
        pacing.hint(Lane::Fetch);
        assert_eq!(pacing.step(later, fetch_only(4, 4)), round(false, 4));
    }

    #[test]
    fn what_a_reclaim_took_is_no_room_for_the_claim_after_it() {
        let mut pacing = idle(Instant::now());
        let asks = [(Lane::Fetch, 4), (Lane::Index, 2), (Lane::Backfill, 1)];
        let taken = |lane| match lane {
            Lane::Fetch => 3,
            Lane::Index => 2,
            Lane::Backfill | Lane::Stack => 0,
        };
        pacing.reclaiming(&asks);
        let left = pacing.reclaimed(&asks, taken);
        assert_eq!(left, [(Lane::Fetch, 1), (Lane::Backfill, 1)]);
        // Only the lane that is full now may have more dead leases.
        let due = |lane| pacing.reclaim[lane];
        let dues = [Lane::Fetch, Lane::Index, Lane::Backfill].map(due);
        assert_eq!(dues, [false, true, false]);
    }

    #[test]
    fn a_death_is_followed_by_a_reclaim_as_soon_as_there_is_room() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.somebody_died(Lane::Fetch);
        assert_eq!(pacing.step(now, fetch_only(4, 0)), Step::Wait);
        assert_eq!(pacing.step(now, fetch_only(4, 1)), round(true, 1));
    }

    #[test]
    fn a_death_that_is_heard_of_while_a_reclaim_is_under_way_outlives_its_answer() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.somebody_died(Lane::Fetch);
        pacing.reclaiming(&[(Lane::Fetch, 4)]);
        pacing.somebody_died(Lane::Fetch);
        reclaimed(&mut pacing, false);
        assert_eq!(pacing.step(now, fetch_only(4, 4)), round(true, 4));
    }

    #[test]
    fn a_death_that_is_heard_of_while_a_reclaim_takes_all_room_is_not_forgotten() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.reclaiming(&[(Lane::Fetch, 1)]);
        pacing.somebody_died(Lane::Fetch);
        reclaimed(&mut pacing, true);
        assert_eq!(pacing.step(now, fetch_only(4, 4)), round(true, 4));
    }

    #[test]
    fn a_full_claim_is_followed_by_another_as_soon_as_there_is_room() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claimed(Lane::Fetch, 4, 4);
        assert_eq!(pacing.step(now, fetch_only(4, 0)), Step::Wait);
        assert_eq!(pacing.step(now, fetch_only(4, 1)), round(false, 1));
    }

    #[test]
    fn a_claim_that_came_back_short_is_not_repeated() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claimed(Lane::Fetch, 4, 3);
        assert_eq!(pacing.step(now, fetch_only(4, 1)), Step::Wait);
    }

    #[test]
    fn a_lane_that_was_not_asked_says_nothing_about_more() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claimed(Lane::Fetch, 0, 0);
        assert_eq!(pacing.step(now, fetch_only(4, 4)), Step::Wait);
    }

    #[test]
    fn a_hint_that_comes_while_a_claim_is_under_way_outlives_its_answer() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claiming(&[(Lane::Fetch, 4)]);
        pacing.hint(Lane::Fetch);
        pacing.claimed(Lane::Fetch, 4, 0);
        assert_eq!(pacing.step(now, fetch_only(4, 4)), round(false, 4));
    }

    #[test]
    fn a_few_freed_slots_of_a_large_lane_are_gathered_for_a_moment_only() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.hint(Lane::Fetch);
        let gather = Step::WaitUntil(now + GATHER);
        assert_eq!(pacing.step(now, fetch_only(500, 3)), gather);
        assert_eq!(pacing.step(now, fetch_only(500, 100)), round(false, 100));
        pacing.hint(Lane::Fetch);
        assert_eq!(pacing.step(now, fetch_only(500, 3)), gather);
        let later = now + GATHER;
        assert_eq!(pacing.step(later, fetch_only(500, 4)), round(false, 4));
    }

    #[test]
    fn dead_leases_come_first_until_none_is_left_even_when_slots_were_full() {
        let now = Instant::now();
        let mut pacing = idle(now);
        pacing.claimed(Lane::Fetch, 4, 4);
        pacing.somebody_died(Lane::Fetch);
        assert_eq!(pacing.step(now, fetch_only(4, 0)), Step::Wait);
        for took_all_room in [true, false] {
            assert_eq!(pacing.step(now, fetch_only(4, 1)), round(true, 1));
            pacing.reclaiming(&[(Lane::Fetch, 4)]);
            reclaimed(&mut pacing, took_all_room);
        }
        pacing.hint(Lane::Fetch);
        assert_eq!(pacing.step(now, fetch_only(4, 1)), round(false, 1));
    }

    #[test]
    fn a_reclaim_of_one_lane_does_not_forget_the_dead_of_another_that_had_no_room() {
        let now = Instant::now();
        let mut pacing = idle(now);
        let both = [(Lane::Fetch, 1), (Lane::Index, 1)];
        pacing.reclaiming(&both);
        pacing.claiming(&both);
        let room = |fetch| {
            move |lane| match lane {
                Lane::Fetch => Room {
                    capacity: 4,
                    free: fetch,
                },
                Lane::Index => Room {
                    capacity: 2,
                    free: 2,
                },
                Lane::Backfill | Lane::Stack => Room {
                    capacity: 0,
                    free: 0,
                },
            }
        };
        pacing.somebody_died(Lane::Fetch);
        pacing.hint(Lane::Index);
        let index_only = Step::Round {
            reclaim: false,
            asks: vec![(Lane::Index, 2)],
        };
        assert_eq!(pacing.step(now, room(0)), index_only);
        pacing.claiming(&[(Lane::Index, 2)]);
        assert_eq!(pacing.step(now, room(1)), round(true, 1));
    }

    #[test]
    fn a_claim_never_asks_for_more_than_a_batch() {
        let mut pacing = Pacing::new(100);
        let step = pacing.step(Instant::now(), fetch_only(500, 500));
        assert_eq!(step, round(true, 100));
    }
}
