//! The child process that does all network work.

use std::process::ExitCode;

/// Entry of the hidden subcommand: one request on standard input, JSON lines on standard output.
#[must_use]
pub fn git_child_main() -> ExitCode {
    ExitCode::FAILURE
}
