//! Mutants: the protocol with one mistake in it, each with the rule that must catch it.

use crate::rule::Rule;
use crate::scenario::{DeathSignal, Faults, Plan, Route, Scenario};

macro_rules! mutants {
    ($($name:ident: $doc:literal, breaks $rule:ident in $scenario:expr;)*) => {
        /// A mistake.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Mutant {
            $(#[doc = $doc] $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The mistake in words.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }

            /// The rule that must catch it.
            #[must_use]
            pub const fn breaks(self) -> Rule {
                match self { $(Self::$name => Rule::$rule,)* }
            }

            /// The smallest world in which it shows, without the mistake.
            #[must_use]
            pub const fn world(self) -> Scenario {
                match self { $(Self::$name => $scenario,)* }
            }
        }
    };
}

mutants! {
    UnfencedWrite: "A handler writes without looking at its lease.", breaks NoEffectAfterASuccessor in
        ONE;
    CheckThenAct: "The fence checks the lease and does not keep its row locked.", breaks NoEffectAfterASuccessor in
        ONE;
    FenceByOwnerAlone: "The fence compares the owner and not the token.", breaks NoEffectAfterASuccessor in
        one(Faults { false_verdicts: 1, losses: 1, ..NONE });
    FenceForShare: "The fence takes `FOR SHARE`, with which heartbeats conflict.", breaks BeatsAlwaysReach in
        ONE;
    TokensFromACache: "Each connection sets tokens aside.", breaks TokensGrow in
        one(Faults { releases: 1, ..NONE });
    ReclaimKeepsTheToken: "A reclaim leaves the token as it was.", breaks TokensGrow in
        ONE;
    ReclaimTrustsWhatItSaw: "A reclaim does not check again under the lock.", breaks NoLeaseTakenAtStartUp in
        ONE;
    ReclaimIgnoresTheFence: "A reclaim does not wait for a fence.", breaks NoEffectAfterASuccessor in
        ONE;
    ReclaimsTheCancelled: "A reclaim runs a job again that was asked to stop.", breaks CancelledStaysCancelled in
        one(Faults { cancels: 1, ..NONE });
    BuryIgnoresTheFence: "Burying does not wait for a fence.", breaks NoEffectAfterTheEnd in
        LAST_ATTEMPT;
    RecoversAllAtStart: "A worker that starts takes whatever is running.", breaks NoLeaseTakenAtStartUp in
        ONE;
    StalenessIgnoresRestart: "Silence counts through an outage of the server.", breaks NoLeaseTakenAtStartUp in
        one(Faults { restarts: 1, ..NONE });
    TrustsForTooLong: "A worker trusts its lease for longer than others wait.", breaks NoTrustedLeaseTaken in
        ONE;
    HeartbeatRevives: "A heartbeat keeps a lease that is over.", breaks NoResurrection in
        ONE;
    HeartbeatWithoutToken: "A heartbeat compares the owner and not the token.", breaks NoResurrection in
        ONE;
    HeartbeatMovesTheExpiry: "A heartbeat moves the expiry without progress.", breaks EveryJobEnds in
        ONE;
    SettleByIdAlone: "A settlement compares neither owner nor token.", breaks OneSettlement in
        one(Faults { failures: 1, ..NONE });
    SettleByOwnerAlone: "A settlement compares the owner and not the token.", breaks OneSettlement in
        one(Faults { failures: 1, ..NONE });
    SettleIgnoresTheState: "A settlement that was applied is applied again.", breaks OneSettlement in
        one(Faults { failures: 1, losses: 1, ..NONE });
    SettleForgets: "A settlement sent again is told that the lease is lost.", breaks TrueAnswers in
        one(Faults { failures: 1, losses: 1, ..NONE });
    SettleIgnoresTheFence: "A settlement does not wait for a transaction of its own worker.", breaks EffectsUnderTheLease in
        one(Faults { releases: 1, ..NONE });
    LateReleaseByIdAlone: "A release after lost trust compares neither owner nor token.", breaks OneSettlement in
        ONE;
    LateReleaseByOwnerAlone: "A release after lost trust compares the owner and not the token.", breaks OneSettlement in
        ONE;
    ReleasesWithoutStopping: "A worker that lost trust hands the lease back and lets its handler go on.", breaks NotUnderItsHandler in
        ONE;
    UnheardTakesTheHeard: "The look for unheard leases does not leave out those heard of since.", breaks NotUnderItsHandler in
        one(Faults { losses: 1, ..NONE });
    LooksDuringAClaim: "The look for unheard leases does not wait for a claim under way.", breaks NotUnderItsHandler in
        one(Faults { losses: 1, ..NONE });
    SkippedCountsAsKept: "A beat that skipped a locked row counts as answered.", breaks NoTrustedLeaseTaken in
        one(Faults { locks: 1, ..NONE });
    SkippedCountsAsLost: "A beat that skipped a locked row counts as refused.", breaks LostIsLost in
        one(Faults { locks: 1, ..NONE });
    ReleaseSpendsAnAttempt: "A release counts as an attempt.", breaks AttemptsCounted in
        one(Faults { releases: 1, ..NONE });
    ReleaseKeepsTheToken: "A release does not clear the token.", breaks RunningHasALease in
        one(Faults { releases: 1, ..NONE });
    ReleaseForgetsTheCancel: "A released job goes on although it was asked to stop.", breaks CancelledStaysCancelled in
        one(Faults { cancels: 1, releases: 1, ..NONE });
    CancelEndsTheRunning: "A cancellation ends a running job without waiting for a fence.", breaks NoEffectAfterTheEnd in
        one(Faults { cancels: 1, ..NONE });
    CrashesNotCounted: "A lost worker is not counted.", breaks PoisonEnds in
        POISON;
    RefundsWithoutProgress: "A lost worker's attempt is refunded though nothing was made durable.", breaks AttemptsCounted in
        POISON;
    DedupCoversClaimed: "Deduplication covers jobs that were claimed.", breaks SettlementsNeverCollide in
        equals(Faults { failures: 1, ..NONE });
    MergesByLook: "A newcomer is merged into an equal job without locking it.", breaks StartsAfterTheCommit in
        equals(NONE);
    ActivatesUncommitted: "The sweep activates what its caller has not committed.", breaks StartsAfterTheCommit in
        STAGED;
    AcknowledgesTooEarly: "A job is acknowledged before its transaction commits.", breaks NothingAcceptedIsLost in
        one(Faults { restarts: 1, ..NONE });
    PromotesOnlyWhenSettling: "Nothing promotes but what frees a lane; there is no sweep.", breaks EveryJobEnds in
        TWO;
    PromotesOverAHolder: "A promotion does not look for a holder of the lane.", breaks OneLease in
        TWO;
    SwapDemotesTheRunning: "A more urgent job takes the place of one that runs.", breaks RunningHasALease in
        URGENT;
    StackHeadLetsOthersPass: "A backing-off head of a stack lane does not hold it.", breaks StackInOrder in
        STACK;
    AssumesTheCommit: "A handler that does not hear of its commit takes it as done.", breaks CompletedIsThere in
        one(Faults { losses: 1, ..NONE });
    TrustsAPredecessor: "A handler completes with what its predecessor left.", breaks OneTokensResult in
        ONE;
    VerdictBreaksTheFence: "A verdict lets the lease be taken without waiting for a fence.", breaks NoEffectAfterASuccessor in
        one(Faults { false_verdicts: 1, ..NONE });
    VerdictIsOwnership: "Who finds an owner dead owns its leases.", breaks TokensGrow in
        one(Faults { false_verdicts: 1, ..NONE });
    VerdictAfterOneSighting: "One sighting is enough for a verdict.", breaks NoLiveOwnerJudged in
        session(Faults { cuts: 1, ..NONE });
    VerdictOnOldEvidence: "A verdict does not look at the lock again.", breaks NoLiveOwnerJudged in
        session(Faults { cuts: 1, ..NONE });
    DetectorIgnoresTheStart: "A detector believes what it sees right after the server's start.", breaks NoLiveOwnerJudged in
        session(Faults { restarts: 1, ..NONE });
    ClaimsWithoutTheSignal: "A worker claims while it does not hold its session lock.", breaks NoLiveOwnerJudged in
        session(Faults { cuts: 1, ..NONE });
}

const NONE: Faults = Scenario::QUIET.faults;

/// One job, two owners.
const ONE: Scenario = one(NONE);

const fn one(faults: Faults) -> Scenario {
    Scenario {
        name: "one job",
        faults,
        ..Scenario::QUIET
    }
}

const LAST_ATTEMPT: Scenario = Scenario {
    name: "last attempt",
    max_attempts: 1,
    ..Scenario::QUIET
};

const POISON: Scenario = Scenario {
    name: "poison",
    crash_limit: 2,
    max_attempts: 4,
    tokens: 4,
    in_flight: 1,
    ..Scenario::QUIET
};

/// Two unlike jobs.
const TWO: Scenario = Scenario {
    name: "two jobs",
    jobs: [Some(Plan::direct(0)), Some(Plan::direct(1)), None],
    owners: 1,
    ..Scenario::QUIET
};

const URGENT: Scenario = Scenario {
    name: "urgent newcomer",
    jobs: [Some(Plan::direct(0)), Some(Plan::direct(1).urgent()), None],
    ..TWO
};

const STACK: Scenario = Scenario {
    name: "stack",
    stack: true,
    faults: Faults {
        failures: 1,
        ..NONE
    },
    ..TWO
};

/// Two equal jobs.
const fn equals(faults: Faults) -> Scenario {
    Scenario {
        name: "equal jobs",
        jobs: [Some(Plan::direct(0)), Some(Plan::direct(0)), None],
        owners: 1,
        faults,
        ..Scenario::QUIET
    }
}

const STAGED: Scenario = Scenario {
    name: "staged",
    jobs: [Some(Plan::direct(0).by(Route::Staged)), None, None],
    owners: 1,
    ..Scenario::QUIET
};

/// One job; verdicts come from session locks.
const fn session(faults: Faults) -> Scenario {
    Scenario {
        name: "session locks",
        signal: DeathSignal::Session,
        ..one(faults)
    }
}
