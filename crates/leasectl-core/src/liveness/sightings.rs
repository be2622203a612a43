//! What the detector makes of its sightings: decisions, no I/O.
//!
//! **Invariant.** A worker is judged only when its lock was absent in every sighting for its whole
//! grace, in two sightings at least, within one session whose looks never paused for long.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Absent, Sighting};
use crate::time::BootInstant;

/// Time between two sightings of a detector.
pub const SIGHTING_INTERVAL: Duration = Duration::from_millis(100);

/// The longest pause between two sightings that still count as one watch.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// The grace of a worker whose lock this session has never seen: everybody may just be coming back
/// after a crash of the server, which no start time shows.
const GRACE_OF_STRANGERS: Duration = Duration::from_secs(3);

/// How often a judged worker is looked at again, for a claim of its last moment.
const AFTERCARE_INTERVAL: Duration = Duration::from_secs(1);

/// The memory of one uninterrupted detector session.
#[derive(Debug, Default)]
pub struct Sightings {
    last_answered: Option<BootInstant>,
    /// Who was absent when this session first looked, and ever since; none before the first look.
    strangers: Option<HashSet<Incarnation>>,
    /// When the first of the unbroken row of sightings was answered that found the lock absent.
    absent_since: HashMap<Incarnation, (BootInstant, Duration)>,
    /// When a judged worker is to be looked at again.
    aftercare: HashMap<Incarnation, BootInstant>,
}

/// A worker and its key.
type Incarnation = (String, i32);

fn incarnation(absent: &Absent) -> Incarnation {
    (absent.owner.as_str().to_owned(), absent.key.get())
}

impl Sightings {
    /// Takes note of a sighting that was asked for and answered at those moments; returns who is to be
    /// judged now.
    #[must_use]
    pub fn saw(
        &mut self,
        sent: BootInstant,
        answered: BootInstant,
        sighting: &Sighting,
    ) -> Vec<Absent> {
        if !sighting.settled {
            *self = Self::default();
            return Vec::new();
        }
        let paused = self
            .last_answered
            .is_none_or(|last| sent.since(last) > LONGEST_PAUSE);
        if paused {
            self.absent_since.clear();
        }
        self.last_answered = Some(answered);
        let seen: HashSet<_> = sighting.absent.iter().map(incarnation).collect();
        let strangers = self.strangers.get_or_insert_with(|| seen.clone());
        strangers.retain(|who| seen.contains(who));
        self.absent_since.retain(|who, _| seen.contains(who));
        self.aftercare.retain(|who, _| seen.contains(who));
        let mut due = Vec::new();
        let mut again = None;
        for absent in &sighting.absent {
            let who = incarnation(absent);
            if absent.judged {
                // One at a time: a new detector must not be kept from looking by the dead of before.
                if again.is_none() && self.aftercare.get(&who).is_none_or(|next| *next <= sent) {
                    again = Some(absent.clone());
                }
                continue;
            }
            let grace = if strangers.contains(&who) {
                absent.grace.max(GRACE_OF_STRANGERS)
            } else {
                absent.grace
            };
            match self.absent_since.get(&who) {
                Some((since, _)) if sent.since(*since) >= grace => due.push(absent.clone()),
                Some(_) => {}
                None => {
                    self.absent_since.insert(who, (answered, grace));
                }
            }
        }
        due.extend(again);
        due
    }

    /// Nothing is left to expire of a worker that was judged: it is looked at less often from now on.
    pub fn done_with(&mut self, judged: &Absent, now: BootInstant) {
        let who = incarnation(judged);
        self.absent_since.remove(&who);
        self.aftercare.insert(who, now + AFTERCARE_INTERVAL);
    }

    /// When to look next: an interval after the last answer, or earlier when somebody's grace ends before
    /// then.
    #[must_use]
    pub fn next_look(&self) -> BootInstant {
        let Some(answered) = self.last_answered else {
            return BootInstant::now() + SIGHTING_INTERVAL;
        };
        let ends = self
            .absent_since
            .values()
            .map(|(since, grace)| *since + *grace);
        ends.filter(|end| *end > answered)
            .fold(answered + SIGHTING_INTERVAL, BootInstant::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Owner;
    use crate::liveness::LivenessKey;

    const GRACE: Duration = Duration::from_millis(300);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn worker(key: i32) -> Absent {
        Absent {
            owner: Owner::from(format!("w:{key}:1")),
            key: LivenessKey::new(key),
            grace: GRACE,
            judged: false,
        }
    }

    fn without(absent: &[Absent]) -> Sighting {
        Sighting {
            settled: true,
            older: 0,
            absent: absent.to_vec(),
        }
    }

    /// A watch that has seen everybody present.
    fn watch(start: BootInstant) -> Sightings {
        let mut sightings = Sightings::default();
        assert!(sightings.saw(start, start, &without(&[])).is_empty());
        sightings
    }

    #[test]
    fn a_lock_absent_for_the_whole_grace_is_a_death() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        for at in [100, 200, 300] {
            let seen = sightings.saw(start + ms(at), start + ms(at), &without(&[worker(1)]));
            assert_eq!(seen, []);
        }
        let late = start + ms(400);
        assert_eq!(
            sightings.saw(late, late, &without(&[worker(1)])),
            [worker(1)]
        );
    }

    #[test]
    fn one_sighting_is_never_enough() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        let brief = Absent {
            grace: Duration::ZERO,
            ..worker(1)
        };
        let brief = without(&[brief]);
        assert!(
            sightings
                .saw(start + ms(100), start + ms(100), &brief)
                .is_empty()
        );
        assert_eq!(
            sightings
                .saw(start + ms(200), start + ms(200), &brief)
                .len(),
            1
        );
    }

    #[test]
    fn absence_counts_from_the_answer_to_the_first_sighting_to_the_sending_of_the_last() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        let gone = without(&[worker(1)]);
        // Slow answers.
        assert!(
            sightings
                .saw(start + ms(100), start + ms(300), &gone)
                .is_empty()
        );
        assert!(
            sightings
                .saw(start + ms(400), start + ms(590), &gone)
                .is_empty()
        );
        assert!(
            sightings
                .saw(start + ms(599), start + ms(800), &gone)
                .is_empty()
        );
        assert_eq!(
            sightings.saw(start + ms(810), start + ms(810), &gone).len(),
            1
        );
    }

    #[test]
    fn a_lock_that_is_held_again_starts_the_grace_anew() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        let mut at = |moment, absent: &[Absent]| {
            sightings.saw(start + ms(moment), start + ms(moment), &without(absent))
        };
        assert!(at(100, &[worker(1)]).is_empty());
        assert!(at(200, &[]).is_empty());
        assert!(at(300, &[worker(1)]).is_empty());
        assert!(at(400, &[worker(1)]).is_empty());
        assert!(at(500, &[worker(1)]).is_empty());
        assert_eq!(at(600, &[worker(1)]), [worker(1)]);
    }

    #[test]
    fn a_detector_that_paused_begins_again() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        let gone = without(&[worker(1)]);
        assert!(
            sightings
                .saw(start + ms(100), start + ms(100), &gone)
                .is_empty()
        );
        let woken = start + ms(5_000);
        assert!(sightings.saw(woken, woken, &gone).is_empty());
        assert_eq!(sightings.saw(woken + ms(200), woken + ms(200), &gone), []);
        assert_eq!(
            sightings.saw(woken + GRACE, woken + GRACE, &gone),
            [worker(1)]
        );
    }

    #[test]
    fn a_pause_that_is_just_short_enough_interrupts_no_watch() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        let gone = without(&[worker(1)]);
        assert_eq!(sightings.saw(start + ms(100), start + ms(100), &gone), []);
        let late = start + ms(100) + LONGEST_PAUSE;
        assert_eq!(sightings.saw(late, late, &gone), [worker(1)]);
    }

    #[test]
    fn a_watch_that_saw_nothing_yet_looks_within_an_interval() {
        let next = Sightings::default().next_look();
        assert!(next.since(BootInstant::now()) <= SIGHTING_INTERVAL);
    }

    #[test]
    fn a_standby_that_saw_the_lock_before_judges_after_the_grace() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        // Long after: the detector died, and this session looks in its place.
        let later = start + ms(60_000);
        let gone = without(&[worker(1)]);
        assert!(sightings.saw(later, later, &gone).is_empty());
        let mut judged = Vec::new();
        for at in [100, 200, 300] {
            judged = sightings.saw(later + ms(at), later + ms(at), &gone);
        }
        assert_eq!(judged, [worker(1)]);
    }

    #[test]
    fn who_was_absent_from_the_beginning_may_just_be_coming_back() {
        let start = BootInstant::now();
        let mut sightings = Sightings::default();
        let gone = without(&[worker(1), worker(2)]);
        let mut judged = Vec::new();
        let mut at = 0;
        while judged.is_empty() {
            judged = sightings.saw(start + ms(at), start + ms(at), &gone);
            at += 100;
        }
        assert_eq!(at - 100, 3_000);
        assert_eq!(judged.len(), 2);
        // It came back, and is no stranger any more.
        let mut sightings = Sightings::default();
        for (at, absent) in [(0, &gone), (100, &without(&[])), (200, &gone)] {
            let seen = sightings.saw(start + ms(at), start + ms(at), absent);
            assert_eq!(seen, []);
        }
        for at in [300, 400] {
            assert!(
                sightings
                    .saw(start + ms(at), start + ms(at), &gone)
                    .is_empty()
            );
        }
        assert_eq!(
            sightings.saw(start + ms(500), start + ms(500), &gone).len(),
            2
        );
    }

    #[test]
    fn nothing_is_judged_before_the_server_is_settled() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        for at in (100..2_000).step_by(100) {
            let young = Sighting {
                settled: false,
                ..without(&[worker(1)])
            };
            let now = start + ms(at);
            assert!(sightings.saw(now, now, &young).is_empty());
        }
        let now = start + ms(2_000);
        assert!(sightings.saw(now, now, &without(&[worker(1)])).is_empty());
        let now = start + ms(2_200);
        assert!(
            sightings.saw(now, now, &without(&[worker(1)])).is_empty(),
            "a stranger now"
        );
    }

    #[test]
    fn a_judged_worker_is_asked_about_until_nothing_is_left_and_then_now_and_again() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        let judged = Absent {
            judged: true,
            ..worker(1)
        };
        let seen = without(std::slice::from_ref(&judged));
        for at in [100, 200] {
            let now = start + ms(at);
            assert_eq!(sightings.saw(now, now, &seen).len(), 1);
        }
        sightings.done_with(&judged, start + ms(200));
        for (at, asked) in [(300, 0), (1_100, 0), (1_200, 1)] {
            let now = start + ms(at);
            assert_eq!(sightings.saw(now, now, &seen).len(), asked, "{at} ms");
        }
    }

    #[test]
    fn the_look_that_decides_comes_when_the_grace_ends() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        assert_eq!(sightings.next_look(), start + ms(100));
        let gone = without(&[worker(1)]);
        assert!(
            sightings
                .saw(start + ms(100), start + ms(101), &gone)
                .is_empty()
        );
        assert_eq!(sightings.next_look(), start + ms(201));
        for at in [200, 301] {
            let now = start + ms(at);
            assert!(sightings.saw(now, now, &gone).is_empty());
        }
        assert_eq!(sightings.next_look(), start + ms(401));
        assert_eq!(
            sightings.saw(start + ms(401), start + ms(401), &gone).len(),
            1
        );
    }

    #[test]
    fn looks_come_an_interval_apart_unless_a_grace_that_still_runs_ends_before() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        let gone = without(&[worker(1)]);
        // The grace ends at 401 ms; an answer comes late, and one when it has just ended.
        for (sent, answered, next) in [(100, 101, 201), (300, 350, 401), (400, 401, 501)] {
            let seen = sightings.saw(start + ms(sent), start + ms(answered), &gone);
            assert_eq!(seen, []);
            assert_eq!(sightings.next_look(), start + ms(next), "{answered} ms");
        }
    }

    #[test]
    fn the_dead_of_before_do_not_keep_a_new_detector_from_looking() {
        let start = BootInstant::now();
        let mut sightings = watch(start);
        let mut seen: Vec<_> = (1..9).map(worker).collect();
        for before in &mut seen {
            before.judged = true;
        }
        seen.push(worker(9));
        let seen = without(&seen);
        let mut asked = Vec::new();
        for at in [100, 200, 300, 400] {
            let due = sightings.saw(start + ms(at), start + ms(at), &seen);
            assert!(due.len() <= 2, "{due:?}");
            for absent in due {
                sightings.done_with(&absent, start + ms(at));
                asked.push(absent);
            }
        }
        assert_eq!(asked.len(), 5);
        assert!(asked.contains(&worker(9)));
    }
}
