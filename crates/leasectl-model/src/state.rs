//! One state of the world.

use crate::clock::{DETECTOR_UPTIME, LONG_UP};
use crate::database::{Database, Enqueuing, Job, Stored};
use crate::history::History;
use crate::ids::{JobId, OWNERS, OwnerId};
use crate::mutant::Mutant;
use crate::packet::Network;
use crate::rule::Rule;
use crate::scenario::{DeathSignal, Faults, Scenario};
use crate::worker::{Handler, Mode, Worker};

/// Everything there is: the server, the processes, what is between them, and the judge's books.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub(crate) database: Database,
    pub(crate) workers: [Worker; OWNERS],
    pub(crate) network: Network,
    /// What may still go wrong.
    pub(crate) faults: Faults,
    pub(crate) history: History,
}

impl State {
    /// The beginning: nothing is enqueued, nobody holds anything.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let mut workers = [Worker::NONE; OWNERS];
        for worker in workers.iter_mut().take(usize::from(scenario.owners)) {
            *worker = Worker::IDLE;
        }
        Self {
            database: Database::new(),
            workers,
            network: Network::EMPTY,
            faults: scenario.faults,
            history: History::START,
        }
    }

    /// The jobs, whatever became of them.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.database.jobs
    }

    /// What is under way.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn worker(&self, owner: OwnerId) -> &Worker {
        &self.workers[owner.index()]
    }

    pub(crate) fn worker_mut(&mut self, owner: OwnerId) -> &mut Worker {
        &mut self.workers[owner.index()]
    }

    /// Whether the rule was kept until now, by what the judge heard and by what the rows say.
    #[must_use]
    pub fn keeps(&self, scenario: &Scenario, rule: Rule) -> bool {
        if self.history.broken.contains(rule) {
            return false;
        }
        match rule {
            Rule::RunningHasALease => self.database.running_has_a_lease(),
            Rule::OneLease => self.database.holders(scenario) <= 1,
            Rule::NothingAcceptedIsLost => JobId::ALL.into_iter().all(|job| {
                let row = self.database.job(job);
                self.history.acknowledged & job.bit() == 0
                    || row.state != Stored::Absent
                    || row.enqueuing != Enqueuing::No
            }),
            Rule::NoTrustedLeaseTaken => OwnerId::ALL
                .into_iter()
                .all(|owner| !self.trusts_a_stale_lease(scenario, owner)),
            Rule::EveryJobEnds => !self.network.is_empty() || self.ends_when_calm(scenario),
            Rule::TokensGrow
            | Rule::NoEffectAfterASuccessor
            | Rule::NoEffectAfterTheEnd
            | Rule::OneSettlement
            | Rule::OneTokensResult
            | Rule::CompletedIsThere
            | Rule::PoisonEnds
            | Rule::AttemptsCounted
            | Rule::NoResurrection
            | Rule::EffectsUnderTheLease
            | Rule::TrueAnswers
            | Rule::NotUnderItsHandler
            | Rule::NoLeaseTakenAtStartUp
            | Rule::NoLiveOwnerJudged
            | Rule::StartsAfterTheCommit
            | Rule::CancelledStaysCancelled
            | Rule::SettlementsNeverCollide
            | Rule::BeatsAlwaysReach
            | Rule::LostIsLost
            | Rule::StackInOrder => true,
        }
    }

    fn trusts_a_stale_lease(&self, scenario: &Scenario, owner: OwnerId) -> bool {
        let worker = self.worker(owner);
        worker.mode == Mode::Live
            && worker.handler.is_some_and(|handler| {
                let row = self.database.job(handler.job);
                handler.trusted(scenario)
                    && row.token == Some(handler.token)
                    && self.database.stale(scenario, row)
            })
    }

    /// Whether a running process holds that lease and has no reason to stop.
    pub(crate) fn works_on(&self, owner: OwnerId, job: JobId) -> bool {
        let worker = self.worker(owner);
        let row = self.database.job(job);
        worker.mode == Mode::Live
            && !worker.was_paused
            && worker
                .handler
                .filter(Handler::runs)
                .is_some_and(|handler| handler.job == job && row.token == Some(handler.token))
    }

    /// Whether some worker lacks its session lock and is about to do something about it, which
    /// takes much less than a tick.
    pub(crate) fn deadline_pending(&self, scenario: &Scenario, owner: OwnerId) -> bool {
        let worker = self.worker(owner);
        scenario.signal == DeathSignal::Session
            && self.database.up
            && !self.database.signs[owner.index()].held
            && self.database.signs[owner.index()].watched
            && worker.mode == Mode::Live
            && !worker.was_paused
            && worker.handler.is_some_and(|handler| handler.runs())
    }

    /// Whether a detector may look for that owner's lock now, and would learn something.
    pub(crate) fn may_sight(&self, scenario: &Scenario, owner: OwnerId) -> bool {
        let sign = self.database.signs[owner.index()];
        let early = self.database.uptime < DETECTOR_UPTIME;
        if scenario.signal != DeathSignal::Session
            || !self.database.up
            || (early && !scenario.is(Mutant::DetectorIgnoresTheStart))
        {
            return false;
        }
        if sign.held || !sign.watched {
            return sign.absent > 0;
        }
        // The worker's deadline ends before the grace does; after a restart it has none.
        sign.absent == 0 || (sign.absent == 1 && (early || !self.deadline_pending(scenario, owner)))
    }

    /// Whether anything may still change as time passes.
    pub(crate) fn time_matters(&self) -> bool {
        self.database.uptime < LONG_UP
            || !self.network.is_empty()
            || self.workers.iter().any(|worker| worker.handler.is_some())
            || self
                .database
                .jobs
                .iter()
                .any(|row| row.state == Stored::Running)
    }
}
