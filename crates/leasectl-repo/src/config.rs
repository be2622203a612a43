//! The few variables of the environment that programs started here may see.
//!
//! Everything else is withheld: the worker's environment holds secrets, and Git reads dozens of
//! variables that change what it does.

use std::ffi::OsString;

/// Where programs, keys and certificates are found.
const PASSED_ON: [&str; 6] = [
    "PATH",
    "HOME",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "TMPDIR",
];

/// The variables to pass on, with their values.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the module that reads the environment"
)]
pub(crate) fn passed_on() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED_ON
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
}
