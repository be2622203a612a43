//! When a session beats, and what it asks the server then.
//!
//! The seniors, who are the oldest workers, ping more often than the others, and each of their pings tries for the
//! detector's lock, so that few workers replace a dead detector as fast as many do. The more workers are
//! older, the fewer of a worker's pings try.
//! A worker that holds no lease has nothing to stop, and pings less often.

use std::time::Duration;

use leasectl_core::liveness::SIGHTING_INTERVAL;
use leasectl_core::time::BootInstant;

use crate::daemon::seniority::{SENIORS, turns_per_own};

/// How often a worker that does not detect does what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pace {
    /// Time between two pings: a third of the silence that counts as cut off, or less, while anything runs.
    ping: Duration,
    /// One of so many pings tries for the detector's lock.
    pings_per_try: u32,
    /// Time between two looks around.
    look_around: Duration,
    around: Around,
}

/// What a look around sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Around {
    /// Who holds which lock. Whom a detector never saw hold its lock gets a longer grace from it, so those look that
    /// may follow it soon.
    Locks,
    /// Only how many are older.
    Count,
}

/// How much rarer the pings of a worker are that holds no lease.
const IDLE: u32 = 3;

/// The pace of a worker that so many others are older than, and that holds a lease or none.
fn pace(older: usize, busy: bool) -> Pace {
    if older < SENIORS {
        return Pace {
            ping: Duration::from_millis(250),
            pings_per_try: 1,
            look_around: Duration::from_secs(2),
            around: Around::Locks,
        };
    }
    let rarer = if busy { 1 } else { IDLE };
    let seconds_per_try = turns_per_own(older);
    Pace {
        ping: rarer * Duration::from_secs(1),
        pings_per_try: (seconds_per_try / rarer).max(1),
        look_around: Duration::from_secs(10),
        around: if older < 2 * SENIORS {
            Around::Locks
        } else {
            Around::Count
        },
    }
}

/// What a ping asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ping {
    /// Whether this session may be the detector's.
    Try,
    /// Only an answer.
    Answer,
}

/// The beats of one session.
#[derive(Clone, Debug)]
pub(super) struct Beats {
    /// How many of the watched workers are older.
    older: usize,
    /// Pings since the last one that tried for the detector's lock.
    pings: u32,
    last: BootInstant,
    next_look_around: BootInstant,
    /// When the detector beats next, if this is one.
    next_look: Option<BootInstant>,
}

impl Beats {
    /// Of a session that begins now.
    pub(super) fn new(now: BootInstant) -> Self {
        Self {
            older: 0,
            pings: 0,
            last: now,
            next_look_around: now,
            next_look: None,
        }
    }

    /// When to beat next, while this worker holds a lease or none.
    pub(super) fn next(&self, busy: bool) -> BootInstant {
        self.next_look
            .unwrap_or_else(|| self.last + pace(self.older, busy).ping)
    }

    /// Whether this session is the detector's.
    pub(super) fn detects(&self) -> bool {
        self.next_look.is_some()
    }

    /// A beat begins now. Should the detector's fail, it looks again as if nobody were missing.
    pub(super) fn begin(&mut self, now: BootInstant) {
        self.last = now;
        if self.detects() {
            self.detect();
        }
    }

    /// This session is the detector's.
    pub(super) fn detect(&mut self) {
        self.look_next_at(self.last + SIGHTING_INTERVAL);
    }

    /// The detector looks again then.
    pub(super) fn look_next_at(&mut self, then: BootInstant) {
        self.next_look = Some(then);
    }

    /// Whether a worker that does not detect looks around in this beat, and how. The first thing that a session does
    /// is to see who is there: only those it misses soon.
    pub(super) fn around(&self, busy: bool) -> Option<Around> {
        (self.last >= self.next_look_around).then(|| pace(self.older, busy).around)
    }

    /// It has looked around in this beat.
    pub(super) fn looked_around(&mut self, busy: bool) {
        self.next_look_around = self.last + pace(self.older, busy).look_around;
    }

    /// So many of the watched workers are older.
    pub(super) fn saw_older(&mut self, older: usize) {
        self.older = older;
    }

    /// What a worker that does not detect asks in this beat besides. A look around has shown already that the
    /// session lives.
    pub(super) fn ping(&mut self, busy: bool, has_looked_around: bool) -> Option<Ping> {
        self.pings += 1;
        if self.pings >= pace(self.older, busy).pings_per_try {
            self.pings = 0;
            return Some(Ping::Try);
        }
        (!has_looked_around).then_some(Ping::Answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The beats of a session that so many others are older than.
    fn with_older(older: usize, now: BootInstant) -> Beats {
        let mut beats = Beats::new(now);
        beats.saw_older(older);
        beats
    }

    #[test]
    fn a_session_looks_around_first_and_then_every_two_or_ten_seconds() {
        let start = BootInstant::now();
        for (older, busy, seconds, around) in [
            (4, false, 2, Around::Locks),
            (5, true, 10, Around::Locks),
            (9, false, 10, Around::Locks),
            (10, true, 10, Around::Count),
        ] {
            let mut beats = Beats::new(start);
            assert_eq!(beats.around(busy), Some(Around::Locks), "nothing is known");
            beats.saw_older(older);
            beats.looked_around(busy);
            let due = start + seconds * SECOND;
            let almost = start + (seconds * SECOND - Duration::from_millis(1));
            for (then, looks) in [(start, None), (almost, None), (due, Some(around))] {
                beats.begin(then);
                assert_eq!(beats.around(busy), looks, "{older} older ones");
            }
        }
    }

    #[test]
    fn a_look_around_that_failed_is_made_again_at_the_next_beat() {
        let start = BootInstant::now();
        let mut beats = with_older(10, start);
        beats.begin(start);
        beats.looked_around(true);
        for seconds in [10, 11] {
            beats.begin(start + seconds * SECOND);
            assert_eq!(beats.around(true), Some(Around::Count), "{seconds} s");
        }
        beats.looked_around(true);
        beats.begin(start + 12 * SECOND);
        assert_eq!(beats.around(true), None);
    }

    #[test]
    fn the_next_beat_comes_after_the_last_one_at_the_pace_of_its_worker() {
        let start = BootInstant::now();
        let mut beats = with_older(5, start);
        beats.begin(start + SECOND);
        assert_eq!(beats.next(true), start + 2 * SECOND);
        assert_eq!(beats.next(false), start + 4 * SECOND);
        beats.saw_older(4);
        assert_eq!(beats.next(true), start + SECOND + SECOND / 4);
    }

    #[test]
    fn a_detector_beats_when_it_looks() {
        let start = BootInstant::now();
        let mut beats = Beats::new(start);
        beats.begin(start + SECOND);
        assert!(!beats.detects());
        beats.detect();
        assert!(beats.detects());
        // Its look fails, or sees nobody missing.
        assert_eq!(beats.next(true), start + SECOND + SIGHTING_INTERVAL);
        beats.look_next_at(start + 3 * SECOND);
        assert_eq!(beats.next(true), start + 3 * SECOND);
        beats.begin(start + 3 * SECOND);
        assert_eq!(beats.next(false), start + 3 * SECOND + SIGHTING_INTERVAL);
    }

    #[test]
    fn one_ping_in_so_many_tries_and_the_count_begins_anew() {
        let mut beats = with_older(10, BootInstant::now());
        let asks: Vec<_> = (0..7).map(|_| beats.ping(true, false)).collect();
        let (ping, tries) = (Some(Ping::Answer), Some(Ping::Try));
        assert_eq!(asks, [ping, ping, tries, ping, ping, tries, ping]);
        // Somebody older died: the next ones come more often.
        beats.saw_older(4);
        assert_eq!([(); 2].map(|()| beats.ping(true, false)), [tries, tries]);
    }

    #[test]
    fn a_look_around_stands_for_a_ping_that_asks_for_an_answer_and_for_no_other() {
        let mut beats = with_older(10, BootInstant::now());
        let asks: Vec<_> = (0..3).map(|_| beats.ping(true, true)).collect();
        assert_eq!(asks, [None, None, Some(Ping::Try)]);
    }

    #[test]
    fn the_five_oldest_try_for_the_detectors_lock_four_times_a_second() {
        for (older, busy) in (0..5).flat_map(|older| [(older, true), (older, false)]) {
            let pace = pace(older, busy);
            assert_eq!(pace.pings_per_try, 1, "{older} older ones");
            assert_eq!(pace.ping, Duration::from_millis(250), "{older} older ones");
        }
    }

    #[test]
    fn whoever_is_left_tries_within_ten_seconds() {
        for older in [5, 9, 10, 99, usize::MAX] {
            for busy in [true, false] {
                let pace = pace(older, busy);
                let between_tries = pace.ping * pace.pings_per_try;
                assert!(
                    between_tries <= 10 * SECOND,
                    "{older} older ones, busy: {busy}"
                );
            }
        }
    }

    #[test]
    fn the_more_workers_are_older_the_fewer_pings_try_and_an_idle_one_pings_less_often() {
        let pace = |older, busy| {
            let pace = pace(older, busy);
            (pace.ping.as_millis(), pace.pings_per_try)
        };
        assert_eq!(pace(4, true), (250, 1));
        assert_eq!(pace(5, true), (1_000, 2));
        assert_eq!(pace(9, true), (1_000, 2));
        assert_eq!(pace(10, true), (1_000, 3));
        assert_eq!(pace(29, true), (1_000, 6));
        assert_eq!(pace(500, true), (1_000, 10));
        assert_eq!(pace(5, false), (3_000, 1));
        assert_eq!(pace(29, false), (3_000, 2));
        assert_eq!(pace(500, false), (3_000, 3));
    }

    #[test]
    fn who_holds_a_lease_pings_within_a_third_of_the_silence() {
        for older in [0, 4, 5, 9, 99, usize::MAX] {
            assert!(pace(older, true).ping <= super::super::phase::SILENCE / 3);
        }
    }

    #[test]
    fn a_hundred_workers_try_less_often_than_one_try_each_in_two_seconds() {
        for busy in [true, false] {
            let tries_per_second = |older| {
                let pace = pace(older, busy);
                1.0 / (pace.ping.as_secs_f64() * f64::from(pace.pings_per_try))
            };
            let all: f64 = (0..100).map(tries_per_second).sum();
            assert!(all < 50.0, "{all} tries per second");
        }
    }
}
