//! What each action does to a state, and what the judge is told of it.

use crate::action::Action;
use crate::clock::INTERVAL;
use crate::database::{Beaten, Database, Ended, Enqueuing, Job, Lease, Stored};
use crate::history::Change;
use crate::ids::{JobId, OwnerId, Token};
use crate::mutant::Mutant;
use crate::packet::{Answer, Outcome, Packet};
use crate::rule::Rule;
use crate::scenario::Scenario;
use crate::state::State;
use crate::worker::Stage;

impl State {
    /// The state after an action; `None` when it cannot take place now.
    #[must_use]
    pub fn after(&self, scenario: &Scenario, action: Action) -> Option<Self> {
        let mut next = self.stepped(scenario, action)?;
        let workers = next.workers;
        next.network.retain(|packet| {
            packet
                .owner()
                .is_none_or(|owner| packet.is_awaited(&workers[owner.index()]))
        });
        next.forget_what_does_not_matter();
        Some(next)
    }

    fn stepped(&self, scenario: &Scenario, action: Action) -> Option<Self> {
        match action {
            Action::Tick => self.tick(scenario),
            Action::Enqueue(job) => self.enqueue(scenario, job),
            Action::CommitEnqueue(job) => self.commit_enqueue(scenario, job),
            Action::Cancel(job) => self.cancel(scenario, job),
            Action::Retry(job) => self.retry(scenario, job),
            Action::ActivateStaged(job) => {
                self.with_database(self.database.activate_staged(scenario, job)?)
            }
            Action::WakeDue(job) => self.with_database(self.database.wake_due(scenario, job)?),
            Action::Promote if scenario.is(Mutant::PromotesOnlyWhenSettling) => None,
            Action::Promote => self.with_database(self.database.promote(scenario)?),
            Action::Bury(job) => self.bury(scenario, job),
            Action::SendClaim(owner) => self.send_claim(scenario, owner),
            Action::SendReclaim(owner, job) => self.send_reclaim(scenario, owner, job),
            Action::GiveUp(packet) => self.give_up(packet),
            Action::LookForUnheard(owner) => self.look_for_unheard(scenario, owner),
            Action::SendBeat(owner, progress) => self.send_beat(scenario, owner, progress),
            Action::OpenFence(owner) => self.open_fence(scenario, owner),
            Action::OpenLateFence(owner) => self.open_late_fence(scenario, owner),
            Action::Commit(owner) => self.commit(owner, true),
            Action::CommitUnheard(owner) => self.commit(owner, false),
            Action::CommitDurable(owner) => self.commit_durable(scenario, owner),
            Action::Abort(owner) => self.abort(owner),
            Action::SendSettle(owner, outcome) => self.send_settle(scenario, owner, outcome),
            Action::StopHandler(owner) => self.stop_handler(scenario, owner),
            Action::Abandon(owner) => self.abandon(scenario, owner),
            Action::SendRelease(owner) => self.send_release(scenario, owner),
            Action::Execute(packet) => self.execute(scenario, packet),
            Action::Deliver(packet) => self.deliver(scenario, packet),
            Action::Lose(packet) => self.lose(packet),
            Action::Crash(_)
            | Action::Pause(_)
            | Action::Resume(_)
            | Action::LockRow(_)
            | Action::UnlockRow(_)
            | Action::StopServer
            | Action::StartServer
            | Action::Judge(_)
            | Action::Sight(_)
            | Action::Cut(_)
            | Action::Relock(_)
            | Action::Unwatch(_) => self.after_fate(scenario, action),
        }
    }

    fn with_database(&self, database: Database) -> Option<Self> {
        Some(Self { database, ..*self })
    }

    fn tick(&self, scenario: &Scenario) -> Option<Self> {
        let pending = OwnerId::ALL
            .into_iter()
            .any(|owner| self.deadline_pending(scenario, owner));
        if pending || !self.time_matters() {
            return None;
        }
        let mut next = *self;
        next.database.tick();
        next.network.tick();
        for worker in &mut next.workers {
            worker.tick();
        }
        Some(next)
    }

    fn enqueue(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let mut next = self.with_database(self.database.enqueue(scenario, job)?)?;
        if scenario.is(Mutant::AcknowledgesTooEarly) {
            next.history.acknowledged |= job.bit();
        }
        Some(next)
    }

    fn commit_enqueue(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        if !self.database.up {
            return None;
        }
        let mut next = self.with_database(self.database.commit_enqueue(scenario, job)?)?;
        next.history.acknowledged |= job.bit();
        Some(next)
    }

    fn cancel(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let mut next = self.with_database(self.database.cancel(scenario, job)?)?;
        next.faults.cancels = next.faults.cancels.checked_sub(1)?;
        if next.database.job(job).ended() {
            next.history.cancelled(job);
            next.promote_if_that_is_all(scenario);
        }
        Some(next)
    }

    fn retry(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let mut next = self.with_database(self.database.retry(scenario, job)?)?;
        next.faults.retries = next.faults.retries.checked_sub(1)?;
        next.history.retried(job);
        Some(next)
    }

    fn bury(&self, scenario: &Scenario, job: JobId) -> Option<Self> {
        let mut next = *self;
        let row = next.database.bury(scenario, job)?;
        next.judge_loss(&row);
        next.history.lost(job, false, scenario.crash_limit);
        next.promote_if_that_is_all(scenario);
        Some(next)
    }

    /// A protocol without the sweep still promotes what it sees when it frees a lane.
    fn promote_if_that_is_all(&mut self, scenario: &Scenario) {
        if scenario.is(Mutant::PromotesOnlyWhenSettling)
            && let Some(promoted) = self.database.promote(scenario)
        {
            self.database = promoted;
        }
    }

    /// A lease was taken: was it for silence that the server could have heard?
    fn judge_loss(&mut self, row: &Job) {
        let for_silence = row.patience > 0;
        let heard = row.silence.min(self.database.uptime);
        self.history.require(
            Rule::NoLeaseTakenAtStartUp,
            !for_silence || heard > INTERVAL,
        );
    }

    fn execute(&self, scenario: &Scenario, packet: Packet) -> Option<Self> {
        if !self.database.up {
            return None;
        }
        let mut next = *self;
        next.network.take(packet);
        match packet {
            Packet::Claim { owner, age } => {
                let lease = Some(&mut next.database)
                    .filter(|database| database.drawn < scenario.tokens)
                    .and_then(|database| database.claim(scenario, owner));
                next.answer_claim(scenario, owner, age, lease);
            }
            Packet::Reclaim { owner, seen, age } => {
                let lease = Some(&mut next.database)
                    .filter(|database| database.drawn < scenario.tokens)
                    .and_then(|database| database.reclaim(scenario, owner, seen));
                next.answer_claim(scenario, owner, age, lease);
            }
            Packet::Orphan { owner, reclaims } => {
                let lease = Some(&mut next.database)
                    .filter(|database| database.drawn < scenario.tokens)
                    .and_then(|database| match reclaims {
                        false => database.claim(scenario, owner),
                        true => database.reclaim_any(scenario, owner),
                    });
                if let Some(lease) = lease {
                    next.judge_claim(scenario, owner, &lease);
                }
            }
            Packet::Beat {
                owner,
                job,
                token,
                progress,
                age,
            } => return self.execute_beat(scenario, (owner, job, token), progress, age),
            Packet::Missing { owner, job, token } => {
                if !self.database.still_held(scenario, owner, job, token) {
                    next.tell_lost(scenario, (owner, job, token));
                }
            }
            Packet::Settle {
                owner,
                job,
                token,
                outcome,
            } => return self.execute_settle(scenario, (owner, job, token), outcome),
            Packet::None
            | Packet::Claimed { .. }
            | Packet::Beaten { .. }
            | Packet::BeatenNot { .. }
            | Packet::Settled { .. } => return None,
        }
        Some(next)
    }

    fn execute_beat(
        &self,
        scenario: &Scenario,
        (owner, job, token): (OwnerId, JobId, Token),
        progress: bool,
        age: u8,
    ) -> Option<Self> {
        let mut next = *self;
        if scenario.is(Mutant::FenceForShare) && self.database.fenced(job) {
            next.history.require(Rule::BeatsAlwaysReach, false);
            return Some(next);
        }
        next.network.take(Packet::Beat {
            owner,
            job,
            token,
            progress,
            age,
        });
        let over = self.database.over(scenario, self.database.job(job));
        let answer = |cancel| Packet::Beaten {
            owner,
            token,
            cancel,
            age,
        };
        match next.database.beat(scenario, owner, job, token, progress) {
            Beaten::Kept { cancel } => {
                next.history.beaten(job, token, over);
                next.network.put(answer(cancel));
            }
            Beaten::Skipped if scenario.is(Mutant::SkippedCountsAsKept) => {
                next.network.put(answer(false));
            }
            Beaten::Skipped if scenario.is(Mutant::SkippedCountsAsLost) => {
                next.tell_lost(scenario, (owner, job, token));
            }
            Beaten::Skipped => next.network.put(Packet::Missing { owner, job, token }),
            // What is lost stays lost: the second look, however late, finds no more.
            Beaten::Missed => next.tell_lost(scenario, (owner, job, token)),
        }
        Some(next)
    }

    fn tell_lost(&mut self, scenario: &Scenario, (owner, job, token): (OwnerId, JobId, Token)) {
        let over = self.database.over(scenario, self.database.job(job));
        self.history.told_lost(job, token, over);
        self.network.put(Packet::BeatenNot { owner, token });
    }

    fn answer_claim(&mut self, scenario: &Scenario, owner: OwnerId, age: u8, lease: Option<Lease>) {
        let Some(lease) = lease else { return };
        self.judge_claim(scenario, owner, &lease);
        self.network.put(Packet::Claimed {
            owner,
            job: lease.job,
            token: lease.token,
            last_attempt: lease.last_attempt,
            age,
        });
    }

    fn judge_claim(&mut self, scenario: &Scenario, owner: OwnerId, lease: &Lease) {
        let job = lease.job;
        if let Some(row) = &lease.from {
            self.judge_loss(row);
            self.history.lost(job, true, scenario.crash_limit);
        }
        let row = *self.database.job(job);
        self.history
            .claimed((job, owner, lease.token), row.attempt, row.max_attempts);
        let mut transactions = self.database.jobs.iter();
        let uncommitted = row.enqueuing != Enqueuing::No
            || transactions.any(|r| r.enqueuing == Enqueuing::Merging(job));
        self.history
            .require(Rule::StartsAfterTheCommit, !uncommitted);
        self.history
            .require(Rule::CancelledStaysCancelled, !row.cancel_requested);
        let passed = scenario.stack
            && JobId::ALL.into_iter().any(|earlier| {
                let head = self.database.job(earlier);
                earlier < job && head.state == Stored::Scheduled && head.attempt > 0
            });
        self.history.require(Rule::StackInOrder, !passed);
    }

    fn execute_settle(
        &self,
        scenario: &Scenario,
        (owner, job, token): (OwnerId, JobId, Token),
        outcome: Outcome,
    ) -> Option<Self> {
        let waits = self.database.fenced(job) && !scenario.is(Mutant::SettleIgnoresTheFence);
        if waits || self.database.locked == Some(job) {
            return None; // FOR UPDATE waits for the fence, and for whoever else has the row.
        }
        let mut next = *self;
        next.network.take(Packet::Settle {
            owner,
            job,
            token,
            outcome,
        });
        let answer = match next.database.settle(scenario, owner, job, token, outcome) {
            Ended::Applied => {
                let goes_on = self.workers.iter().any(|worker| {
                    let handler = worker.handler.filter(|handler| handler.token == token);
                    handler.is_some_and(|handler| handler.stage != Stage::Settling(outcome))
                });
                next.history.require(Rule::NotUnderItsHandler, !goes_on);
                next.judge_settlement(job, token);
                next.promote_if_that_is_all(scenario);
                Answer::Applied
            }
            Ended::Refused(answer) => {
                next.history.refused(token, answer == Answer::Already);
                answer
            }
            Ended::Collided => {
                next.history.require(Rule::SettlementsNeverCollide, false);
                return Some(next);
            }
        };
        next.network.put(Packet::Settled {
            owner,
            token,
            answer,
        });
        Some(next)
    }

    fn judge_settlement(&mut self, job: JobId, token: Token) {
        let row = *self.database.job(job);
        let change = match row.state {
            Stored::Scheduled => Change::Again,
            Stored::Ready => Change::HandedBack,
            Stored::Absent
            | Stored::Waiting
            | Stored::Running
            | Stored::Completed
            | Stored::Error
            | Stored::Cancelled
            | Stored::Merged => Change::Ended,
        };
        self.history.settled(job, token, change);
        if row.state == Stored::Completed {
            let shown = row.published;
            self.history
                .require(Rule::CompletedIsThere, shown.is_some());
            self.history.require(
                Rule::OneTokensResult,
                shown.is_none_or(|shown| shown == token),
            );
        }
    }
}
