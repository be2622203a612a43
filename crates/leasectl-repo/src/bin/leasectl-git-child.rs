//! The Git child as a program of its own, for tests and benchmarks of this crate; the worker runs
//! the same entry as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    leasectl_repo::git_child_main()
}
