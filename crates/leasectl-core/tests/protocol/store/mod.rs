//! The store beside its model: any sequence of steps of callers, workers and time must be answered
//! as the model says, and leave behind what the model says. Failures shrink to the few steps that
//! matter.

mod check;
mod model;
mod steps;
mod system;

use proptest::test_runner::{Config, RngSeed};
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use self::model::Model;
use self::steps::Step;
use self::system::Store;

/// The same few sequences every time, so that a change is judged and not its luck. A search asks for
/// more of them with `PROPTEST_CASES`, and for others with `PROPTEST_RNG_SEED`.
#[expect(
    clippy::disallowed_methods,
    reason = "the library's own variable; it does not tell whether it was set"
)]
fn config() -> Config {
    let asked = Config::default();
    let cases = std::env::var_os("PROPTEST_CASES").map_or(64, |_| asked.cases);
    let rng_seed = match asked.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        chosen @ RngSeed::Fixed(_) => chosen,
    };
    Config {
        cases,
        rng_seed,
        failure_persistence: None,
        ..asked
    }
}

impl StateMachineTest for Store {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        Self::empty()
    }

    fn apply(mut store: Self, model: &Model, step: Step) -> Self {
        store.take(&step, model);
        store
    }

    fn check_invariants(store: &Self, model: &Model) {
        check::assert_same(store, model);
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_store_does_what_its_model_does(sequential 1..60 => Store);
}
