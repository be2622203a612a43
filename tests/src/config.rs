//! What the environment says; nothing else here reads it.

use std::env;
use std::ffi::OsString;

/// Set to `1` when both programs are built already and cargo is not to be called.
const NO_BUILD: &str = "LEASECTL_TESTS_NO_BUILD";

/// The seed of random faults, to repeat a run.
const SEED: &str = "LEASECTL_TESTS_SEED";

/// What the programs under test may see of this process's environment: where programs are, and
/// nothing that configures Git, a database or leasectl.
const PASSED_ON: [&str; 6] = [
    "PATH",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "LEASECTL_POSTGRES_BIN",
    "LLVM_PROFILE_FILE",
    "RUST_BACKTRACE",
];

/// Whether the programs must be taken as they are.
pub(crate) fn is_build_skipped() -> bool {
    read(NO_BUILD).is_some_and(|value| value == "1")
}

/// The seed to repeat a run with.
///
/// # Panics
/// When it is no number: then the run would not be repeated.
pub(crate) fn seed() -> Option<u64> {
    let seed = read(SEED)?;
    let seed = seed.to_str().and_then(|text| text.parse().ok());
    Some(seed.expect("LEASECTL_TESTS_SEED is a whole number"))
}

/// The environment that every program under test starts with.
pub(crate) fn passed_on() -> Vec<(&'static str, OsString)> {
    PASSED_ON
        .into_iter()
        .filter_map(|name| read(name).map(|value| (name, value)))
        .collect()
}

/// What cargo and the compilers may see besides: everything but what cargo set for this test, which
/// would make it build everything anew.
pub(crate) fn for_cargo() -> Vec<(OsString, OsString)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads it"
    )]
    let all = env::vars_os();
    let set_for_test = |name: &str| {
        name == "CARGO" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    all.filter(|(name, _)| !name.to_str().is_some_and(set_for_test))
        .collect()
}

fn read(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads it"
    )]
    env::var_os(name)
}
