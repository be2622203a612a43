//! Measures leasectl against floors and peers in one run.
//!
//! Each scenario runs its own three rounds on one throw-away PostgreSQL server that writes through
//! to the disk, and prints medians, the bar, and whether the bar is met. A floor or a peer is always
//! measured in the same run on the same server, because a shared machine is never the same twice.

mod cli;
mod error;
mod fetch_worker;
mod fill;
mod floor;
mod host;
mod index_worker;
mod noop;
#[cfg(feature = "peers")]
mod peer;
mod process;
mod proxy;
mod report;
mod scenario;
mod server;
mod tell;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use leasectl_api::program::ProgramError;
use tracing_subscriber::filter::LevelFilter;

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
        // What a scenario does to its workers is an outage to them: they are expected to warn.
        let is_expected = matches!(cli.command, Command::FetchWorker(_));
        init_logging(if is_expected {
            LevelFilter::ERROR
        } else {
            LevelFilter::WARN
        });
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
        #[cfg(feature = "peers")]
        Command::PeerWorker(arguments) => runtime.block_on(peer::run(arguments)),
        Command::FetchWorker(arguments) => runtime.block_on(fetch_worker::run(arguments)),
        Command::IndexWorker(arguments) => runtime.block_on(index_worker::run(arguments)),
        // It sets up its own logging, metrics and signals, as in its own program.
        Command::ApiService(arguments) => {
            let settings = arguments.resolve().map_err(ProgramError::from)?;
            Ok(runtime.block_on(leasectl_api::program::run(settings))?)
        }
        Command::Scenario(scenario) => runtime.block_on(scenario::run(&scenario)),
    }
}

/// Warnings at most: a line per job would be part of what is measured.
fn init_logging(level: LevelFilter) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .init();
}
