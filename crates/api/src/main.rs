//! The program `leasectl-api`: reads its settings, serves, and says why it ended.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use leasectl_api::config::Arguments;
use leasectl_api::program::{self, ProgramError};

#[tokio::main]
async fn main() -> ExitCode {
    match start(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn start(arguments: Arguments) -> Result<(), ProgramError> {
    program::run(arguments.resolve()?).await
}

#[expect(
    clippy::print_stderr,
    reason = "the one place that tells people why the program ended"
)]
fn report(error: &ProgramError) {
    let mut said = error.to_string();
    eprintln!("leasectl-api: {said}");
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors name their cause themselves.
        let next = error.to_string();
        if !said.contains(&next) {
            eprintln!("  because: {next}");
        }
        said = next;
        cause = error.source();
    }
}
