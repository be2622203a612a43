//! When the heart beats, and how long it waits for an answer: decided without I/O.

use std::time::Duration;

use tokio::time::Instant;

use super::trust::TrustRules;

/// How often progress that handlers reported goes out between two heartbeats.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// The least time for an answer, however short the trust window is.
const LEAST_PATIENCE: Duration = Duration::from_millis(50);

/// The longest pause after beats that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When this thread comes later than that, or than a quarter of the trust window, the process stood
/// still: it was stopped, the host was suspended, or too busy to be trusted.
const STOOD_STILL: Duration = Duration::from_secs(2);

/// When every lease is beaten for, and when only those with news.
#[derive(Debug)]
pub(crate) struct Rhythm {
    interval: Duration,
    next_beat: Instant,
}

impl Rhythm {
    /// A rhythm whose first beat is due.
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            next_beat: now,
        }
    }

    /// Whether a round that starts now beats for every lease.
    pub(crate) fn is_beat(&self, now: Instant) -> bool {
        now >= self.next_beat
    }

    /// A round that started at that moment was answered; answers when the next one is due.
    pub(crate) fn answered(&mut self, started: Instant) -> Instant {
        if self.is_beat(started) {
            self.next_beat = started + self.interval;
        }
        self.next_beat.min(started + PROGRESS_INTERVAL)
    }

    /// Has the next round beat for every lease.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.next_beat = now;
    }
}

/// How long the answer to a beat is waited for: another connection must have its turn, and a third one, before trust
/// ends.
pub(crate) fn answer_patience(rules: &TrustRules) -> Duration {
    (rules.window() / 3).max(LEAST_PATIENCE)
}

/// The longest pause between beats that fail.
pub(crate) fn longest_pause(rules: &TrustRules) -> Duration {
    (rules.window() / 10).min(LONGEST_PAUSE)
}

/// Whether a process that comes so long after its last look at the trust windows stood still meanwhile.
pub(crate) fn stood_still(rules: &TrustRules, since_last_look: Duration) -> bool {
    since_last_look > rules.check_every() + STOOD_STILL.max(rules.window() / 4)
}

#[cfg(test)]
mod tests {
    use leasectl_core::lease::LeaseSettings;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules(stale_after: Duration) -> TrustRules {
        let lease = LeaseSettings::new(stale_after / 3, stale_after, 100 * stale_after);
        TrustRules::new(&lease.unwrap(), SECOND)
    }

    #[test]
    fn every_lease_is_beaten_for_once_in_an_interval_and_news_go_out_between() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(2 * SECOND, start);
        assert!(rhythm.is_beat(start));
        let mut beats = Vec::new();
        let mut now = start;
        while now < start + 5 * SECOND {
            if rhythm.is_beat(now) {
                beats.push((now - start).as_millis());
            }
            let next = rhythm.answered(now);
            assert!(next - now <= PROGRESS_INTERVAL);
            now = next;
        }
        assert_eq!(beats, [0, 2_000, 4_000]);
    }

    #[test]
    fn a_beat_that_was_not_answered_is_due_still() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(2 * SECOND, start);
        assert!(rhythm.is_beat(start + SECOND));
        rhythm.answered(start + SECOND);
        assert!(!rhythm.is_beat(start + 2 * SECOND));
        rhythm.hurry(start + 2 * SECOND);
        assert!(rhythm.is_beat(start + 2 * SECOND));
    }

    #[test]
    fn a_short_interval_is_kept_although_news_could_wait() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(SECOND / 10, start);
        assert_eq!(rhythm.answered(start), start + SECOND / 10);
    }

    #[test]
    fn three_answers_may_be_missed_before_trust_ends() {
        let rules = rules(30 * SECOND);
        assert_eq!(rules.window(), 28 * SECOND);
        assert_eq!(answer_patience(&rules), 28 * SECOND / 3);
        assert_eq!(longest_pause(&rules), 2 * SECOND);
        let quick = self::rules(SECOND);
        assert_eq!(longest_pause(&quick), quick.window() / 10);
        assert!(answer_patience(&self::rules(SECOND / 10)) >= LEAST_PATIENCE);
    }

    #[test]
    fn a_process_stood_still_when_it_looks_a_quarter_of_its_window_late() {
        for (stale_after, late) in [(30 * SECOND, 7 * SECOND), (SECOND, STOOD_STILL)] {
            let rules = rules(stale_after);
            let longest = rules.check_every() + late;
            assert!(!stood_still(&rules, longest), "{stale_after:?}");
            let longer = longest + Duration::from_nanos(1);
            assert!(stood_still(&rules, longer), "{stale_after:?}");
        }
    }
}
