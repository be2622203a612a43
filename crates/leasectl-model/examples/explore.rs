//! Explores the scenarios of the model and prints what they came to, those of the tests by default:
//! `cargo run --release -p leasectl-model --example explore -- [long | NAME]`.

#![expect(clippy::print_stdout, reason = "this program's purpose is its report")]

use std::process::ExitCode;
use std::time::Instant;

use leasectl_model::{LONG_SCENARIOS, LeaseModel, SCENARIOS, Scenario, Sight};
use stateright::{Checker, HasDiscoveries, Model};

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let chosen: Vec<_> = match wanted.as_deref() {
        None => SCENARIOS.to_vec(),
        Some("long") => LONG_SCENARIOS.to_vec(),
        Some(name) => SCENARIOS
            .iter()
            .chain(LONG_SCENARIOS)
            .filter(|scenario| scenario.name == name)
            .copied()
            .collect(),
    };
    let mut broken = false;
    for scenario in chosen {
        broken |= explore(scenario);
    }
    if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Explores one scenario; whether a rule was broken.
fn explore(scenario: Scenario) -> bool {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let checker = LeaseModel { scenario }
        .checker()
        .threads(threads)
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
    let mut broken = false;
    for (name, path) in checker.discoveries() {
        if Sight::ALL.into_iter().any(|sight| sight.name() == name) {
            continue;
        }
        broken = true;
        println!("  {name} is broken by");
        for action in path.into_actions() {
            println!("    {action:?}");
        }
    }
    broken
}
