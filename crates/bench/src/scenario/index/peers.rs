//! `universal-ctags` and `codesearch` over the same files, where they are installed.

use std::path::Path;
use std::time::Instant;

use crate::error::BenchError;
use crate::process::{git, output};

/// What `env` ends with when there is no such program.
const NOT_FOUND: &str = "127";

/// The seconds that a program takes over the files of a folder; nothing when it is not installed.
pub(super) async fn ctags(work: &Path, folder: &Path) -> Result<Option<f64>, BenchError> {
    let tags = folder.join("tags").display().to_string();
    let arguments = ["--recurse", "-f", &tags, &work.display().to_string()].map(str::to_owned);
    let started = Instant::now();
    let ran = output("ctags", &arguments).await?;
    Ok(ran.map(|_| started.elapsed().as_secs_f64()))
}

/// The same of `codesearch`'s indexer.
pub(super) async fn codesearch(work: &Path, folder: &Path) -> Result<Option<f64>, BenchError> {
    let index = format!("CSEARCHINDEX={}", folder.join("csearch").display());
    let started = Instant::now();
    let ran = output("env", [&index, "cindex", &work.display().to_string()]).await;
    match ran {
        Err(BenchError::Program { status, .. }) if status.contains(NOT_FOUND) => Ok(None),
        ran => Ok(ran?.map(|_| started.elapsed().as_secs_f64())),
    }
}

/// Checks out the remote's default branch for them.
pub(super) async fn check_out(remote: &Path, work: &Path) -> Result<(), BenchError> {
    let (remote, work) = (remote.display().to_string(), work.display().to_string());
    git(["clone", "-q", &remote, &work]).await?;
    Ok(())
}
