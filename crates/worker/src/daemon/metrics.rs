//! The numbers that a worker counts (contract §6); `leasectl-service` describes and serves them.

use leasectl_core::lease::ReclaimReason;
use leasectl_core::worker::Liveness;
use metrics::{Counter, Histogram, counter, gauge, histogram};

/// The counters of one kind, looked up once because a busy worker counts every job.
#[derive(Clone)]
pub(crate) struct KindMetrics {
    kind: &'static str,
    /// Leases claimed.
    pub(crate) claims: Counter,
    /// Leases lost before the handler was done.
    pub(crate) lost: Counter,
    /// Seconds that handlers took.
    pub(crate) job_seconds: Histogram,
    /// Seconds from a job being ready to its claim.
    pub(crate) queue_wait_seconds: Histogram,
    completed: Counter,
}

impl KindMetrics {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            claims: counter!("leasectl_claims_total", "kind" => kind),
            lost: counter!("leasectl_leases_lost_total", "kind" => kind),
            job_seconds: histogram!("leasectl_job_seconds", "kind" => kind),
            queue_wait_seconds: histogram!("leasectl_queue_wait_seconds", "kind" => kind),
            completed: counter!("leasectl_jobs_settled_total", "kind" => kind, "outcome" => COMPLETED),
        }
    }

    /// Counts a settlement that was applied.
    pub(crate) fn settled(&self, outcome: &'static str) {
        if outcome == COMPLETED {
            self.completed.increment(1);
        } else {
            counter!("leasectl_jobs_settled_total", "kind" => self.kind, "outcome" => outcome)
                .increment(1);
        }
    }

    /// Counts a lease taken over from somebody else.
    pub(crate) fn reclaimed(&self, reason: ReclaimReason) {
        counter!("leasectl_reclaims_total", "kind" => self.kind, "reason" => reason.as_str())
            .increment(1);
    }
}

/// The outcome that is common enough to have its own handle.
const COMPLETED: &str = "completed";

/// Seconds that a heartbeat took, from sending to answer.
pub(crate) fn heartbeat_seconds() -> Histogram {
    histogram!("leasectl_heartbeat_seconds")
}

/// Says by what this worker's life is known to others.
pub(crate) fn liveness_mode(mode: Liveness) {
    for each in [Liveness::Session, Liveness::Heartbeat] {
        let value = if each == mode { 1.0 } else { 0.0 };
        gauge!("leasectl_liveness_mode", "mode" => each.as_str()).set(value);
    }
}

/// Counts a job that this worker accepted.
pub(crate) fn enqueued(kind: &'static str) {
    counter!("leasectl_jobs_enqueued_total", "kind" => kind).increment(1);
}

/// Counts a clone that had to be made again.
pub(crate) fn recloned(reason: &'static str) {
    counter!("leasectl_repos_recloned_total", "reason" => reason).increment(1);
}
