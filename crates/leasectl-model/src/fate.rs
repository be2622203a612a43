//! What nobody asked for: faults, verdicts, and what heals them.

use crate::action::Action;
use crate::database::{Sign, Stored};
use crate::ids::{JobId, OwnerId};
use crate::mutant::Mutant;
use crate::packet::Network;
use crate::rule::Rule;
use crate::scenario::{DeathSignal, Scenario};
use crate::state::State;
use crate::worker::{Handler, Mode, Stage};

impl State {
    /// The state after a stroke of fate.
    pub(crate) fn after_fate(&self, scenario: &Scenario, action: Action) -> Option<Self> {
        match action {
            Action::Crash(owner) => self.crash(owner),
            Action::Pause(owner) => self.pause(owner),
            Action::Resume(owner) => self.resume(owner),
            Action::LockRow(job) => self.lock_row(job),
            Action::UnlockRow(job) => self.unlock_row(job),
            Action::StopServer => self.stop_server(scenario),
            Action::StartServer => self.start_server(),
            Action::Judge(owner) => self.judge(scenario, owner),
            Action::Sight(owner) => self.sight(scenario, owner),
            Action::Cut(owner) => self.cut(scenario, owner),
            Action::Relock(owner) => self.relock(scenario, owner),
            Action::Unwatch(owner) => self.unwatch(scenario, owner),
            Action::Tick
            | Action::Enqueue(_)
            | Action::CommitEnqueue(_)
            | Action::Cancel(_)
            | Action::Retry(_)
            | Action::ActivateStaged(_)
            | Action::WakeDue(_)
            | Action::Promote
            | Action::Bury(_)
            | Action::SendClaim(_)
            | Action::SendReclaim(..)
            | Action::GiveUp(_)
            | Action::LookForUnheard(_)
            | Action::SendBeat(..)
            | Action::OpenFence(_)
            | Action::OpenLateFence(_)
            | Action::Commit(_)
            | Action::CommitUnheard(_)
            | Action::CommitDurable(_)
            | Action::Abort(_)
            | Action::SendSettle(..)
            | Action::StopHandler(_)
            | Action::Abandon(_)
            | Action::SendRelease(_)
            | Action::Execute(_)
            | Action::Deliver(_)
            | Action::Lose(_) => None,
        }
    }

    fn crash(&self, owner: OwnerId) -> Option<Self> {
        if self.worker(owner).mode == Mode::Dead {
            return None;
        }
        let mut next = *self;
        next.faults.spend(|faults| &mut faults.crashes)?;
        next.worker_mut(owner).die();
        next.database.signs[owner.index()].held = false;
        Some(next)
    }

    fn pause(&self, owner: OwnerId) -> Option<Self> {
        // An idle process has nothing to miss.
        let busy = self.worker(owner).handler.is_some()
            || self.network.iter().any(|p| p.owner() == Some(owner));
        if self.worker(owner).mode != Mode::Live || !busy {
            return None;
        }
        let mut next = *self;
        next.faults.spend(|faults| &mut faults.pauses)?;
        let worker = next.worker_mut(owner);
        worker.mode = Mode::Paused;
        worker.was_paused = true;
        Some(next)
    }

    fn resume(&self, owner: OwnerId) -> Option<Self> {
        if self.worker(owner).mode != Mode::Paused {
            return None;
        }
        let mut next = *self;
        next.worker_mut(owner).mode = Mode::Live;
        Some(next)
    }

    /// An operator's transaction, say, updates the row; or a statement of leasectl's own has not
    /// committed yet.
    fn lock_row(&self, job: JobId) -> Option<Self> {
        let free = self.database.up && self.database.locked.is_none();
        if !free || self.database.job(job).state != Stored::Running {
            return None;
        }
        let mut next = *self;
        next.faults.spend(|faults| &mut faults.locks)?;
        next.database.locked = Some(job);
        Some(next)
    }

    fn unlock_row(&self, job: JobId) -> Option<Self> {
        if self.database.locked != Some(job) {
            return None;
        }
        let mut next = *self;
        next.database.locked = None;
        Some(next)
    }

    fn stop_server(&self, scenario: &Scenario) -> Option<Self> {
        if !self.database.up {
            return None;
        }
        let mut next = *self;
        next.faults.spend(|faults| &mut faults.restarts)?;
        next.database.stop(scenario);
        for owner in OwnerId::ALL {
            if self.waits_for_a_claim(owner) {
                next.worker_mut(owner).suspect();
            }
        }
        next.network = Network::EMPTY;
        for worker in &mut next.workers {
            if let Some(handler) = worker.handler
                && handler.stage == Stage::InTransaction
            {
                worker.handler = Some(Handler {
                    stage: Stage::Doubt,
                    ..handler
                });
            }
        }
        Some(next)
    }

    fn start_server(&self) -> Option<Self> {
        if self.database.up {
            return None;
        }
        let mut next = *self;
        next.database.start();
        Some(next)
    }

    fn judge(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        if !self.database.judgeable(scenario, owner) {
            return None;
        }
        let mut next = *self;
        match scenario.signal {
            DeathSignal::Arbitrary if self.worker(owner).mode == Mode::Dead => {}
            DeathSignal::Arbitrary => {
                next.faults.spend(|faults| &mut faults.false_verdicts)?;
            }
            DeathSignal::Session => {
                let works = JobId::ALL.into_iter().any(|job| self.works_on(owner, job));
                next.history.require(Rule::NoLiveOwnerJudged, !works);
            }
        }
        if scenario.is(Mutant::VerdictIsOwnership) {
            return next.judge_and_own(owner);
        }
        next.database.judge(scenario, owner);
        Some(next)
    }

    /// What [`Mutant::VerdictIsOwnership`] does instead of a verdict.
    fn judge_and_own(mut self, from: OwnerId) -> Option<Self> {
        let to = OwnerId::ALL.into_iter().find(|&other| {
            let worker = self.worker(other);
            other != from && worker.mode == Mode::Live && worker.handler.is_none()
        })?;
        let lease = self.database.hand_over(from, to)?;
        let row = *self.database.job(lease.job);
        self.history
            .claimed((lease.job, to, lease.token), row.attempt, row.max_attempts);
        self.worker_mut(to).handler = Some(Handler {
            job: lease.job,
            token: lease.token,
            last_attempt: lease.last_attempt,
            cancel: false,
            silence: 0,
            stage: Stage::Working,
        });
        Some(self)
    }

    fn sight(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        if !self.may_sight(scenario, owner) {
            return None;
        }
        let mut next = *self;
        let sign = &mut next.database.signs[owner.index()];
        sign.absent = if sign.held || !sign.watched {
            0
        } else {
            sign.absent + 1
        };
        Some(next)
    }

    fn cut(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let worker = self.worker(owner);
        if scenario.signal != DeathSignal::Session
            || worker.mode == Mode::Dead
            || !self.database.signs[owner.index()].held
        {
            return None;
        }
        let mut next = *self;
        next.faults.spend(|faults| &mut faults.cuts)?;
        next.database.signs[owner.index()].held = false;
        Some(next)
    }

    fn relock(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let sign = self.database.signs[owner.index()];
        if scenario.signal != DeathSignal::Session
            || !self.database.up
            || sign.held
            || self.worker(owner).mode != Mode::Live
        {
            return None;
        }
        let mut next = *self;
        next.database.signs[owner.index()] = Sign {
            held: true,
            watched: true,
            ..sign
        };
        Some(next)
    }

    /// A worker without its lock, whose handlers are stopped, has its row say that heartbeats alone
    /// speak for it; then it may claim.
    fn unwatch(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let sign = self.database.signs[owner.index()];
        let worker = self.worker(owner);
        if scenario.signal != DeathSignal::Session
            || !self.database.up
            || sign.held
            || !sign.watched
            || worker.mode != Mode::Live
            || worker.handler.is_some()
        {
            return None;
        }
        let mut next = *self;
        next.database.signs[owner.index()].watched = false;
        Some(next)
    }
}
