//! Faults that a machine does not let us inject.

use std::io::Write as _;

/// Says that a fault could not be injected. It goes around the capture of the test runner, so that
/// it is seen although the test passes; `.ci/run` looks for the word.
pub fn skip(reason: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}").expect("standard error");
}

/// Whether the tests run as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
