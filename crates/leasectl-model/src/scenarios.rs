//! The worlds that are explored in full.

use crate::scenario::{DeathSignal, Faults, Plan, Route, Scenario};

const NONE: Faults = Scenario::QUIET.faults;

/// Together they hold every fault and every way in; each is explored in full on every run.
pub const SCENARIOS: &[Scenario] = &[
    OWNERS, SERVER, LOCKED, CANCEL, SIGNAL, POISON, THREE, EQUALS, QUEUE, STACK,
];

/// Faults that come together; minutes each, and gigabytes of memory.
pub const LONG_SCENARIOS: &[Scenario] = &[
    LONG_LOCKED,
    LONG_CANCEL,
    LONG_SIGNAL,
    LONG_POISON,
    LONG_THREE,
    LONG_QUEUE,
    LONG_STACK,
    EVERYTHING,
];

/// One job, two owners, one takeover.
const BASE: Scenario = Scenario {
    tokens: 2,
    ..Scenario::QUIET
};

/// Owners are killed, stopped anywhere and continued at any later moment, or judged while they live:
/// any two of it.
const OWNERS: Scenario = Scenario {
    name: "owners",
    faults: Faults {
        crashes: 1,
        pauses: 1,
        false_verdicts: 1,
        ..NONE
    },
    ..BASE
};

/// The server restarts under everything, or a statement or an answer gets lost, a transaction is
/// torn, a statement is sent twice.
const SERVER: Scenario = Scenario {
    name: "server",
    faults: Faults {
        total: 1,
        restarts: 1,
        losses: 1,
        ..NONE
    },
    ..BASE
};

/// Somebody outside locks a job's row for any time, so that heartbeats skip it, and its owner may be
/// judged meanwhile, although it lives.
const LOCKED: Scenario = Scenario {
    name: "locked row",
    faults: Faults {
        locks: 1,
        false_verdicts: 1,
        ..NONE
    },
    ..BASE
};

/// Users cancel, workers hand back.
const CANCEL: Scenario = Scenario {
    name: "cancel",
    faults: Faults {
        cancels: 1,
        releases: 1,
        ..NONE
    },
    ..BASE
};

/// Session locks, a detector, and what may go wrong with them.
const SIGNAL: Scenario = Scenario {
    name: "signal",
    signal: DeathSignal::Session,
    in_flight: 1,
    faults: Faults {
        cuts: 1,
        crashes: 1,
        ..NONE
    },
    ..BASE
};

/// Owner after owner is lost, with and without durable progress.
const POISON: Scenario = Scenario {
    name: "poison",
    tokens: 3,
    in_flight: 1,
    crash_limit: 2,
    max_attempts: 3,
    durable: true,
    ..BASE
};

/// Three owners, two of which are killed.
const THREE: Scenario = Scenario {
    name: "three owners",
    owners: 3,
    tokens: 3,
    in_flight: 1,
    faults: Faults { crashes: 2, ..NONE },
    ..BASE
};

/// Equal jobs on each way in; users run finished jobs again.
const EQUALS: Scenario = Scenario {
    name: "equal jobs",
    jobs: [
        Some(Plan::direct(0).by(Route::Delayed)),
        Some(Plan::direct(0)),
        Some(Plan::direct(0).by(Route::Staged)),
    ],
    owners: 1,
    in_flight: 1,
    faults: Faults {
        failures: 1,
        retries: 1,
        ..NONE
    },
    ..BASE
};

/// A lane with a queue, an urgent newcomer, a staged job.
const QUEUE: Scenario = Scenario {
    name: "queue",
    jobs: [
        Some(Plan::direct(0)),
        Some(Plan::direct(1).urgent()),
        Some(Plan::direct(2).by(Route::Staged)),
    ],
    owners: 1,
    tokens: 3,
    in_flight: 1,
    faults: Faults { crashes: 1, ..NONE },
    ..BASE
};

/// A lane that is strict first-in-first-out.
const STACK: Scenario = Scenario {
    name: "stack",
    stack: true,
    jobs: [
        Some(Plan::direct(0)),
        Some(Plan::direct(1).urgent()),
        Some(Plan::direct(0).by(Route::Delayed)),
    ],
    owners: 1,
    tokens: 3,
    in_flight: 1,
    faults: Faults {
        failures: 1,
        ..NONE
    },
    ..BASE
};

/// Any two faults of every sort on one job.
const EVERYTHING: Scenario = Scenario {
    name: "everything",
    faults: Faults {
        crashes: 1,
        pauses: 1,
        restarts: 1,
        false_verdicts: 1,
        losses: 1,
        ..NONE
    },
    ..BASE
};

/// As [`LOCKED`], or a killed or stopped owner, or a loss, instead of one of the two.
const LONG_LOCKED: Scenario = Scenario {
    name: "long locked row",
    faults: Faults {
        crashes: 1,
        pauses: 1,
        losses: 1,
        ..LOCKED.faults
    },
    ..LOCKED
};

/// As [`CANCEL`], and what was cancelled or failed is run again.
const LONG_CANCEL: Scenario = Scenario {
    name: "long cancel",
    faults: Faults {
        failures: 1,
        retries: 1,
        ..CANCEL.faults
    },
    ..CANCEL
};

/// As [`SIGNAL`], or a stopped process or a restart instead of one of the two.
const LONG_SIGNAL: Scenario = Scenario {
    name: "long signal",
    faults: Faults {
        restarts: 1,
        pauses: 1,
        ..SIGNAL.faults
    },
    ..SIGNAL
};

/// As [`POISON`], with one lease more and failures besides.
const LONG_POISON: Scenario = Scenario {
    name: "long poison",
    tokens: 4,
    faults: Faults {
        failures: 1,
        ..NONE
    },
    ..POISON
};

/// As [`THREE`], or a wrong verdict instead of one of the two.
const LONG_THREE: Scenario = Scenario {
    name: "long three owners",
    faults: Faults {
        false_verdicts: 1,
        ..THREE.faults
    },
    ..THREE
};

/// As [`QUEUE`], with two owners and a restart besides.
const LONG_QUEUE: Scenario = Scenario {
    name: "long queue",
    owners: 2,
    faults: Faults {
        restarts: 1,
        ..QUEUE.faults
    },
    ..QUEUE
};

/// As [`STACK`], with two owners and cancellations besides.
const LONG_STACK: Scenario = Scenario {
    name: "long stack",
    owners: 2,
    faults: Faults {
        cancels: 1,
        ..STACK.faults
    },
    ..STACK
};
