//! The model as the checker sees it.

use stateright::{Model, Property};

use crate::action::Action;
use crate::database::Stored;
use crate::ids::{JobId, OwnerId};
use crate::packet::{Answer, Outcome, Packet};
use crate::rule::Rule;
use crate::scenario::Scenario;
use crate::state::State;
use crate::worker::Mode;

/// A scenario to explore.
#[derive(Clone, Copy, Debug)]
pub struct LeaseModel {
    /// What to explore.
    pub scenario: Scenario,
}

/// Something that a run must come across, or its rules hold for want of occasion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// A job was taken over from a lost owner.
    TakenOver,
    /// A job was buried, or gave up.
    Errored,
    /// A job completed.
    Completed,
    /// A settlement was sent again after it had taken effect.
    SettledTwice,
    /// A worker settled a lease that was not its own any more.
    SettledTooLate,
    /// A worker handed a lease back whose handler it had stopped.
    ReleasedLate,
    /// It tried to, and somebody had taken the lease over.
    ReleasedTooLate,
    /// A lease was found that its owner never heard of.
    Unheard,
    /// A heartbeat skipped a row.
    Skipped,
    /// A late heartbeat was refused.
    BeatTooLate,
    /// A job was merged into an equal one.
    Merged,
}

impl Sight {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::TakenOver,
        Self::Errored,
        Self::Completed,
        Self::SettledTwice,
        Self::SettledTooLate,
        Self::ReleasedLate,
        Self::ReleasedTooLate,
        Self::Unheard,
        Self::Skipped,
        Self::BeatTooLate,
        Self::Merged,
    ];

    /// What it is called in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TakenOver => "seen takeover",
            Self::Errored => "seen error",
            Self::Completed => "seen completed",
            Self::SettledTwice => "seen settled twice",
            Self::SettledTooLate => "seen settled late",
            Self::ReleasedLate => "seen released late",
            Self::ReleasedTooLate => "seen released too late",
            Self::Unheard => "seen unheard",
            Self::Skipped => "seen skipped",
            Self::BeatTooLate => "seen beat late",
            Self::Merged => "seen merged",
        }
    }

    fn is_in(self, state: &State) -> bool {
        let in_state = |stored| state.jobs().iter().any(|row| row.state == stored);
        let told = |wanted| {
            state
                .network()
                .iter()
                .any(|packet| matches!(packet, Packet::Settled { answer, .. } if answer == wanted))
        };
        let released = |wanted| {
            state.network().iter().any(|packet| {
                matches!(packet, Packet::Settled { owner, token, answer } if answer == wanted
                    && state.worker(owner).owed.is_some_and(|owed| owed.token == token))
            })
        };
        match self {
            Self::TakenOver => state.jobs().iter().any(|row| row.crashes > 0),
            Self::Errored => in_state(Stored::Error),
            Self::Completed => in_state(Stored::Completed),
            Self::SettledTwice => told(Answer::Already),
            Self::SettledTooLate => told(Answer::Lost),
            Self::ReleasedLate => released(Answer::Applied),
            Self::ReleasedTooLate => released(Answer::Lost),
            Self::Unheard => state.network().iter().any(|packet| {
                matches!(packet, Packet::Settle { owner, job, token, .. }
                    if state.database.job(job).token == Some(token)
                        && state.worker(owner).mode == Mode::Live
                        && state.worker(owner).heard != Some(token))
            }),
            Self::Skipped => state.network().iter().any(|packet| {
                matches!(packet, Packet::Missing { job, token, .. }
                    if state.database.locked == Some(job)
                        && state.database.job(job).token == Some(token))
            }),
            Self::BeatTooLate => state
                .network()
                .iter()
                .any(|packet| matches!(packet, Packet::BeatenNot { .. })),
            Self::Merged => in_state(Stored::Merged),
        }
    }
}

macro_rules! rule_properties {
    ($($rule:ident),* $(,)?) => {
        vec![$(Property::always(Rule::$rule.name(), |model: &LeaseModel, state: &State| {
            state.keeps(&model.scenario, Rule::$rule)
        })),*]
    };
}

macro_rules! sight_properties {
    ($($sight:ident),* $(,)?) => {
        vec![$(Property::sometimes(Sight::$sight.name(), |_: &LeaseModel, state: &State| {
            Sight::$sight.is_in(state)
        })),*]
    };
}

impl Model for LeaseModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.scenario)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for job in JobId::ALL {
            if self.scenario.plan(job).is_some() {
                actions.extend([
                    Action::Enqueue(job),
                    Action::CommitEnqueue(job),
                    Action::Cancel(job),
                    Action::Retry(job),
                    Action::ActivateStaged(job),
                    Action::WakeDue(job),
                    Action::Bury(job),
                    Action::LockRow(job),
                    Action::UnlockRow(job),
                ]);
            }
        }
        actions.push(Action::Promote);
        for owner in OwnerId::ALL.into_iter().take(self.scenario.owners.into()) {
            actions.push(Action::SendClaim(owner));
            actions.extend(JobId::ALL.map(|job| Action::SendReclaim(owner, job)));
            actions.extend([
                Action::LookForUnheard(owner),
                Action::SendBeat(owner, true),
                Action::SendBeat(owner, false),
                Action::OpenFence(owner),
                Action::OpenLateFence(owner),
                Action::Commit(owner),
                Action::CommitUnheard(owner),
                Action::CommitDurable(owner),
                Action::Abort(owner),
                Action::SendSettle(owner, Outcome::Completed),
                Action::SendSettle(owner, Outcome::Failed),
                Action::SendSettle(owner, Outcome::FailedForGood),
                Action::SendSettle(owner, Outcome::Cancelled),
                Action::SendSettle(owner, Outcome::Released),
                Action::StopHandler(owner),
                Action::Abandon(owner),
                Action::SendRelease(owner),
                Action::Judge(owner),
                Action::Sight(owner),
                Action::Relock(owner),
                Action::Unwatch(owner),
                Action::Crash(owner),
                Action::Pause(owner),
                Action::Resume(owner),
                Action::Cut(owner),
            ]);
        }
        for packet in state.network().iter() {
            actions.push(if packet.is_statement() {
                Action::Execute(packet)
            } else {
                Action::Deliver(packet)
            });
            actions.extend([Action::Lose(packet), Action::GiveUp(packet)]);
        }
        actions.extend([Action::Tick, Action::StopServer, Action::StartServer]);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        state.after(&self.scenario, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = rule_properties![
            TokensGrow,
            NoEffectAfterASuccessor,
            NoEffectAfterTheEnd,
            OneSettlement,
            OneTokensResult,
            CompletedIsThere,
            EveryJobEnds,
            RunningHasALease,
            PoisonEnds,
            AttemptsCounted,
            NoResurrection,
            NothingAcceptedIsLost,
            EffectsUnderTheLease,
            TrueAnswers,
            NotUnderItsHandler,
            OneLease,
            NoTrustedLeaseTaken,
            NoLeaseTakenAtStartUp,
            NoLiveOwnerJudged,
            StartsAfterTheCommit,
            CancelledStaysCancelled,
            SettlementsNeverCollide,
            BeatsAlwaysReach,
            LostIsLost,
            StackInOrder,
        ];
        properties.extend(sight_properties![
            TakenOver,
            Errored,
            Completed,
            SettledTwice,
            SettledTooLate,
            ReleasedLate,
            ReleasedTooLate,
            Unheard,
            Skipped,
            BeatTooLate,
            Merged,
        ]);
        properties
    }
}
