//! How leases begin, go on and end.

use super::{Database, Job, Stored, Transaction};
use crate::clock::TTL;
use crate::ids::{JobId, OwnerId, Token};
use crate::mutant::Mutant;
use crate::packet::{Answer, Outcome};
use crate::scenario::{DeathSignal, Scenario};

/// A lease that a claim or reclaim gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    pub(crate) job: JobId,
    pub(crate) token: Token,
    /// Whether a failure now is final.
    pub(crate) last_attempt: bool,
    /// The lease that it replaces, for a reclaim.
    pub(crate) from: Option<Job>,
}

/// What came of a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beaten {
    Kept {
        cancel: bool,
    },
    /// Somebody else has the row locked, or had when it looked.
    Skipped,
    /// There is no such lease, or not any more.
    Missed,
}

/// What came of a settlement in the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// The row changed.
    Applied,
    /// Nothing changed.
    Refused(Answer),
    /// The statement failed on a collision.
    Collided,
}

impl Database {
    /// `lease/claim.sql`.
    pub(crate) fn claim(&mut self, scenario: &Scenario, owner: OwnerId) -> Option<Lease> {
        let job = JobId::ALL
            .into_iter()
            .filter(|&job| {
                self.job(job).state == Stored::Ready
                    && self.visible(scenario, job)
                    && (!self.merging_into(job) || scenario.is(Mutant::MergesByLook))
            })
            .min_by_key(|&job| scenario.order(job))?;
        let token = self.lease_out(scenario, job, owner);
        let row = self.job_mut(job);
        row.attempt += 1;
        Some(Lease {
            job,
            token,
            last_attempt: row.attempt >= row.max_attempts,
            from: None,
        })
    }

    fn may_run_again(scenario: &Scenario, row: &Job) -> bool {
        let refunded = row.durable || scenario.is(Mutant::RefundsWithoutProgress);
        refunded || (row.crashes + 1 < scenario.crash_limit && row.attempt < row.max_attempts)
    }

    /// Whether `lease/reclaim.sql` would take the job if nobody had locked it.
    pub(crate) fn reclaimable(&self, scenario: &Scenario, owner: OwnerId, job: JobId) -> bool {
        let row = self.job(job);
        let over = self.over(scenario, row)
            || (scenario.is(Mutant::RecoversAllAtStart) && row.owner != Some(owner));
        row.state == Stored::Running
            && over
            && (!row.cancel_requested || scenario.is(Mutant::ReclaimsTheCancelled))
            && Self::may_run_again(scenario, row)
    }

    /// `lease/reclaim.sql`. `seen` is what the owner saw when it sent the statement; only a mutant
    /// believes it.
    pub(crate) fn reclaim(
        &mut self,
        scenario: &Scenario,
        owner: OwnerId,
        seen: JobId,
    ) -> Option<Lease> {
        let job = if scenario.is(Mutant::ReclaimTrustsWhatItSaw) {
            Some(seen).filter(|&job| self.job(job).state == Stored::Running)
        } else {
            JobId::ALL
                .into_iter()
                .find(|&job| self.reclaimable(scenario, owner, job))
        }?;
        let waits = self.fenced(job)
            && !scenario.is(Mutant::ReclaimIgnoresTheFence)
            && !(scenario.is(Mutant::VerdictBreaksTheFence) && self.job(job).judged);
        if waits || self.locked == Some(job) {
            return None;
        }
        let from = *self.job(job);
        let refunded = from.durable || scenario.is(Mutant::RefundsWithoutProgress);
        let token = self.lease_out(scenario, job, owner);
        let row = self.job_mut(job);
        if !refunded {
            row.attempt += 1;
        }
        row.crashes = if refunded || scenario.is(Mutant::CrashesNotCounted) {
            0
        } else {
            from.crashes + 1
        };
        Some(Lease {
            job,
            token,
            last_attempt: row.attempt >= row.max_attempts,
            from: Some(from),
        })
    }

    /// `lease/reclaim.sql` of an owner that does not wait for its answer.
    pub(crate) fn reclaim_any(&mut self, scenario: &Scenario, owner: OwnerId) -> Option<Lease> {
        let seen = JobId::ALL
            .into_iter()
            .find(|&job| self.reclaimable(scenario, owner, job))?;
        self.reclaim(scenario, owner, seen)
    }

    /// `lease/bury.sql`, for one job. The row as it was, when it ended.
    pub(crate) fn bury(&mut self, scenario: &Scenario, job: JobId) -> Option<Job> {
        let row = *self.job(job);
        if !self.up
            || row.state != Stored::Running
            || !self.over(scenario, &row)
            || (self.fenced(job) && !scenario.is(Mutant::BuryIgnoresTheFence))
            || self.locked == Some(job)
            || (!row.cancel_requested && Self::may_run_again(scenario, &row))
        {
            return None;
        }
        let buried = self.job_mut(job);
        buried.state = if row.cancel_requested {
            Stored::Cancelled
        } else {
            Stored::Error
        };
        buried.mergeable = false;
        buried.end_lease();
        Some(row)
    }

    /// `lease/heartbeat.sql`, for one lease.
    pub(crate) fn beat(
        &mut self,
        scenario: &Scenario,
        owner: OwnerId,
        job: JobId,
        token: Token,
        progress: bool,
    ) -> Beaten {
        let row = *self.job(job);
        let ours = row.state == Stored::Running
            && row.owner == Some(owner)
            && (row.token == Some(token) || scenario.is(Mutant::HeartbeatWithoutToken));
        let over = self.over(scenario, &row) && !scenario.is(Mutant::HeartbeatRevives);
        if !ours || over {
            return Beaten::Missed;
        }
        if self.locked == Some(job) {
            return Beaten::Skipped;
        }
        let kept = self.job_mut(job);
        kept.silence = 0;
        if progress || scenario.is(Mutant::HeartbeatMovesTheExpiry) {
            kept.patience = TTL;
        }
        if scenario.is(Mutant::HeartbeatRevives) && row.patience == 0 {
            kept.patience = 1;
            kept.judged = false;
        }
        Beaten::Kept {
            cancel: row.cancel_requested,
        }
    }

    /// `lease/heartbeat_missing.sql`, for one lease. It locks nothing, so nothing hides a row from it.
    pub(crate) fn still_held(
        &self,
        scenario: &Scenario,
        owner: OwnerId,
        job: JobId,
        token: Token,
    ) -> bool {
        let row = self.job(job);
        row.held_by(owner, token) && !self.over(scenario, row)
    }

    /// `lease/settle.sql`, for one lease, and `lease/settled_before.sql` for what it refused.
    pub(crate) fn settle(
        &mut self,
        scenario: &Scenario,
        owner: OwnerId,
        job: JobId,
        token: Token,
        outcome: Outcome,
    ) -> Ended {
        let row = *self.job(job);
        let running = row.state == Stored::Running;
        let released = running && outcome == Outcome::Released;
        let owned = running && row.owner == Some(owner);
        let ours = row.held_by(owner, token)
            || (running && scenario.is(Mutant::SettleByIdAlone))
            || (owned && scenario.is(Mutant::SettleByOwnerAlone))
            || (released && scenario.is(Mutant::LateReleaseByIdAlone))
            || (released && owned && scenario.is(Mutant::LateReleaseByOwnerAlone))
            || (!row.ended()
                && !running
                && row.settled.contains(token)
                && scenario.is(Mutant::SettleIgnoresTheState));
        if !ours {
            let before = row.settled.contains(token) && !scenario.is(Mutant::SettleForgets);
            return Ended::Refused(if before {
                Answer::Already
            } else {
                Answer::Lost
            });
        }
        let cancelled = row.cancel_requested && !scenario.is(Mutant::ReleaseForgetsTheCancel);
        let state = match outcome {
            Outcome::Completed => Stored::Completed,
            Outcome::Cancelled => Stored::Cancelled,
            Outcome::Failed | Outcome::FailedForGood | Outcome::Released if cancelled => {
                Stored::Cancelled
            }
            Outcome::FailedForGood => Stored::Error,
            Outcome::Failed => Stored::Scheduled,
            Outcome::Released => Stored::Ready,
        };
        let collides = state == Stored::Scheduled
            && row.mergeable
            && JobId::ALL.into_iter().any(|other| {
                scenario.equal(job, other)
                    && self.job(other).mergeable
                    && self.job(other).state != Stored::Running
                    && !self.job(other).ended()
            });
        if collides {
            return Ended::Collided;
        }
        let settled = self.job_mut(job);
        settled.state = state;
        settled.settled.insert(token);
        settled.mergeable &= !settled.ended();
        if state == Stored::Scheduled {
            settled.crashes = 0;
        }
        if state == Stored::Ready && !scenario.is(Mutant::ReleaseSpendsAnAttempt) {
            settled.attempt = settled.attempt.saturating_sub(1);
        }
        settled.end_lease();
        if state == Stored::Ready && scenario.is(Mutant::ReleaseKeepsTheToken) {
            settled.token = Some(token);
        }
        Ended::Applied
    }

    /// `lease/fence.sql`: opens a handler's transaction. False: the lease is lost.
    pub(crate) fn open_fence(
        &mut self,
        scenario: &Scenario,
        owner: OwnerId,
        job: JobId,
        token: Token,
    ) -> bool {
        let row = self.job(job);
        let ours = row.held_by(owner, token)
            || scenario.is(Mutant::UnfencedWrite)
            || (scenario.is(Mutant::FenceByOwnerAlone)
                && row.state == Stored::Running
                && row.owner == Some(owner));
        if ours {
            self.transactions[owner.index()] = Some(Transaction {
                job,
                token,
                locks: !scenario.is(Mutant::UnfencedWrite) && !scenario.is(Mutant::CheckThenAct),
            });
        }
        ours
    }

    /// A handler's transaction commits its result.
    pub(crate) fn commit(&mut self, owner: OwnerId) -> Option<Transaction> {
        let transaction = self.transactions[owner.index()].take()?;
        self.job_mut(transaction.job).published = Some(transaction.token);
        Some(transaction)
    }

    /// A handler's transaction commits progress, `lease/durable.sql` last.
    pub(crate) fn commit_durable(&mut self, owner: OwnerId) -> Option<Transaction> {
        if self.locked == self.transactions[owner.index()].map(|open| open.job) {
            return None; // It updates the row, and so waits.
        }
        let transaction = self.transactions[owner.index()].take()?;
        let row = self.job_mut(transaction.job);
        if row.held_by(owner, transaction.token) {
            row.durable = true;
            row.crashes = 0;
        }
        Some(transaction)
    }

    /// Whether a verdict about that owner could be spoken, and would change something.
    pub(crate) fn judgeable(&self, scenario: &Scenario, owner: OwnerId) -> bool {
        let sign = self.signs[owner.index()];
        let evidence = match scenario.signal {
            DeathSignal::Arbitrary => true,
            DeathSignal::Session => {
                let sightings = if scenario.is(Mutant::VerdictAfterOneSighting) {
                    1
                } else {
                    2
                };
                sign.absent >= sightings
                    && sign.watched
                    && (!sign.held || scenario.is(Mutant::VerdictOnOldEvidence))
            }
        };
        self.up
            && evidence
            && JobId::ALL
                .into_iter()
                .any(|job| self.condemned(scenario, owner, job))
    }

    fn condemned(&self, scenario: &Scenario, owner: OwnerId, job: JobId) -> bool {
        let row = self.job(job);
        row.state == Stored::Running
            && row.owner == Some(owner)
            && row.patience > 0
            && (!self.fenced(job) || scenario.is(Mutant::VerdictBreaksTheFence))
            && self.locked != Some(job)
    }

    /// The verdict that an owner is dead: its leases are over at once.
    pub(crate) fn judge(&mut self, scenario: &Scenario, owner: OwnerId) {
        for job in JobId::ALL {
            if self.condemned(scenario, owner, job) {
                let row = self.job_mut(job);
                row.patience = 0;
                row.judged = true;
            }
        }
    }

    /// A verdict that hands the lease over as it stands: what [`Mutant::VerdictIsOwnership`] does.
    pub(crate) fn hand_over(&mut self, from: OwnerId, to: OwnerId) -> Option<Lease> {
        let job = JobId::ALL.into_iter().find(|&job| {
            self.job(job).state == Stored::Running && self.job(job).owner == Some(from)
        })?;
        let row = self.job_mut(job);
        let token = row.token?;
        row.owner = Some(to);
        row.silence = 0;
        row.patience = TTL;
        Some(Lease {
            job,
            token,
            last_attempt: row.attempt >= row.max_attempts,
            from: None,
        })
    }
}
