//! The database: rows, locks and its clock. Each method that stands for a statement names it;
//! a statement takes effect as a whole, and waits for locks by not being able to take place yet.

mod lease;
mod queue;

use crate::clock::{LONG_UP, STALE_AFTER, TTL, older};
use crate::ids::{JOBS, JobId, OWNERS, OwnerId, Token, TokenSet};
use crate::mutant::Mutant;
use crate::scenario::{Route, Scenario};

pub(crate) use lease::{Beaten, Ended, Lease};

/// What is stored about a job's whereabouts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stored {
    /// No row.
    Absent,
    /// Delayed or backing off.
    Scheduled,
    /// Its lane is busy, or it is staged.
    Waiting,
    /// Can be claimed.
    Ready,
    /// Under a lease.
    Running,
    /// In the history.
    Completed,
    /// In the history.
    Error,
    /// In the history.
    Cancelled,
    /// Never a row of its own, or no more: an equal job stands for it.
    Merged,
}

/// The transaction that brings a job in, while it is open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Enqueuing {
    No,
    /// The row is inserted and nobody else sees it.
    Inserting,
    /// That equal row is locked and will stand for the newcomer.
    Merging(JobId),
}

/// A row of `leasectl.job`, or of the history.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Job {
    /// Its state.
    pub state: Stored,
    pub(crate) enqueuing: Enqueuing,
    pub(crate) staged: bool,
    /// Whether `dedup_key` is set.
    pub(crate) mergeable: bool,
    /// Attempts spent.
    pub attempt: u8,
    pub(crate) max_attempts: u8,
    pub(crate) crashes: u8,
    pub(crate) durable: bool,
    pub(crate) cancel_requested: bool,
    pub(crate) owner: Option<OwnerId>,
    pub(crate) token: Option<Token>,
    /// Ticks since the last heartbeat.
    pub(crate) silence: u8,
    /// Ticks until the expiry.
    pub(crate) patience: u8,
    /// Whether a verdict ended the lease early.
    pub(crate) judged: bool,
    /// Tokens with a recorded outcome other than lost.
    pub(crate) settled: TokenSet,
    /// The token whose result is shown.
    pub(crate) published: Option<Token>,
}

impl Job {
    const ABSENT: Self = Self {
        state: Stored::Absent,
        enqueuing: Enqueuing::No,
        staged: false,
        mergeable: false,
        attempt: 0,
        max_attempts: 0,
        crashes: 0,
        durable: false,
        cancel_requested: false,
        owner: None,
        token: None,
        silence: 0,
        patience: 0,
        judged: false,
        settled: TokenSet::EMPTY,
        published: None,
    };

    /// Whether it will never run again by itself.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(
            self.state,
            Stored::Completed | Stored::Error | Stored::Cancelled | Stored::Merged
        )
    }

    /// Whether the row is that lease's.
    fn held_by(&self, owner: OwnerId, token: Token) -> bool {
        self.state == Stored::Running && self.owner == Some(owner) && self.token == Some(token)
    }

    fn end_lease(&mut self) {
        self.owner = None;
        self.token = None;
        self.silence = 0;
        self.patience = 0;
        self.judged = false;
        self.durable = false;
    }
}

/// A handler's transaction on the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Transaction {
    pub(crate) job: JobId,
    pub(crate) token: Token,
    /// Whether it holds the job's row `FOR KEY SHARE`.
    pub(crate) locks: bool,
}

/// What a detector knows of an owner's lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Sign {
    /// Whether the owner's session lock is held.
    pub(crate) held: bool,
    /// Whether the worker's row says, of this start of the server, that its lock speaks for it.
    pub(crate) watched: bool,
    /// Sightings in a row in which it was absent, at most two.
    pub(crate) absent: u8,
}

impl Sign {
    const HELD: Self = Self {
        held: true,
        watched: true,
        absent: 0,
    };
}

/// The server's committed and uncommitted state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Database {
    pub(crate) jobs: [Job; JOBS],
    pub(crate) transactions: [Option<Transaction>; OWNERS],
    pub(crate) signs: [Sign; OWNERS],
    /// A row that somebody outside has locked with a non-key lock, which passes a fence and nothing else.
    pub(crate) locked: Option<JobId>,
    pub(crate) up: bool,
    /// Ticks since the server's start.
    pub(crate) uptime: u8,
    /// Tokens drawn; with a cached sequence, by each owner.
    pub(crate) drawn: u8,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self {
            jobs: [Job::ABSENT; JOBS],
            transactions: [None; OWNERS],
            signs: [Sign::HELD; OWNERS],
            locked: None,
            up: true,
            uptime: LONG_UP,
            drawn: 0,
        }
    }

    pub(crate) fn job(&self, job: JobId) -> &Job {
        &self.jobs[job.index()]
    }

    fn job_mut(&mut self, job: JobId) -> &mut Job {
        &mut self.jobs[job.index()]
    }

    /// Whether statements of others see the row.
    fn visible(&self, scenario: &Scenario, job: JobId) -> bool {
        let row = self.job(job);
        let dirty = scenario.is(Mutant::ActivatesUncommitted) && !row.staged;
        row.state != Stored::Absent
            && (row.enqueuing != Enqueuing::Inserting || (dirty && Self::was_staged(scenario, job)))
    }

    fn was_staged(scenario: &Scenario, job: JobId) -> bool {
        scenario
            .plan(job)
            .is_some_and(|plan| plan.route == Route::Staged)
    }

    /// Whether an enqueueing transaction holds the row.
    fn merging_into(&self, job: JobId) -> bool {
        self.jobs
            .iter()
            .any(|other| other.enqueuing == Enqueuing::Merging(job))
    }

    /// Whether a handler's transaction holds the row.
    pub(crate) fn fenced(&self, job: JobId) -> bool {
        self.transactions
            .iter()
            .flatten()
            .any(|transaction| transaction.job == job && transaction.locks)
    }

    /// Whether the row is in the unique index over lanes.
    fn holds_lane(scenario: &Scenario, row: &Job) -> bool {
        matches!(row.state, Stored::Ready | Stored::Running)
            || (scenario.stack
                && row.state == Stored::Scheduled
                && !scenario.is(Mutant::StackHeadLetsOthersPass))
    }

    /// How many rows, seen or not, hold the lane.
    pub(crate) fn holders(&self, scenario: &Scenario) -> usize {
        self.jobs
            .iter()
            .filter(|row| Self::holds_lane(scenario, row))
            .count()
    }

    /// Whether an uncommitted row holds the lane: who wants the lane waits for that transaction.
    fn lane_in_doubt(&self) -> bool {
        self.jobs
            .iter()
            .any(|row| row.enqueuing == Enqueuing::Inserting && row.state == Stored::Ready)
    }

    fn lane_held(&self, scenario: &Scenario) -> bool {
        JobId::ALL
            .into_iter()
            .any(|job| self.visible(scenario, job) && Self::holds_lane(scenario, self.job(job)))
    }

    /// Whether the owner of a running job counts as silent for too long (`leasectl.stale_at`).
    pub(crate) fn stale(&self, scenario: &Scenario, row: &Job) -> bool {
        let after_start = self.uptime >= LONG_UP || scenario.is(Mutant::StalenessIgnoresRestart);
        row.silence >= STALE_AFTER && after_start
    }

    /// Whether others may take the lease.
    pub(crate) fn over(&self, scenario: &Scenario, row: &Job) -> bool {
        row.patience == 0 || self.stale(scenario, row)
    }

    /// The check `job_running_has_a_lease`.
    pub(crate) fn running_has_a_lease(&self) -> bool {
        self.jobs.iter().all(|row| {
            let running = row.state == Stored::Running;
            running == row.owner.is_some() && running == row.token.is_some()
        })
    }

    /// One tick passes.
    pub(crate) fn tick(&mut self) {
        if self.up {
            self.uptime = older(self.uptime, LONG_UP);
        }
        for row in &mut self.jobs {
            if row.state == Stored::Running {
                row.silence = older(row.silence, STALE_AFTER);
                row.patience = row.patience.saturating_sub(1);
            }
        }
    }

    /// The server stops: what was not committed is gone, and so is every session lock.
    pub(crate) fn stop(&mut self, scenario: &Scenario) {
        self.up = false;
        self.transactions = [None; OWNERS];
        self.locked = None;
        for sign in &mut self.signs {
            *sign = Sign {
                held: false,
                watched: sign.watched && scenario.is(Mutant::DetectorIgnoresTheStart),
                absent: 0,
            };
        }
        for row in &mut self.jobs {
            match row.enqueuing {
                Enqueuing::No => {}
                Enqueuing::Inserting | Enqueuing::Merging(_) => *row = Job::ABSENT,
            }
        }
    }

    /// The server is back.
    pub(crate) fn start(&mut self) {
        self.up = true;
        self.uptime = 0;
    }

    fn lease_out(&mut self, scenario: &Scenario, job: JobId, owner: OwnerId) -> Token {
        self.drawn += 1;
        let drawn = self.drawn;
        let row = self.job_mut(job);
        let token = if scenario.is(Mutant::TokensFromACache) {
            // Each connection draws from numbers that it set aside.
            Token(8 * (2 - owner.number().min(2)) + drawn)
        } else if scenario.is(Mutant::ReclaimKeepsTheToken) && row.state == Stored::Running {
            row.token.unwrap_or(Token(drawn))
        } else {
            Token(drawn)
        };
        row.state = Stored::Running;
        row.owner = Some(owner);
        row.token = Some(token);
        row.silence = 0;
        row.patience = TTL;
        row.judged = false;
        row.durable = false;
        row.mergeable &= scenario.is(Mutant::DedupCoversClaimed);
        token
    }
}
