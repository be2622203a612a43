//! The store beside its model: any sequence of steps of callers, workers and time must be answered
//! as the model says, and leave behind what the model says. Failures shrink to the few steps that
//! matter.

mod check;
mod model;
mod steps;
mod system;

use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use self::model::Model;
use self::steps::Step;
use self::system::Store;

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
    #![proptest_config(Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn the_store_does_what_its_model_does(sequential 1..60 => Store);
}
