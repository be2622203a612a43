//! The fault suite in short: more than a thousand random faults, and the seeds that once found
//! something.

use std::io::Write as _;

use leasectl_tests::Dice;
use leasectl_tests::faults::{Plan, Summary, run};

/// What the short run injects.
const FAULTS: u64 = 1_000;
/// What a seed that once failed is run again with.
const FAULTS_OF_A_SEED: u64 = 150;
/// Workers frozen within a fence that does not hold; one that is frozen for long enough, while another writes
/// what it has not, is enough.
const FREEZES: u64 = 16;
/// Rounds of that, in the first of which it nearly always shows.
const ROUNDS: u64 = 6;
/// Seeds of rounds in which something was broken: in 101 a new stamp vouched for a pack that was damaged
/// during the fetch.
const SEEDS: [u64; 1] = [101];

/// Around the capture of the test runner, so that a run that hangs shows its seed as well.
fn say(line: &str) {
    writeln!(std::io::stderr(), "faults: {line}").ok();
}

#[track_caller]
fn assert_unbroken(summary: &Summary) {
    assert!(summary.violations.is_empty(), "{summary}");
}

#[test]
fn a_thousand_random_faults_break_no_invariant() {
    let seed = Dice::new().number(0, u64::from(u32::MAX));
    let summary = run(&Plan::new(seed, FAULTS), say);
    say(&summary.to_string());
    assert_unbroken(&summary);
    assert!(summary.faults() >= FAULTS, "{summary}");
}

#[test]
fn a_fence_without_its_lock_is_found() {
    let shows = |seed| {
        let plan = Plan {
            sabotage: true,
            ..Plan::new(seed, FREEZES)
        };
        let summary = run(&plan, say);
        say(&summary.to_string());
        let mut violations = summary.violations.iter();
        violations.any(|(_, found)| found.invariant == "I2")
    };
    assert!((1..=ROUNDS).any(shows), "no round of {ROUNDS} shows it");
}

#[test]
fn seeds_that_once_broke_something_break_nothing() {
    for seed in SEEDS {
        assert_unbroken(&run(&Plan::new(seed, FAULTS_OF_A_SEED), say));
    }
}
