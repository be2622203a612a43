//! Measures leasectl against floors and peers in one run.
//!
//! Each scenario runs its own three rounds on one throw-away PostgreSQL server that writes through
//! to the disk, and prints medians, the bar, and whether the bar is met. A floor or a peer is always
//! measured in the same run on the same server, because a shared machine is never the same twice.

mod cli;
mod error;
mod fill;
mod floor;
mod noop;
mod process;
mod report;
mod scenario;
mod server;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use leasectl_api::program::ProgramError;

use crate::cli::{Cli, Command};
use crate::error::BenchError;

/// The hidden subcommand that Git work runs in; see `leasectl_repo`.
const GIT_CHILD: &str = "git-child";

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == GIT_CHILD)
    {
        return leasectl_repo::git_child_main();
    }
    let cli = Cli::parse();
    if !matches!(cli.command, Command::ApiService(_)) {
        init_logging();
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            let _ = writeln!(std::io::stderr(), "leasectl-bench: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match cli.command {
        Command::NoopWorker(arguments) => runtime.block_on(noop::run(arguments)),
        // It sets up its own logging, metrics and signals, as in its own program.
        Command::ApiService(arguments) => {
            let settings = arguments.resolve().map_err(ProgramError::from)?;
            Ok(runtime.block_on(leasectl_api::program::run(settings))?)
        }
        Command::Scenario(scenario) => runtime.block_on(scenario::run(&scenario)),
    }
}

/// Warnings only: a line per job would be part of what is measured.
fn init_logging() {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
}
