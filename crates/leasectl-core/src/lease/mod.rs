//! Leases: an owner's time-bound right to work in a lane.
//!
//! A [`Lease`] is minted only by a claim or a reclaim, cannot be cloned, and is consumed by saying
//! how it ends; the [`Settlement`] that results can be sent again until its outcome is known.
//!
//! **Invariant.** Every write after a claim names the job, the owner and the token.

mod claim;
mod fence;
mod heartbeat;
mod look;
mod promote;
mod reclaim;
mod settings;
mod settle;
mod unheard;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

pub use self::claim::{ClaimCursor, ClaimRequest, claim, claim_onward};
pub use self::fence::{Fence, FenceError, FencedTransaction};
pub use self::heartbeat::{Beat, BeatReply, Progress, heartbeat, still_held};
pub use self::look::{Outlook, look};
pub use self::promote::{Swept, promote, sweep};
pub use self::reclaim::{Buried, ReclaimReason, Reclaimed, bury, reclaim};
pub use self::settings::{LeaseSettings, LeaseSettingsError};
pub use self::settle::{Settled, settle};
pub use self::unheard::unheard;

use crate::failure::JobError;
use crate::ids::{JobId, Owner, RepoId, Token};
use crate::kind::Lane;
use crate::time::{BootInstant, Timestamp};

/// Names one lease without carrying its authority.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct LeaseKey {
    /// The job.
    pub job_id: JobId,
    /// The fencing token.
    pub token: Token,
}

impl fmt::Display for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.job_id, self.token)
    }
}

/// The work that a lease is for.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    /// The job.
    pub id: JobId,
    /// The repository that it works on.
    pub repo_id: RepoId,
    /// Its kind.
    pub kind: String,
    /// The lane that the lease protects.
    pub lane: Lane,
    /// Canonical arguments.
    pub args: Value,
    /// Which attempt this is, from 1.
    pub attempt: i16,
    /// How many attempts there are.
    pub max_attempts: i16,
    /// When the job could have been claimed first.
    pub ready_at: Timestamp,
    /// When it was claimed.
    pub claimed_at: Timestamp,
}

/// An owner's right to work on one job.
#[must_use = "a lease that is dropped blocks its lane until it is stale"]
#[derive(Debug)]
pub struct Lease {
    job: ClaimedJob,
    owner: Owner,
    token: Token,
    trusted_from: BootInstant,
}

/// How a lease ends. It can be sent again until the answer is known.
#[must_use = "a settlement changes nothing until it is sent"]
#[derive(Debug)]
pub struct Settlement {
    pub(crate) key: LeaseKey,
    pub(crate) owner: Owner,
    pub(crate) attempt: i16,
    pub(crate) max_attempts: i16,
    pub(crate) outcome: Outcome,
    /// The kind, for reports.
    pub kind: String,
    /// The repository, for reports and to wake what waits for its lane.
    pub repo_id: RepoId,
    /// The lane.
    pub lane: Lane,
}

/// What came of the work.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Done; the result is kept.
    Completed(Value),
    /// The attempt failed; whether another follows is the error's and the attempts' matter.
    Failed(JobError),
    /// Somebody asked for the job to stop, and it did.
    Cancelled,
    /// The worker gives the job back undone; no attempt is spent.
    Released,
}

impl Outcome {
    /// The outcome's name in SQL and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
        }
    }
}

impl Lease {
    /// The work.
    #[must_use]
    pub fn job(&self) -> &ClaimedJob {
        &self.job
    }

    /// The lease's name.
    #[must_use]
    pub fn key(&self) -> LeaseKey {
        LeaseKey {
            job_id: self.job.id,
            token: self.token,
        }
    }

    /// When the claim was sent: trust counts from here, not from when the answer came.
    ///
    /// The idea is from River's leader election.
    #[must_use]
    pub fn trusted_from(&self) -> BootInstant {
        self.trusted_from
    }

    /// What opens transactions that hold only while this lease does.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence::new(self.key(), self.owner.clone())
    }

    /// Ends the lease: the work is done.
    pub fn complete(self, result: Value) -> Settlement {
        self.settled(Outcome::Completed(result))
    }

    /// Ends the lease: the attempt failed.
    pub fn fail(self, error: JobError) -> Settlement {
        self.settled(Outcome::Failed(error))
    }

    /// Ends the lease: the job was asked to stop, and did.
    pub fn cancelled(self) -> Settlement {
        self.settled(Outcome::Cancelled)
    }

    /// Ends the lease: the job goes back undone, and no attempt is spent.
    pub fn release(self) -> Settlement {
        self.settled(Outcome::Released)
    }

    fn settled(self, outcome: Outcome) -> Settlement {
        Settlement {
            key: self.key(),
            owner: self.owner,
            attempt: self.job.attempt,
            max_attempts: self.job.max_attempts,
            outcome,
            kind: self.job.kind,
            repo_id: self.job.repo_id,
            lane: self.job.lane,
        }
    }
}

impl Settlement {
    /// The lease that it ends.
    #[must_use]
    pub fn key(&self) -> LeaseKey {
        self.key
    }

    /// What came of the work.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}
