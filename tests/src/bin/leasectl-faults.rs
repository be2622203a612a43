//! `leasectl-faults`: runs the fault suite for as long as told.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use leasectl_tests::faults::{Plan, run};

/// Injects random faults into real workers, a real database and real remotes, and judges the history.
#[derive(Debug, Parser)]
struct Args {
    /// Seed of the first round; a new one when it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// Faults in all
    #[arg(long, default_value_t = 20_000)]
    faults: u64,
    /// Faults of one round, each in a world of its own
    #[arg(long, default_value_t = 1_000)]
    round: u64,
    /// Ends after so many seconds, whether there were that many faults or not
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    /// Worker processes
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Takes the lock out of the fence, to see what the suite finds then
    #[arg(long)]
    sabotage: bool,
    /// Where logs and history of a round are kept that broke something
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    let plan = Plan {
        faults_per_round: args.round.max(1),
        duration: args.duration.map(Duration::from_secs),
        workers: args.workers.max(1),
        sabotage: args.sabotage,
        keep: args.keep,
        ..Plan::new(
            args.seed.unwrap_or_else(leasectl_tests::new_seed),
            args.faults,
        )
    };
    let mut out = io::stdout();
    let summary = run(&plan, |line| drop(writeln!(io::stdout(), "{line}")));
    writeln!(out, "{summary}")?;
    if summary.violations.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}
