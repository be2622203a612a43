//! How jobs come in and move up in their lane.

use super::{Database, Enqueuing, Job, Stored};
use crate::ids::JobId;
use crate::mutant::Mutant;
use crate::scenario::{Route, Scenario};

/// An equal job that a newcomer may be merged into.
enum Equal {
    None,
    Row(JobId),
    /// Another transaction decides first.
    InDoubt,
}

impl Database {
    fn find_equal(&self, scenario: &Scenario, job: JobId) -> Equal {
        for other in JobId::ALL {
            let row = self.job(other);
            if !scenario.equal(job, other) || !row.mergeable || row.ended() {
                continue;
            }
            if row.state == Stored::Running {
                continue;
            }
            if !self.visible(scenario, other) || self.merging_into(other) {
                return Equal::InDoubt;
            }
            return Equal::Row(other);
        }
        Equal::None
    }

    /// `job/enqueue.sql`, `job/enqueue_merge.sql` and `leasectl.enqueue`, up to but without the
    /// commit. `None`: it waits for another transaction, or cannot take place.
    pub(crate) fn enqueue(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let plan = scenario.plan(job)?;
        let begun = |other: JobId| {
            other >= job
                || self.job(other).state != Stored::Absent
                || self.job(other).enqueuing != Enqueuing::No
        };
        let row = self.job(job);
        if !self.up
            || row.state != Stored::Absent
            || row.enqueuing != Enqueuing::No
            || !JobId::ALL.into_iter().all(begun)
        {
            return None;
        }
        let mut next = *self;
        if plan.route != Route::Staged {
            match self.find_equal(scenario, job) {
                Equal::None => {}
                Equal::InDoubt => return None,
                Equal::Row(equal) => {
                    next.job_mut(job).enqueuing = Enqueuing::Merging(equal);
                    return Some(next);
                }
            }
        }
        let state = match plan.route {
            Route::Staged => Stored::Waiting,
            Route::Delayed if !scenario.stack => Stored::Scheduled,
            Route::Direct | Route::Delayed => {
                if self.lane_in_doubt() {
                    return None;
                }
                let queue = JobId::ALL.into_iter().any(|other| {
                    self.visible(scenario, other) && self.job(other).state == Stored::Waiting
                });
                if self.lane_held(scenario) || queue {
                    Stored::Waiting
                } else {
                    Stored::Ready
                }
            }
        };
        *next.job_mut(job) = Job {
            state,
            enqueuing: Enqueuing::Inserting,
            staged: plan.route == Route::Staged,
            mergeable: plan.route != Route::Staged,
            max_attempts: scenario.max_attempts,
            ..Job::ABSENT
        };
        Some(next)
    }

    /// The enqueueing transaction commits.
    pub(crate) fn commit_enqueue(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let mut next = *self;
        match self.job(job).enqueuing {
            Enqueuing::No => return None,
            Enqueuing::Inserting => {}
            Enqueuing::Merging(equal) => {
                let at_once = scenario
                    .plan(job)
                    .is_some_and(|p| p.route != Route::Delayed);
                let row = next.job_mut(equal);
                if at_once && row.state == Stored::Scheduled {
                    row.state = if scenario.stack {
                        Stored::Ready
                    } else {
                        Stored::Waiting
                    };
                }
                next.job_mut(job).state = Stored::Merged;
            }
        }
        next.job_mut(job).enqueuing = Enqueuing::No;
        Some(next)
    }

    /// `lease/activate_staged.sql`.
    pub(crate) fn activate_staged(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let row = self.job(job);
        let seen = row.enqueuing == Enqueuing::No || scenario.is(Mutant::ActivatesUncommitted);
        if !self.up || !row.staged || !seen || row.state != Stored::Waiting {
            return None;
        }
        let mut next = *self;
        match self.find_equal(scenario, job) {
            Equal::InDoubt => return None,
            Equal::Row(_) => {
                *next.job_mut(job) = Job {
                    state: Stored::Merged,
                    enqueuing: row.enqueuing,
                    ..Job::ABSENT
                };
            }
            Equal::None => {
                let activated = next.job_mut(job);
                activated.staged = false;
                activated.mergeable = true;
            }
        }
        Some(next)
    }

    /// `lease/wake_due.sql`: the time of a scheduled job may come at any moment.
    pub(crate) fn wake_due(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        if !self.up
            || self.job(job).state != Stored::Scheduled
            || !self.visible(scenario, job)
            || self.merging_into(job)
        {
            return None;
        }
        let mut next = *self;
        next.job_mut(job).state = if scenario.stack {
            Stored::Ready
        } else {
            Stored::Waiting
        };
        Some(next)
    }

    /// `lease/promote.sql`, that is, `leasectl.promote()`.
    pub(crate) fn promote(&self, scenario: &Scenario) -> Option<Self> {
        if !self.up || self.lane_in_doubt() {
            return None;
        }
        let mut next = *self;
        let waits = |database: &Self, job: JobId| {
            let row = database.job(job);
            row.state == Stored::Waiting && !row.staged && database.visible(scenario, job)
        };
        let head = JobId::ALL
            .into_iter()
            .filter(|&job| waits(self, job))
            .min_by_key(|&job| scenario.order(job))?;
        for job in JobId::ALL {
            let state = self.job(job).state;
            let may_step_back = state == Stored::Ready
                || (state == Stored::Running && scenario.is(Mutant::SwapDemotesTheRunning));
            if may_step_back
                && self.visible(scenario, job)
                && !self.merging_into(job)
                && scenario.outranks(head, job)
            {
                next.job_mut(job).state = Stored::Waiting;
            }
        }
        let free = !next.lane_held(scenario) || scenario.is(Mutant::PromotesOverAHolder);
        if free && !self.merging_into(head) {
            next.job_mut(head).state = Stored::Ready;
        }
        (next != *self).then_some(next)
    }

    /// `job/cancel.sql`.
    pub(crate) fn cancel(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let row = self.job(job);
        let waits = self.locked == Some(job);
        if !self.up || !self.visible(scenario, job) || row.ended() || row.cancel_requested || waits
        {
            return None;
        }
        let mut next = *self;
        let cancelled = next.job_mut(job);
        if row.state == Stored::Running && !scenario.is(Mutant::CancelEndsTheRunning) {
            cancelled.cancel_requested = true;
        } else if self.merging_into(job) {
            return None;
        } else {
            cancelled.state = Stored::Cancelled;
            cancelled.mergeable = false;
            cancelled.staged = false;
            cancelled.end_lease();
        }
        Some(next)
    }

    /// `job/retry.sql`.
    pub(crate) fn retry(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let row = self.job(job);
        if !self.up || !row.ended() || row.state == Stored::Merged {
            return None;
        }
        let mut next = *self;
        *next.job_mut(job) = Job {
            state: Stored::Waiting,
            attempt: row.attempt,
            max_attempts: row.attempt + scenario.max_attempts,
            settled: row.settled,
            ..Job::ABSENT
        };
        Some(next)
    }
}
