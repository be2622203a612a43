//! The steps that callers, workers and time may take, and how likely each is.

use leasectl_core::kind::Lane;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::model::{Ask, Ending, Job, Model, Over, State, When};

pub(super) const OWNERS: usize = 3;

/// One step. Indices of jobs and leases count from the newest, and wrap around.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Enqueue(Vec<Ask>),
    Stage(Ask),
    Claim {
        owner: usize,
        free: usize,
    },
    Reclaim {
        owner: usize,
    },
    Bury,
    Sweep,
    Beat {
        owner: usize,
        leases: Vec<usize>,
    },
    Settle {
        owner: usize,
        endings: Vec<(usize, Ending)>,
    },
    Write {
        lease: usize,
        durable: bool,
    },
    Cancel {
        job: usize,
    },
    Retry {
        job: usize,
    },
    /// Of the leases that are held.
    Age {
        lease: usize,
        why: Over,
    },
    ComeDue,
}

fn ask() -> impl Strategy<Value = Ask> {
    let when =
        prop_oneof![6 => Just(None), 1 => Just(Some(When::Past)), 2 => Just(Some(When::Future))];
    (0..2usize, lane(), 0..3u8, -1..2i16, when).prop_map(|(repo, lane, note, priority, when)| Ask {
        repo,
        lane,
        note,
        priority,
        when,
    })
}

fn lane() -> impl Strategy<Value = Lane> {
    prop_oneof![Just(Lane::Fetch), Just(Lane::Stack)]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => Just(Ending::Complete),
        3 => Just(Ending::Retryable),
        1 => Just(Ending::Permanent),
        1 => Just(Ending::Cancelled),
        2 => Just(Ending::Release),
    ]
}

/// Steps that find something to do are taken more often, but never only those.
fn step(model: &Model) -> impl Strategy<Value = Step> + use<> {
    // Mostly what is recent; now and then what is long over.
    let recent = || prop_oneof![4 => 0..3usize, 1 => 0..40usize];
    let over = || prop_oneof![Just(Over::Stale), Just(Over::Expired), Just(Over::Dead)];
    let often = |likely: bool, weight: u32| if likely { weight } else { 1 };
    let ready = model.jobs.iter().any(|job| job.state == State::Ready);
    let running = !model.running().is_empty();
    let (lost, dead) = (model.any_over(true), model.any_over(false));
    let finished = |job: &Job| matches!(job.state, State::Finished(_));
    let finished = model.jobs.iter().any(finished);
    let enqueuing = prop_oneof![
        3 => ask().prop_map(|ask| Step::Enqueue(vec![ask])),
        2 => vec(ask(), 2..5).prop_map(Step::Enqueue),
        2 => ask().prop_map(Step::Stage),
    ];
    let settling = (0..OWNERS, vec((recent(), ending()), 1..3))
        .prop_map(|(owner, endings)| Step::Settle { owner, endings });
    let beating =
        (0..OWNERS, vec(recent(), 1..4)).prop_map(|(owner, leases)| Step::Beat { owner, leases });
    let writing =
        (recent(), any::<bool>()).prop_map(|(lease, durable)| Step::Write { lease, durable });
    prop_oneof![
        6 => enqueuing,
        often(ready, 9) => (0..OWNERS, 1..3usize).prop_map(|(owner, free)| Step::Claim { owner, free }),
        often(lost, 9) => (0..OWNERS).prop_map(|owner| Step::Reclaim { owner }),
        often(dead, 9) => Just(Step::Bury),
        3 => Just(Step::Sweep),
        often(running, 3) => beating,
        often(running, 4) => settling,
        often(running, 2) => writing,
        1 => recent().prop_map(|job| Step::Cancel { job }),
        often(finished, 2) => recent().prop_map(|job| Step::Retry { job }),
        often(running, 5) => (recent(), over()).prop_map(|(lease, why)| Step::Age { lease, why }),
        2 => Just(Step::ComeDue),
    ]
}

/// The `back`-th newest of so many things.
pub(super) fn newest(back: usize, count: usize) -> usize {
    count - 1 - back % count
}

/// The leases of an owner that a step names, each once.
pub(super) fn named<T: Copy>(model: &Model, owner: usize, picks: &[(usize, T)]) -> Vec<(usize, T)> {
    let leases = model.leases_of(owner);
    let mut named: Vec<(usize, T)> = Vec::new();
    for (back, with) in picks {
        let lease = leases[newest(*back, leases.len())];
        if named.iter().all(|(before, _)| *before != lease) {
            named.push((lease, *with));
        }
    }
    named
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::new()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        step(state).boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Beat { owner, .. } | Step::Settle { owner, .. } => {
                !state.leases_of(*owner).is_empty()
            }
            Step::Write { .. } => !state.minted.is_empty(),
            Step::Age { .. } => !state.running().is_empty(),
            Step::Cancel { .. } | Step::Retry { .. } => !state.jobs.is_empty(),
            Step::Enqueue(_)
            | Step::Stage(_)
            | Step::Claim { .. }
            | Step::Reclaim { .. }
            | Step::Bury
            | Step::Sweep
            | Step::ComeDue => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        let (jobs, leases) = (state.jobs.len(), state.minted.len());
        match step {
            Step::Enqueue(asks) => state.enqueue(asks),
            Step::Stage(ask) => state.stage(ask),
            Step::Claim { owner, free } => state.claim(*owner, *free),
            Step::Reclaim { owner } => state.reclaim(*owner),
            Step::Bury => state.bury(),
            Step::Sweep => state.sweep(),
            Step::Beat { owner, leases } => {
                let picks: Vec<_> = leases.iter().map(|back| (*back, ())).collect();
                let named = named(&state, *owner, &picks);
                state.beat(&named.into_iter().map(|(lease, ())| lease).collect());
            }
            Step::Settle { owner, endings } => {
                let endings = named(&state, *owner, endings);
                state.settle(&endings);
            }
            Step::Write { lease, durable } => state.write(newest(*lease, leases), *durable),
            Step::Cancel { job } => state.cancel(newest(*job, jobs)),
            Step::Retry { job } => state.retry(newest(*job, jobs)),
            Step::Age { lease, why } => {
                let held = state.running();
                state.age(held[newest(*lease, held.len())], *why);
            }
            Step::ComeDue => state.come_due(),
        }
        state
    }
}
