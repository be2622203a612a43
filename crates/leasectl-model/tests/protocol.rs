//! Explores the model in full, and shows that it finds mistakes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use leasectl_model::{
    LeaseModel, Mutant, OUTSIDE, Rule, SCENARIOS, Scenario, Sight, State, Statement,
};
use stateright::{Checker, HasDiscoveries, Model};

/// States that a run visits at least, all scenarios together.
const STATES: usize = 2_500_000;

fn sights() -> impl Iterator<Item = &'static str> {
    Sight::ALL.into_iter().map(Sight::name)
}

#[test]
fn every_rule_holds_in_every_state_of_every_scenario() {
    let mut states = 0;
    let mut seen = BTreeSet::new();
    for scenario in SCENARIOS {
        let began = Instant::now();
        let checker = LeaseModel {
            scenario: *scenario,
        }
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
        println!(
            "{}: {} states, {} transitions, depth {}, {:.1} s",
            scenario.name,
            checker.unique_state_count(),
            checker.state_count(),
            checker.max_depth(),
            began.elapsed().as_secs_f64()
        );
        states += checker.unique_state_count();
        for (name, path) in checker.discoveries() {
            if sights().any(|sight| sight == name) {
                seen.insert(name);
            } else {
                let steps: Vec<_> = path
                    .into_actions()
                    .iter()
                    .map(|action| format!("  {action:?}\n"))
                    .collect();
                panic!("{}: {name} is broken by\n{}", scenario.name, steps.concat());
            }
        }
    }
    println!("{states} states in all");
    assert!(states >= STATES, "{states} states are too few");
    assert_eq!(seen, sights().collect(), "what the runs came across");
}

/// Explores until the rule is found broken; how many states that took.
fn hunt(scenario: Scenario, rule: Rule, most: usize) -> (bool, usize) {
    let checker = LeaseModel { scenario }
        .checker()
        .target_state_count(most)
        .finish_when(HasDiscoveries::AllOf(BTreeSet::from([rule.name()])))
        .spawn_bfs()
        .join();
    (
        checker.discovery(rule.name()).is_some(),
        checker.state_count(),
    )
}

#[test]
fn every_mutant_is_caught_by_the_rule_that_it_breaks() {
    let mut survivors = Vec::new();
    for mutant in Mutant::ALL {
        let rule = mutant.breaks();
        let (caught, states) = hunt(mutant.world().with(*mutant), rule, 500_000);
        println!("{mutant:?}: {} after {states} states", rule.name());
        if !caught {
            survivors.push(mutant);
        }
        let (broken, _) = hunt(mutant.world(), rule, 2 * states);
        assert!(
            !broken,
            "{mutant:?}: the world without it breaks {}",
            rule.name()
        );
    }
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}

#[test]
fn every_rule_can_be_broken_by_some_mutant() {
    let broken: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.breaks()).collect();
    for rule in Rule::ALL {
        assert!(broken.contains(&rule), "{}", rule.what());
    }
}

#[test]
fn a_session_cut_twice_between_two_sightings_costs_repeated_work_and_nothing_else() {
    let signal = SCENARIOS.iter().find(|s| s.name == "signal").unwrap();
    let mut scenario = *signal;
    scenario.faults.cuts = 2;
    let checker = LeaseModel { scenario }
        .checker()
        .target_state_count(300_000)
        .spawn_bfs()
        .join();
    let broken: Vec<_> = checker
        .discoveries()
        .into_keys()
        .filter(|name| !sights().any(|sight| sight == *name))
        .collect();
    assert_eq!(broken, [Rule::NoLiveOwnerJudged.name()]);
}

/// Statements that take effect on random walks through a scenario.
fn walk(scenario: Scenario, seed: u64, met: &mut Vec<Statement>) {
    let model = LeaseModel { scenario };
    let mut random = seed;
    for _ in 0..300 {
        let mut state = State::new(&scenario);
        for _ in 0..80 {
            let steps = model.next_steps(&state);
            if steps.is_empty() {
                break;
            }
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let choices = u64::try_from(steps.len()).unwrap();
            let choice = usize::try_from((random >> 33) % choices).unwrap();
            let (action, next) = steps[choice];
            met.extend(action.statement());
            state = next;
        }
    }
}

#[test]
fn every_statement_of_the_model_takes_effect_in_some_scenario() {
    let mut met = Vec::new();
    for scenario in SCENARIOS {
        walk(*scenario, 7, &mut met);
    }
    for statement in Statement::ALL {
        assert!(met.contains(&statement), "{statement:?} is never executed");
    }
}

#[test]
fn every_statement_about_leases_is_in_the_model_or_left_out_for_a_reason() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../leasectl-core/src");
    let mut files = BTreeSet::new();
    for folder in ["lease", "liveness", "job"] {
        for entry in fs::read_dir(source.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".sql") {
                files.insert(format!("{folder}/{name}"));
            }
        }
    }
    let modelled = Statement::ALL
        .into_iter()
        .flat_map(Statement::files)
        .copied();
    let named: Vec<_> = modelled
        .chain(OUTSIDE.iter().map(|(file, _)| *file))
        .map(str::to_owned)
        .collect();
    let unique: BTreeSet<_> = named.iter().cloned().collect();
    assert_eq!(unique.len(), named.len(), "named twice: {named:?}");
    for file in &unique {
        assert!(source.join(file).is_file(), "{file} is named, and gone");
    }
    for file in &files {
        assert!(
            unique.contains(file),
            "{file} is in no action of the model, and not left out for a reason"
        );
    }
}
