//! The program `worker`: reads the command line, runs the command, prints what went wrong.

use std::io::{self, Write};
use std::process::ExitCode;

use leasectl_worker::cli::{Cli, CommandError, Exit};
use leasectl_worker::config::Environment;

/// The hidden subcommand that Git work runs in; see `leasectl_repo`.
const GIT_CHILD: &str = "git-child";

fn main() -> ExitCode {
    // Before any clone is opened: one that is damaged meanwhile must not end everything else that runs here.
    let guarded = leasectl_repo::survive_lost_pages();
    // It is started for every fetch, and needs neither runtime nor logs.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == GIT_CHILD)
    {
        return leasectl_repo::git_child_main();
    }
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(answer) => {
            // A closed pipe is the reader's choice: worker --help | head.
            let _ = answer.print();
            return ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2));
        }
    };
    match run(cli, guarded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_silent() {
                let _ = writeln!(io::stderr(), "worker: {error}");
            }
            ExitCode::from(error.exit().code())
        }
    }
}

fn run(cli: Cli, guarded: io::Result<()>) -> Result<(), CommandError> {
    let environment =
        Environment::read().map_err(|error| CommandError::caused(Exit::Usage, &error))?;
    cli.init_logging()?;
    if let Err(error) = guarded {
        tracing::warn!(%error, "a pack that is cut short while it is read will end this process");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new(Exit::Failed, format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(cli.execute(environment));
    // A thread may still wait for standard input, which never ends on a terminal.
    runtime.shutdown_background();
    outcome
}
