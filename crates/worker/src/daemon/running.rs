//! The jobs that this worker holds leases of, and the one place from which each lease is settled.
//!
//! **Invariant.** A lease stays in its entry until somebody takes it to settle it; whoever takes it
//! is the only one who can. The entry stays until the database has answered, so that heartbeats
//! go on for a lease whose settlement is under way.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use leasectl_core::database::Database;
use leasectl_core::ids::JobId;
use leasectl_core::lease::{Lease, LeaseKey, Settlement};
use leasectl_core::time::BootInstant;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::handler::{JobContext, ServedKind};
use super::progress::{ProgressCell, ProgressReporter};
use super::trust::{self, Trust, TrustRules};
use super::verdict::{Ended, StopReason, Verdict, verdict};

/// One job that this worker holds the lease of.
pub(crate) struct RunningJob {
    /// The kind of the job.
    pub(crate) kind: Arc<ServedKind>,
    /// The job and the token of its lease.
    pub(crate) key: LeaseKey,
    /// What its handler reported.
    pub(crate) progress: Arc<ProgressCell>,
    hold: Mutex<Hold>,
    stop: CancellationToken,
    stop_asked: OnceLock<(StopReason, BootInstant)>,
    /// Since when a thread is inside the handler: it gives the thread back at its next await.
    on_thread_since: Mutex<Option<BootInstant>>,
}

/// What this worker has of a lease.
struct Hold {
    /// Nothing once somebody took it to settle it.
    lease: Option<Lease>,
    /// How long it may be trusted; heartbeats go on while it is settled.
    trust: Trust,
}

impl Hold {
    /// Whether the lease is being settled after its trust has ended: anybody may take it over.
    fn is_overdue_settlement(&self, now: BootInstant, rules: &TrustRules) -> bool {
        self.lease.is_none() && self.trust.verdict(now, rules) == trust::Verdict::TrustEnded
    }
}

impl fmt::Debug for RunningJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningJob")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A settlement that is to be sent, and the job that it ends.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) job: Arc<RunningJob>,
    pub(crate) settlement: Settlement,
}

impl RunningJob {
    /// An entry for a lease that was just claimed.
    pub(crate) fn new(lease: Lease, kind: Arc<ServedKind>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            key: lease.key(),
            progress: Arc::new(ProgressCell::default()),
            hold: Mutex::new(Hold {
                trust: Trust::from_claim(lease.trusted_from()),
                lease: Some(lease),
            }),
            stop: CancellationToken::new(),
            stop_asked: OnceLock::new(),
            on_thread_since: Mutex::new(None),
        })
    }

    /// What the handler is given; nothing when the lease is settled already.
    pub(crate) fn context(&self, database: &Database) -> Option<JobContext> {
        let hold = locked(&self.hold);
        let lease = hold.lease.as_ref()?;
        Some(JobContext {
            job: lease.job().clone(),
            fence: lease.fence(),
            progress: ProgressReporter::new(Arc::clone(&self.progress)),
            // A child: a handler that triggers its own token stops nobody but itself.
            cancel: self.stop.child_token(),
            database: database.clone(),
        })
    }

    /// Asks the handler to stop. Answers whether this was the first reason to.
    pub(crate) fn stop(&self, reason: StopReason) -> bool {
        let is_first = self.stop_asked.set((reason, BootInstant::now())).is_ok();
        self.stop.cancel();
        is_first
    }

    /// Waits until the handler is asked to stop; answers why.
    pub(crate) async fn stopped(&self) -> StopReason {
        self.stop.cancelled().await;
        // The reason is written before the token is triggered.
        self.stop_reason().unwrap_or(StopReason::Drain)
    }

    /// Why the handler was asked to stop, if it was.
    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        self.stop_asked.get().map(|(reason, _)| *reason)
    }

    /// A thread enters the handler, or comes out of it.
    pub(crate) fn on_thread(&self, since: Option<BootInstant>) {
        *locked(&self.on_thread_since) = since;
    }

    /// For how long the handler has kept its thread without giving it back.
    pub(crate) fn keeps_thread_for(&self) -> Duration {
        locked(&self.on_thread_since).map_or(Duration::ZERO, BootInstant::elapsed)
    }

    /// Whether the lease was not taken to settle it yet.
    pub(crate) fn is_held(&self) -> bool {
        locked(&self.hold).lease.is_some()
    }

    /// A heartbeat sent at that moment was answered for this lease.
    pub(crate) fn renewed(&self, sent: BootInstant, with_progress: bool) {
        locked(&self.hold).trust.renewed(sent, with_progress);
    }

    /// Takes the lease to settle it; nothing when there is nothing to settle.
    pub(crate) fn end(self: &Arc<Self>, verdict: Verdict) -> Option<Finished> {
        let lease = locked(&self.hold).lease.take()?;
        let settlement = match verdict {
            Verdict::Complete(result) => lease.complete(result),
            Verdict::Fail(error) => lease.fail(error),
            Verdict::Cancel => lease.cancelled(),
            Verdict::Release => lease.release(),
            Verdict::Abandon => return None,
        };
        Some(Finished {
            job: Arc::clone(self),
            settlement,
        })
    }

    fn trust(&self) -> Trust {
        locked(&self.hold).trust
    }
}

/// All jobs that this worker holds leases of.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    jobs: Mutex<HashMap<LeaseKey, Arc<RunningJob>>>,
    /// Whether there are any; changed under the lock.
    busy: watch::Sender<bool>,
    /// Told whenever jobs were forgotten.
    removed: Notify,
}

impl Registry {
    /// Adds jobs that were just claimed.
    pub(crate) fn insert(&self, started: &[Arc<RunningJob>]) {
        let mut jobs = locked(&self.jobs);
        jobs.extend(started.iter().map(|job| (job.key, Arc::clone(job))));
        self.tell_busy(!jobs.is_empty());
    }

    /// Forgets jobs whose leases are over.
    pub(crate) fn remove<'a>(&self, ended: impl IntoIterator<Item = &'a LeaseKey>) {
        let mut jobs = locked(&self.jobs);
        for key in ended {
            jobs.remove(key);
        }
        self.tell_busy(!jobs.is_empty());
        self.removed.notify_waiters();
    }

    /// Leases whose settlement is under way and whose trust has ended: anybody may take them over.
    pub(crate) fn overdue_settlements(&self, rules: &TrustRules) -> Vec<LeaseKey> {
        let now = BootInstant::now();
        let mut jobs = self.snapshot();
        jobs.retain(|job| locked(&job.hold).is_overdue_settlement(now, rules));
        jobs.iter().map(|job| job.key).collect()
    }

    /// Waits until all of them are forgotten.
    pub(crate) async fn until_removed(&self, keys: &[LeaseKey]) {
        loop {
            let removed = self.removed.notified();
            let is_there = |key: &LeaseKey| locked(&self.jobs).contains_key(key);
            if !keys.iter().any(is_there) {
                return;
            }
            removed.await;
        }
    }

    /// Whether any lease is held.
    pub(crate) fn is_busy(&self) -> bool {
        *self.busy.borrow()
    }

    /// Waits until a lease is held, or until none is.
    pub(crate) async fn until(&self, busy: bool) {
        // The sender lives in `self`, so waiting cannot fail while this borrow lasts.
        let _ = self.busy.subscribe().wait_for(|is| *is == busy).await;
    }

    fn tell_busy(&self, busy: bool) {
        self.busy
            .send_if_modified(|is| std::mem::replace(is, busy) != busy);
    }

    /// Every job, in no order.
    pub(crate) fn snapshot(&self) -> Vec<Arc<RunningJob>> {
        locked(&self.jobs).values().map(Arc::clone).collect()
    }

    /// Somebody cancelled the job: stops its handler, if it runs here.
    pub(crate) fn cancel(&self, id: JobId) {
        for job in self.snapshot().iter().filter(|job| job.key.job_id == id) {
            if job.stop(StopReason::CancelRequested) {
                tracing::info!(job = %id, "cancel requested; stopping the handler");
            }
        }
    }

    /// Stops every handler.
    pub(crate) fn stop_all(&self, reason: StopReason) {
        for job in self.snapshot() {
            job.stop(reason);
        }
    }

    /// Takes every lease that nobody took yet, as if its handler had been dropped now; mostly that
    /// hands it back.
    pub(crate) fn end_all(&self) -> Vec<Finished> {
        self.end_undone(&self.snapshot())
    }

    /// Takes the leases of handlers that were asked to stop and are not even dropped `slack` after
    /// their grace: they keep the thread on which that would happen.
    pub(crate) fn end_overdue(&self, rules: &TrustRules, slack: Duration) -> Vec<Finished> {
        let is_overdue = |job: &Arc<RunningJob>| {
            let asked = job.stop_asked.get();
            asked.is_some_and(|(reason, at)| at.elapsed() > rules.grace(*reason) + slack)
        };
        let mut overdue = self.snapshot();
        overdue.retain(|job| job.is_held() && is_overdue(job));
        self.end_undone(&overdue)
    }

    /// Takes the leases of jobs whose handlers have not ended; those that may not be settled are
    /// forgotten.
    fn end_undone(&self, jobs: &[Arc<RunningJob>]) -> Vec<Finished> {
        let mut finished = Vec::new();
        for job in jobs.iter().filter(|job| job.is_held()) {
            let verdict = verdict(Ended::Dropped, job.stop_reason());
            let is_over = verdict == Verdict::Abandon;
            finished.extend(job.end(verdict));
            if is_over {
                self.remove([&job.key]);
            }
        }
        finished
    }

    /// Stops the handlers whose windows have ended; answers which and why. `stood_still` is when
    /// this process was last found to have stood still.
    pub(crate) fn stop_untrusted(
        &self,
        now: BootInstant,
        rules: &TrustRules,
        stood_still: Option<BootInstant>,
    ) -> Vec<(Arc<RunningJob>, StopReason)> {
        let mut stopped = Vec::new();
        for job in self.snapshot() {
            let trust = job.trust();
            let slept = stood_still.is_some_and(|at| trust.is_older_than(at));
            let reason = match trust.verdict(now, rules) {
                trust::Verdict::Trusted => continue,
                trust::Verdict::TrustEnded if slept => StopReason::StoodStill,
                trust::Verdict::TrustEnded => StopReason::TrustEnded,
                trust::Verdict::NoProgress => StopReason::NoProgress,
            };
            if job.is_held() && job.stop(reason) {
                stopped.push((job, reason));
            }
        }
        stopped
    }
}

/// A lock whose holder panicked still guards a value that is whole: no update here is in two steps.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use leasectl_core::lease::LeaseSettings;

    use super::*;

    #[test]
    fn a_settlement_is_overdue_once_the_trust_in_its_lease_has_ended() {
        let second = Duration::from_secs(1);
        let settings = LeaseSettings::default();
        let rules = TrustRules::new(&settings, 5 * second);
        let start = BootInstant::now();
        let mut hold = Hold {
            lease: None,
            trust: Trust::from_claim(start),
        };
        let ends = settings.trust_window();
        assert!(!hold.is_overdue_settlement(start + (ends - second), &rules));
        assert!(hold.is_overdue_settlement(start + ends, &rules));
        hold.trust.renewed(start + second, false);
        assert!(!hold.is_overdue_settlement(start + ends, &rules));
    }
}
