//! Notices that the handlers' threads, or the worker's own, do not come back.
//!
//! A task on each runtime counts up; the heartbeat thread, which no handler can block, looks whether
//! it did. When no handler thread is left nothing more is claimed and the service manager's watchdog
//! is not fed; when that lasts as long as others would wait before a takeover, the worker ends, so
//! that it is started anew: what keeps the threads fails for want of progress, the other jobs are
//! handed back. When the worker's own threads stand still for so long, nobody is left who could end
//! it in order: it stops beating, and others take over.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasectl_core::time::BootInstant;
use tokio::sync::watch;

use super::shared::Shared;
use super::verdict::StopReason;

/// How well the handlers' threads are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Condition {
    /// Handlers run.
    Well,
    /// Every thread is kept by some handler.
    Blocked,
    /// That has lasted too long.
    GivenUp,
}

/// What the loops of one worker know of its threads.
#[derive(Debug)]
pub(crate) struct Vigil {
    /// After so long without a sign of life a runtime counts as blocked.
    blocked_after: Duration,
    /// After so long it is given up.
    give_up_after: Duration,
    main: AtomicU64,
    handlers: AtomicU64,
    condition: watch::Sender<Condition>,
}

impl Vigil {
    pub(crate) fn new(blocked_after: Duration, give_up_after: Duration) -> Self {
        Self {
            blocked_after,
            give_up_after: give_up_after.max(blocked_after),
            main: AtomicU64::new(0),
            handlers: AtomicU64::new(0),
            condition: watch::Sender::new(Condition::Well),
        }
    }

    /// Whether handlers can run.
    pub(crate) fn is_well(&self) -> bool {
        *self.condition.borrow() == Condition::Well
    }

    /// Waits until handlers can run.
    pub(crate) async fn well(&self) {
        self.until(|condition| *condition == Condition::Well).await;
    }

    /// Waits until the handlers' threads are given up.
    pub(crate) async fn given_up(&self) {
        self.until(|condition| *condition == Condition::GivenUp)
            .await;
    }

    /// Counts up for the runtime of the worker's own loops.
    pub(crate) async fn count_main(&self) {
        count(&self.main, self.every()).await;
    }

    /// Counts up for the runtime of the handlers.
    pub(crate) async fn count_handlers(&self) {
        count(&self.handlers, self.every()).await;
    }

    async fn until(&self, wanted: impl FnMut(&Condition) -> bool) {
        let mut condition = self.condition.subscribe();
        // The sender lives in `self`, so waiting cannot fail while this borrow lasts.
        let _ = condition.wait_for(wanted).await;
    }

    fn every(&self) -> Duration {
        (self.blocked_after / 10).clamp(Duration::from_millis(5), Duration::from_millis(500))
    }

    fn judge(&self, silent: Duration) -> Condition {
        if silent >= self.give_up_after {
            Condition::GivenUp
        } else if silent >= self.blocked_after {
            Condition::Blocked
        } else {
            Condition::Well
        }
    }
}

async fn count(pulse: &AtomicU64, every: Duration) {
    loop {
        pulse.fetch_add(1, Ordering::Release);
        tokio::time::sleep(every).await;
    }
}

/// For how long a pulse has stood still, by looks at it.
///
/// Only time in which the looker itself ran counts: when the whole process was stopped, nobody was
/// blocked.
#[derive(Debug, Default)]
struct Stillness {
    last: u64,
    silent: Duration,
}

impl Stillness {
    fn look(&mut self, pulse: &AtomicU64, passed: Duration) -> Duration {
        let count = pulse.load(Ordering::Acquire);
        if count == self.last {
            self.silent += passed;
        } else {
            self.last = count;
            self.silent = Duration::ZERO;
        }
        self.silent
    }
}

/// What was said last of a runtime.
#[derive(Debug)]
struct Said(Condition);

impl Said {
    /// What is new, if anything is. One that was given up stays so.
    fn news(&mut self, now: Condition) -> Option<Condition> {
        if now == self.0 || self.0 == Condition::GivenUp {
            return None;
        }
        self.0 = now;
        Some(now)
    }
}

/// Looks at both runtimes; ends when the worker's own is to be given up.
pub(crate) async fn keep(shared: &Shared) {
    let vigil = &shared.vigil;
    let every = vigil.every();
    let (mut main, mut handlers) = (Stillness::default(), Stillness::default());
    let (mut of_main, mut of_handlers) = (Said(Condition::Well), Said(Condition::Well));
    let mut named = HashSet::new();
    loop {
        let slept = BootInstant::now();
        tokio::time::sleep(every).await;
        let passed = slept.elapsed().min(2 * every);
        name_blockers(shared, &mut named);
        let now = vigil.judge(handlers.look(&vigil.handlers, passed));
        if let Some(now) = of_handlers.news(now) {
            handlers_are(shared, now);
            vigil.condition.send_replace(now);
        }
        let now = vigil.judge(main.look(&vigil.main, passed));
        match of_main.news(now) {
            None => {}
            Some(Condition::Well) => tracing::info!("the worker's own threads run again"),
            Some(Condition::Blocked) => {
                tracing::error!(
                    "the worker's own threads stand still: nothing is claimed or settled"
                );
            }
            Some(Condition::GivenUp) => {
                tracing::error!("the worker's own threads stand still: no more heartbeats");
                return;
            }
        }
    }
}

/// Says once of each handler that it does not give its thread back.
fn name_blockers(shared: &Shared, named: &mut HashSet<leasectl_core::lease::LeaseKey>) {
    let mut blockers = HashSet::new();
    for job in shared.registry.snapshot() {
        let kept = job.keeps_thread_for();
        if kept < shared.vigil.blocked_after {
            continue;
        }
        blockers.insert(job.key);
        if named.insert(job.key) {
            tracing::error!(
                job = %job.key.job_id, token = %job.key.token, kind = job.kind.spec.name,
                seconds = kept.as_secs_f64(), "a handler blocks its thread"
            );
        }
    }
    *named = blockers;
}

fn handlers_are(shared: &Shared, condition: Condition) {
    match condition {
        Condition::Well => tracing::info!("handlers run again"),
        Condition::Blocked => {
            tracing::error!("handlers block all of their threads; claiming nothing more");
        }
        Condition::GivenUp => {
            tracing::error!("handlers block all of their threads; giving this worker up");
            for job in shared.registry.snapshot() {
                if job.keeps_thread_for() >= shared.vigil.blocked_after {
                    job.stop(StopReason::KeptThread);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pulse_that_stands_still_is_silent_and_one_that_moves_is_not() {
        let pulse = AtomicU64::new(0);
        let mut stillness = Stillness::default();
        assert_eq!(stillness.look(&pulse, SECOND), SECOND);
        assert_eq!(stillness.look(&pulse, SECOND), 2 * SECOND);
        pulse.store(1, Ordering::Release);
        assert_eq!(stillness.look(&pulse, SECOND), Duration::ZERO);
        assert_eq!(stillness.look(&pulse, SECOND), SECOND);
    }

    #[test]
    fn threads_are_blocked_first_and_given_up_later() {
        let vigil = Vigil::new(5 * SECOND, 30 * SECOND);
        assert_eq!(vigil.judge(4 * SECOND), Condition::Well);
        assert_eq!(vigil.judge(5 * SECOND), Condition::Blocked);
        assert_eq!(vigil.judge(29 * SECOND), Condition::Blocked);
        assert_eq!(vigil.judge(30 * SECOND), Condition::GivenUp);
    }

    #[test]
    fn only_what_is_new_is_said_and_nothing_after_the_end() {
        use Condition::{Blocked, GivenUp, Well};
        let mut said = Said(Well);
        let seen = [
            Well, Blocked, Blocked, Well, Blocked, GivenUp, GivenUp, Well,
        ];
        let news = seen.map(|now| said.news(now));
        let expected = [
            None,
            Some(Blocked),
            None,
            Some(Well),
            Some(Blocked),
            Some(GivenUp),
            None,
            None,
        ];
        assert_eq!(news, expected);
    }

    #[tokio::test]
    async fn whoever_waits_for_the_threads_is_told_when_they_run_and_when_they_are_given_up() {
        let vigil = Vigil::new(5 * SECOND, 30 * SECOND);
        assert!(vigil.is_well());
        vigil.well().await;
        assert!(vigil.given_up().now_or_never().is_none());
        vigil.condition.send_replace(Condition::Blocked);
        assert!(!vigil.is_well());
        assert!(vigil.well().now_or_never().is_none());
        assert!(vigil.given_up().now_or_never().is_none());
        vigil.condition.send_replace(Condition::GivenUp);
        assert!(!vigil.is_well());
        vigil.given_up().await;
    }

    #[test]
    fn signs_of_life_come_ten_times_before_their_want_counts() {
        let every = |blocked_after| Vigil::new(blocked_after, 30 * SECOND).every();
        assert_eq!(every(5 * SECOND), SECOND / 2);
        assert_eq!(every(SECOND), SECOND / 10);
        assert_eq!(every(60 * SECOND), SECOND / 2);
        assert_eq!(every(SECOND / 1_000), SECOND / 200);
    }

    #[test]
    fn threads_are_never_given_up_before_they_count_as_blocked() {
        let vigil = Vigil::new(5 * SECOND, SECOND);
        assert_eq!(vigil.judge(4 * SECOND), Condition::Well);
        assert_eq!(vigil.judge(5 * SECOND), Condition::GivenUp);
    }
}
