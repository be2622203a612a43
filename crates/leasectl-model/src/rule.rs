//! The rules that no run may break: the invariants of the lease protocol and its promises.

/// One rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// I1.
    TokensGrow,
    /// I2.
    NoEffectAfterASuccessor,
    /// I3.
    NoEffectAfterTheEnd,
    /// I4.
    OneSettlement,
    /// I5.
    OneTokensResult,
    /// I6.
    CompletedIsThere,
    /// I7.
    EveryJobEnds,
    /// I8.
    RunningHasALease,
    /// I9, as far as it bounds.
    PoisonEnds,
    /// I9, as far as it counts.
    AttemptsCounted,
    /// I15.
    NoResurrection,
    /// P1.
    NothingAcceptedIsLost,
    /// P2.
    EffectsUnderTheLease,
    /// P2, as far as workers are told.
    TrueAnswers,
    /// P2, as far as one worker ends a lease once.
    NotUnderItsHandler,
    /// P3.
    OneLease,
    /// P7, towards a worker that trusts its lease.
    NoTrustedLeaseTaken,
    /// P7, towards a worker that had no time to beat.
    NoLeaseTakenAtStartUp,
    /// P7, towards a worker that is judged by its session lock.
    NoLiveOwnerJudged,
    /// What a caller wrote beside a job is there when the job starts.
    StartsAfterTheCommit,
    /// A job that was asked to stop is not started again.
    CancelledStaysCancelled,
    /// No settlement fails on a collision.
    SettlementsNeverCollide,
    /// No handler's transaction keeps a heartbeat from its lease.
    BeatsAlwaysReach,
    /// Nobody is told that a lease is lost which is held.
    LostIsLost,
    /// Nothing passes the head of a stack lane.
    StackInOrder,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::TokensGrow,
        Self::NoEffectAfterASuccessor,
        Self::NoEffectAfterTheEnd,
        Self::OneSettlement,
        Self::OneTokensResult,
        Self::CompletedIsThere,
        Self::EveryJobEnds,
        Self::RunningHasALease,
        Self::PoisonEnds,
        Self::AttemptsCounted,
        Self::NoResurrection,
        Self::NothingAcceptedIsLost,
        Self::EffectsUnderTheLease,
        Self::TrueAnswers,
        Self::NotUnderItsHandler,
        Self::OneLease,
        Self::NoTrustedLeaseTaken,
        Self::NoLeaseTakenAtStartUp,
        Self::NoLiveOwnerJudged,
        Self::StartsAfterTheCommit,
        Self::CancelledStaysCancelled,
        Self::SettlementsNeverCollide,
        Self::BeatsAlwaysReach,
        Self::LostIsLost,
        Self::StackInOrder,
    ];

    /// A short name, after the numbers of the invariants and promises in `docs/`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokensGrow => "I1",
            Self::NoEffectAfterASuccessor => "I2",
            Self::NoEffectAfterTheEnd => "I3",
            Self::OneSettlement => "I4",
            Self::OneTokensResult => "I5",
            Self::CompletedIsThere => "I6",
            Self::EveryJobEnds => "I7",
            Self::RunningHasALease => "I8",
            Self::PoisonEnds => "I9 bounds",
            Self::AttemptsCounted => "I9 counts",
            Self::NoResurrection => "I15",
            Self::NothingAcceptedIsLost => "P1",
            Self::EffectsUnderTheLease => "P2",
            Self::TrueAnswers => "P2 answers",
            Self::NotUnderItsHandler => "P2 handler",
            Self::OneLease => "P3",
            Self::NoTrustedLeaseTaken => "P7 trust",
            Self::NoLeaseTakenAtStartUp => "P7 time",
            Self::NoLiveOwnerJudged => "P7 signal",
            Self::StartsAfterTheCommit => "commit",
            Self::CancelledStaysCancelled => "cancel",
            Self::SettlementsNeverCollide => "collide",
            Self::BeatsAlwaysReach => "beats",
            Self::LostIsLost => "lost",
            Self::StackInOrder => "stack",
        }
    }

    /// The rule in words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::TokensGrow => "a token strictly grows with every claim of a lane",
            Self::NoEffectAfterASuccessor => {
                "no effect of a token commits after a claim with a later one"
            }
            Self::NoEffectAfterTheEnd => "no effect and no claim after a job is finished",
            Self::OneSettlement => "at most one settlement per token is applied, and none stale",
            Self::OneTokensResult => "a completed job shows the result of the completing token",
            Self::CompletedIsThere => "what a completed job promised is there",
            Self::EveryJobEnds => "when the faults stop, every accepted job ends",
            Self::RunningHasALease => "running if and only if owner and token are set",
            Self::PoisonEnds => "attempts and losses in a row are bounded",
            Self::AttemptsCounted => {
                "a loss spends an attempt; a release and durable progress do not"
            }
            Self::NoResurrection => "a late heartbeat revives no lease",
            Self::NothingAcceptedIsLost => "nothing accepted is lost",
            Self::EffectsUnderTheLease => "effects commit under the live lease only",
            Self::TrueAnswers => "the answer to a settlement is true",
            Self::NotUnderItsHandler => "no lease is handed back under a handler that goes on",
            Self::OneLease => "at most one job holds the lane",
            Self::NoTrustedLeaseTaken => "no lease is stale while its worker trusts it",
            Self::NoLeaseTakenAtStartUp => {
                "no lease is taken for silence from a worker that had no time to beat"
            }
            Self::NoLiveOwnerJudged => "no working owner is judged by its session lock",
            Self::StartsAfterTheCommit => "a job starts after its caller's commit",
            Self::CancelledStaysCancelled => "a job that was asked to stop is not started again",
            Self::SettlementsNeverCollide => "no settlement fails on a collision",
            Self::BeatsAlwaysReach => "no handler's transaction keeps a heartbeat from its lease",
            Self::LostIsLost => "no worker is told that a lease is lost which it holds",
            Self::StackInOrder => "nothing passes the head of a stack lane",
        }
    }

    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of broken rules.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Broken(u32);

impl Broken {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn insert(&mut self, rule: Rule) {
        self.0 |= rule.bit();
    }

    pub(crate) fn contains(self, rule: Rule) -> bool {
        self.0 & rule.bit() != 0
    }
}
