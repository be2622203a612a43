//! Where the programs under test are. `cargo test` builds a package's programs only when that
//! package has integration tests, and never for `cargo test -p leasectl-tests`; so they are built
//! here, with the profile and into the folder that this test itself was built with.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::config;
use crate::process::Invocation;

/// A build from nothing takes minutes; another build may hold cargo's lock for as long.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);

/// The program `worker`.
#[must_use]
pub fn worker_program() -> PathBuf {
    built().join("worker")
}

/// The program `leasectl-api`.
#[must_use]
pub fn api_program() -> PathBuf {
    built().join("leasectl-api")
}

/// The folder that holds both, built once for each test program. Cargo's own lock keeps several
/// test programs from building at the same time; for all but the first there is nothing to do.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = profile_folder();
        if !config::is_build_skipped() {
            build(&folder);
        }
        for program in ["worker", "leasectl-api"] {
            let program = folder.join(program);
            assert!(program.is_file(), "{} is missing", program.display());
        }
        folder
    })
}

/// `<target>/<profile>`: the folder of this program, or the one above when it is a test, which lies
/// in `<target>/<profile>/deps`.
fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().expect("the program's own path");
    let folder = program.parent().expect("a target folder");
    match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().expect("a target folder").to_owned(),
        _ => folder.to_owned(),
    }
}

fn build(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let above = folder.parent().expect("a target folder");
    let mut invocation = Invocation::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--bins",
            "-p",
            "leasectl-worker",
            "-p",
            "leasectl-api",
        ])
        .args(["--profile", profile, "--target-dir"]);
    // With `--target`, a folder named like the target lies between.
    if above.join("CACHEDIR.TAG").exists() {
        invocation = invocation.args([above]);
    } else {
        let target = above.file_name().expect("a name");
        invocation = invocation
            .args([above.parent().expect("a target folder")])
            .args(["--target".as_ref(), target]);
    }
    for (name, value) in config::for_cargo() {
        invocation = invocation.env(name, value);
    }
    invocation
        .dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .limit(BUILD_LIMIT)
        .run()
        .ok();
}
