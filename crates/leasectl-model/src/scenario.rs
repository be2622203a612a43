//! What a run explores: jobs, owners, faults and the protocol's variant.

use crate::ids::{JOBS, JobId};
use crate::mutant::Mutant;

/// How a job comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// Through `job/enqueue.sql`, to be run at once.
    Direct,
    /// Through `job/enqueue.sql`, to be run later.
    Delayed,
    /// Through `leasectl.enqueue`, in a caller's transaction of unknown length.
    Staged,
}

/// One job of a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Its way in.
    pub route: Route,
    /// Jobs of one key are equal: they have the same kind and arguments.
    pub key: u8,
    /// Claim order: the lower rank goes first.
    pub rank: u8,
}

impl Plan {
    /// A job of its own, of the usual rank, that comes in directly.
    #[must_use]
    pub const fn direct(key: u8) -> Self {
        Self {
            route: Route::Direct,
            key,
            rank: 1,
        }
    }

    /// The same job on another way in.
    #[must_use]
    pub const fn by(self, route: Route) -> Self {
        Self { route, ..self }
    }

    /// The same job, more urgent.
    #[must_use]
    pub const fn urgent(self) -> Self {
        Self { rank: 0, ..self }
    }
}

/// Where verdicts about dead owners come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeathSignal {
    /// Out of thin air: any owner may be judged at any moment, the living as often as
    /// [`Faults::false_verdicts`] says. This is the worst detector there can be.
    Arbitrary,
    /// From session locks, sightings and a grace, as the product does it.
    Session,
}

/// How much may go wrong in one run; each number is a budget.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Faults {
    /// Faults of whatever sort in all; what users do and failing attempts do not count.
    pub total: u8,
    /// Processes killed.
    pub crashes: u8,
    /// Processes stopped; they may continue at any later moment.
    pub pauses: u8,
    /// Times the database server stops and starts again.
    pub restarts: u8,
    /// Living owners that are judged dead.
    pub false_verdicts: u8,
    /// Statements or answers lost or given up, transactions torn, statements sent twice.
    pub losses: u8,
    /// Liveness sessions cut.
    pub cuts: u8,
    /// Rows of running jobs that somebody outside locks, for as long as they like.
    pub locks: u8,
    /// Jobs that a user asks to cancel.
    pub cancels: u8,
    /// Finished jobs that a user runs again.
    pub retries: u8,
    /// Jobs that a worker hands back although nothing is wrong.
    pub releases: u8,
    /// Attempts that fail.
    pub failures: u8,
}

impl Faults {
    /// Spends one of a sort; `None` when that, or everything, is spent.
    pub(crate) fn spend(&mut self, of: fn(&mut Self) -> &mut u8) -> Option<()> {
        self.total = self.total.checked_sub(1)?;
        let left = of(self);
        *left = left.checked_sub(1)?;
        if self.total == 0 {
            // What cannot happen any more makes no states different.
            self.crashes = 0;
            self.pauses = 0;
            self.restarts = 0;
            self.false_verdicts = 0;
            self.losses = 0;
            self.cuts = 0;
            self.locks = 0;
        }
        Some(())
    }
}

/// One bounded world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// What it is called in reports.
    pub name: &'static str,
    /// Its jobs, all of one lane.
    pub jobs: [Option<Plan>; JOBS],
    /// How many owners there are, at most [`crate::OWNERS`].
    pub owners: u8,
    /// Tokens that may be drawn; the run ends there.
    pub tokens: u8,
    /// Statements and answers that may be under way at once.
    pub in_flight: usize,
    /// Attempts that a job has.
    pub max_attempts: u8,
    /// Losses in a row after which a job is buried.
    pub crash_limit: u8,
    /// Whether handlers also commit durable progress before their result.
    pub durable: bool,
    /// Whether the lane is strict first-in-first-out.
    pub stack: bool,
    /// Where verdicts come from.
    pub signal: DeathSignal,
    /// What may go wrong.
    pub faults: Faults,
    /// The change to the protocol that the run should catch.
    pub mutant: Option<Mutant>,
}

impl Scenario {
    /// One job, two owners, no faults.
    pub const QUIET: Self = Self {
        name: "quiet",
        jobs: [Some(Plan::direct(0)), None, None],
        owners: 2,
        tokens: 3,
        in_flight: 2,
        max_attempts: 2,
        crash_limit: 3,
        durable: false,
        stack: false,
        signal: DeathSignal::Arbitrary,
        faults: Faults {
            total: 2,
            crashes: 0,
            pauses: 0,
            restarts: 0,
            false_verdicts: 0,
            losses: 0,
            cuts: 0,
            locks: 0,
            cancels: 0,
            retries: 0,
            releases: 0,
            failures: 0,
        },
        mutant: None,
    };

    /// The same world under a changed protocol.
    #[must_use]
    pub const fn with(self, mutant: Mutant) -> Self {
        Self {
            mutant: Some(mutant),
            ..self
        }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(crate) fn plan(&self, job: JobId) -> Option<Plan> {
        self.jobs[job.index()]
    }

    /// The claim order of two jobs.
    pub(crate) fn order(&self, job: JobId) -> (u8, JobId) {
        let rank = self.plan(job).map_or(u8::MAX, |plan| plan.rank);
        (if self.stack { 0 } else { rank }, job)
    }

    /// Whether the first job goes before the second whatever the order of acceptance.
    pub(crate) fn outranks(&self, first: JobId, second: JobId) -> bool {
        self.order(first).0 < self.order(second).0
    }

    /// Whether two jobs are equal.
    pub(crate) fn equal(&self, one: JobId, other: JobId) -> bool {
        one != other && self.plan(one).map(|plan| plan.key) == self.plan(other).map(|plan| plan.key)
    }
}
