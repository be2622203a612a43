//! What workers do by themselves: send, open and close transactions, stop.

use crate::database::Stored;
use crate::ids::{JobId, OwnerId};
use crate::mutant::Mutant;
use crate::packet::{Outcome, Packet};
use crate::scenario::{DeathSignal, Scenario};
use crate::state::State;
use crate::worker::{Handler, Mode, Owed, Stage};

impl State {
    /// A live worker's handler.
    fn live_handler(&self, owner: OwnerId) -> Option<Handler> {
        let worker = self.worker(owner);
        worker.handler.filter(|_| worker.mode == Mode::Live)
    }

    pub(crate) fn with_packet(&self, scenario: &Scenario, packet: Packet) -> Option<Self> {
        if !self.database.up || !self.network.has_room(scenario.in_flight) {
            return None;
        }
        let mut next = *self;
        next.network.put(packet);
        Some(next)
    }

    /// Spends one loss of the budget.
    pub(crate) fn with_loss(&self) -> Option<Self> {
        let mut next = *self;
        next.faults.spend(|faults| &mut faults.losses)?;
        Some(next)
    }

    /// What remains of the budget when a worker that still waits for an answer sends again.
    fn sending(&self, owner: OwnerId, about: impl Fn(Packet) -> bool) -> Option<Self> {
        let waits = self
            .network
            .iter()
            .any(|packet| packet.owner() == Some(owner) && about(packet));
        if waits { self.with_loss() } else { Some(*self) }
    }

    /// Whether a worker may begin something, as far as its session lock goes.
    pub(crate) fn signalled(&self, scenario: &Scenario, owner: OwnerId) -> bool {
        let sign = self.database.signs[owner.index()];
        scenario.signal == DeathSignal::Arbitrary
            || sign.held
            || !sign.watched
            || scenario.is(Mutant::ClaimsWithoutTheSignal)
    }

    fn may_claim(&self, scenario: &Scenario, owner: OwnerId) -> bool {
        let worker = self.worker(owner);
        worker.mode == Mode::Live
            && worker.handler.is_none()
            && !self.waits_for_a_claim(owner)
            && self.signalled(scenario, owner)
            && self.database.drawn < scenario.tokens
    }

    pub(crate) fn send_claim(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let worthwhile = self
            .database
            .jobs
            .iter()
            .any(|row| row.state == Stored::Ready);
        if !worthwhile || !self.may_claim(scenario, owner) {
            return None;
        }
        self.with_packet(scenario, Packet::Claim { owner, age: 0 })
    }

    pub(crate) fn send_reclaim(
        &self,
        scenario: &Scenario,
        owner: OwnerId,
        seen: JobId,
    ) -> Option<Self> {
        if !self.may_claim(scenario, owner) || !self.database.reclaimable(scenario, owner, seen) {
            return None;
        }
        let packet = Packet::Reclaim {
            owner,
            seen,
            age: 0,
        };
        self.with_packet(scenario, packet)
    }

    pub(crate) fn send_beat(
        &self,
        scenario: &Scenario,
        owner: OwnerId,
        progress: bool,
    ) -> Option<Self> {
        let handler = self.live_handler(owner)?;
        // Right after an answered beat there is no reason for another.
        if handler.silence == 0 || !handler.trusted(scenario) {
            return None;
        }
        let packet = Packet::Beat {
            owner,
            job: handler.job,
            token: handler.token,
            progress,
            age: 0,
        };
        self.sending(owner, Packet::is_about_beating)?
            .with_packet(scenario, packet)
    }

    fn may_end_with(&self, scenario: &Scenario, handler: &Handler, outcome: Outcome) -> bool {
        if let Stage::Settling(before) = handler.stage {
            return outcome == before;
        }
        match outcome {
            Outcome::Completed => match handler.stage {
                Stage::Written => true,
                Stage::Doubt => scenario.is(Mutant::AssumesTheCommit),
                Stage::Working => {
                    let shown = self.database.job(handler.job).published;
                    shown.is_some() && scenario.is(Mutant::TrustsAPredecessor)
                }
                Stage::InTransaction | Stage::Settling(_) => false,
            },
            Outcome::Failed => !handler.last_attempt && self.faults.failures > 0,
            Outcome::FailedForGood => handler.last_attempt && self.faults.failures > 0,
            Outcome::Cancelled => handler.cancel,
            Outcome::Released => self.faults.releases > 0,
        }
    }

    pub(crate) fn send_settle(
        &self,
        scenario: &Scenario,
        owner: OwnerId,
        outcome: Outcome,
    ) -> Option<Self> {
        let handler = self.live_handler(owner)?;
        if !self.may_end_with(scenario, &handler, outcome) {
            return None;
        }
        let mut next = self.sending(owner, |packet| packet.is_about_settling(handler.token))?;
        let again = matches!(handler.stage, Stage::Settling(_));
        match outcome {
            Outcome::Failed | Outcome::FailedForGood if !again => next.faults.failures -= 1,
            Outcome::Released if !again => next.faults.releases -= 1,
            Outcome::Completed
            | Outcome::Cancelled
            | Outcome::Failed
            | Outcome::FailedForGood
            | Outcome::Released => {}
        }
        let worker = next.worker_mut(owner);
        worker.handler = Some(Handler {
            stage: Stage::Settling(outcome),
            ..handler
        });
        let packet = Packet::Settle {
            owner,
            job: handler.job,
            token: handler.token,
            outcome,
        };
        next.with_packet(scenario, packet)
    }

    /// The handler of a worker that has a reason to distrust its lease, and has not settled it.
    fn distrusted(&self, scenario: &Scenario, owner: OwnerId) -> Option<Handler> {
        let handler = self.live_handler(owner)?;
        let deaf = self.deadline_pending(scenario, owner);
        ((!handler.trusted(scenario) || deaf) && handler.runs()).then_some(handler)
    }

    pub(crate) fn stop_handler(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let Handler { job, token, .. } = self.distrusted(scenario, owner)?;
        let mut next = *self;
        let worker = next.worker_mut(owner);
        if !scenario.is(Mutant::ReleasesWithoutStopping) {
            worker.stop_handler();
        }
        worker.owed = Some(Owed { job, token });
        (next != *self).then_some(next)
    }

    /// A job that makes its process stand still must not be handed back for ever.
    pub(crate) fn abandon(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let handler = self.distrusted(scenario, owner)?;
        if handler.trusted(scenario) || !self.worker(owner).was_paused {
            return None;
        }
        let mut next = *self;
        next.worker_mut(owner).stop_handler();
        Some(next)
    }

    /// Whoever took the lease meanwhile keeps it: the settlement names owner and token.
    pub(crate) fn send_release(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let worker = self.worker(owner);
        let Owed { job, token } = worker.owed.filter(|_| worker.mode == Mode::Live)?;
        let packet = Packet::Settle {
            owner,
            job,
            token,
            outcome: Outcome::Released,
        };
        self.sending(owner, |packet| packet.is_about_settling(token))?
            .with_packet(scenario, packet)
    }

    pub(crate) fn open_fence(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let handler = self.live_handler(owner)?;
        let may = matches!(handler.stage, Stage::Working | Stage::Doubt);
        if !may || !self.database.up || self.database.transactions[owner.index()].is_some() {
            return None;
        }
        let mut next = *self;
        let opened = next
            .database
            .open_fence(scenario, owner, handler.job, handler.token);
        let worker = next.worker_mut(owner);
        if opened {
            worker.handler = Some(Handler {
                stage: Stage::InTransaction,
                ..handler
            });
        } else {
            worker.stop_handler();
        }
        Some(next)
    }

    /// A handler that was stopped and blocks its thread goes on; at the latest until the database has
    /// answered, here. Nobody waits for what it commits.
    pub(crate) fn open_late_fence(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        let worker = self.worker(owner);
        let Owed { job, token } = worker.owed.filter(|_| worker.mode == Mode::Live)?;
        if !self.database.up || self.database.transactions[owner.index()].is_some() {
            return None;
        }
        let mut next = *self;
        let opened = next.database.open_fence(scenario, owner, job, token);
        opened.then_some(next)
    }

    /// Whether the owner's transaction is the one that its handler is in.
    fn in_transaction(&self, owner: OwnerId) -> bool {
        let open = self.database.transactions[owner.index()];
        let handler = self.worker(owner).handler;
        matches!((open, handler), (Some(open), Some(handler))
            if handler.stage == Stage::InTransaction
                && handler.job == open.job
                && handler.token == open.token)
    }

    fn set_stage(&mut self, owner: OwnerId, stage: Stage) {
        if let Some(handler) = &mut self.worker_mut(owner).handler {
            handler.stage = stage;
        }
    }

    /// A commit that is under way takes effect, whether or not its handler still waits for it.
    pub(crate) fn commit(&self, owner: OwnerId, heard: bool) -> Option<Self> {
        let waits = self.in_transaction(owner);
        if !heard && !waits {
            return None;
        }
        let mut next = if heard { *self } else { self.with_loss()? };
        let transaction = next.database.commit(owner)?;
        next.history
            .effect(transaction.job, transaction.token, false);
        if waits {
            next.set_stage(owner, if heard { Stage::Written } else { Stage::Doubt });
        }
        Some(next)
    }

    pub(crate) fn commit_durable(&self, scenario: &Scenario, owner: OwnerId) -> Option<Self> {
        if !scenario.durable || !self.in_transaction(owner) {
            return None;
        }
        let mut next = *self;
        let transaction = next.database.commit_durable(owner)?;
        next.history
            .effect(transaction.job, transaction.token, true);
        next.set_stage(owner, Stage::Working);
        Some(next)
    }

    /// The server ends a transaction whose handler left it, or that idles for too long; for a
    /// handler that lives and waits, this is a fault.
    pub(crate) fn abort(&self, owner: OwnerId) -> Option<Self> {
        self.database.transactions[owner.index()]?;
        let waits = self.in_transaction(owner);
        let live = self.worker(owner).mode == Mode::Live;
        let mut next = if waits && live {
            self.with_loss()?
        } else {
            *self
        };
        next.database.transactions[owner.index()] = None;
        if waits {
            next.set_stage(owner, Stage::Doubt);
        }
        Some(next)
    }
}
