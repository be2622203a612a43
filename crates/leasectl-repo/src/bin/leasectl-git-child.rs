//! The Git child as a program of its own, for tests and benchmarks of this crate; the worker runs
//! the same entry as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    // As the worker does; without it this program ends where that one tells of a damaged clone.
    let _ = leasectl_repo::survive_lost_pages();
    leasectl_repo::git_child_main()
}
