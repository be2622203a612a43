//! What the supervisor is told to do: concurrency, intervals, limits.

use std::time::Duration;

use leasectl_core::ids::Owner;
use leasectl_core::kind::Lane;
use leasectl_core::lease::LeaseSettings;
use leasectl_core::liveness::DeathGrace;

use super::per_lane::PerLane;

/// How many handlers run at once in each lane of one worker.
///
/// 0 switches a lane off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Concurrency(PerLane<usize>);

impl Concurrency {
    /// Every lane switched off.
    #[must_use]
    pub fn none() -> Self {
        Self(PerLane::from_fn(|_| 0))
    }

    /// The same with `handlers` in one lane.
    #[must_use]
    pub fn with(mut self, lane: Lane, handlers: usize) -> Self {
        self.0[lane] = handlers;
        self
    }

    /// How many handlers run at once in that lane.
    #[must_use]
    pub fn of(&self, lane: Lane) -> usize {
        self.0[lane]
    }
}

/// How the supervisor claims and settles.
///
/// The defaults suit jobs of seconds and of microseconds alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pipeline {
    /// The most leases that one claim takes, and the most that one statement settles.
    pub batch: usize,
    /// How many connections settle at the same time.
    pub settlers: usize,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            batch: 500,
            settlers: 2,
        }
    }
}

/// What the supervisor is told to do.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// This process incarnation.
    pub owner: Owner,
    /// Heartbeat interval, staleness and lease time.
    pub lease: LeaseSettings,
    /// How long this worker's liveness lock may be absent before it counts as dead; nothing switches the
    /// death signal off.
    pub death_grace: Option<DeathGrace>,
    /// How many handlers run at once, by lane.
    pub concurrency: Concurrency,
    /// How long the loops sleep when nothing wakes them; jittered by a fifth.
    pub poll_interval: Duration,
    /// How long a drain waits for handlers before it stops them.
    pub drain_timeout: Duration,
    /// How long a handler that was asked to stop may take before it is dropped.
    pub stop_grace: Duration,
    /// How long the handlers' threads, or the worker's own, may show no sign of life before that is
    /// reported and nothing more is claimed.
    pub blocked_after: Duration,
    /// How long finished jobs are kept.
    pub retention: Duration,
    /// How long an answer of the database is waited for before its connection is given up; longer
    /// than the server lets any statement run.
    pub answer_timeout: Duration,
    /// How the supervisor claims and settles.
    pub pipeline: Pipeline,
}

impl WorkerSettings {
    /// The contract's defaults for one owner, its lease settings and its concurrency.
    #[must_use]
    pub fn new(owner: Owner, lease: LeaseSettings, concurrency: Concurrency) -> Self {
        Self {
            owner,
            lease,
            death_grace: Some(DeathGrace::default()),
            concurrency,
            poll_interval: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
            blocked_after: Duration::from_secs(5),
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            answer_timeout: Duration::from_secs(40),
            pipeline: Pipeline::default(),
        }
    }
}
