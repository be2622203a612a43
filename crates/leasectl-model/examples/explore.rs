//! Explores the model's scenarios, with figures: `cargo run --release --example explore`.

#![expect(clippy::print_stdout, reason = "this program's purpose is its report")]

use std::time::Instant;

use leasectl_model::{LeaseModel, SCENARIOS};
use stateright::{Checker, HasDiscoveries, Model};

fn main() {
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
            "{}: {} states, {} generated, depth {}, {:.1} s",
            scenario.name,
            checker.unique_state_count(),
            checker.state_count(),
            checker.max_depth(),
            began.elapsed().as_secs_f64()
        );
        for (name, path) in checker.discoveries() {
            println!("  {name}");
            if !name.starts_with("seen") {
                for action in path.into_actions() {
                    println!("    {action:?}");
                }
            }
        }
    }
}
