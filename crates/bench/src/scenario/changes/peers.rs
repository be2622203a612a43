//! Git's own programs over the same repository.

use std::time::Instant;

use super::Source;
use crate::error::BenchError;
use crate::process::output;

/// What a shell runs for each change.
const LOOP: &str = "git for-each-ref --format='%(refname)' refs/pull | while read -r ref; do \
                    base=$(git merge-base HEAD \"$ref\") && git diff --numstat \"$base\" \"$ref\"; done > \"$1\"";
const LOG: &str = "git log --numstat -M HEAD > \"$1\"";

/// Runs them and takes the time.
pub(super) struct Peers<'a> {
    source: &'a Source,
}

impl<'a> Peers<'a> {
    pub(super) fn of(source: &'a Source) -> Self {
        Self { source }
    }

    /// The seconds of a shell loop over all changes.
    pub(super) async fn loop_over_changes(&self) -> Result<f64, BenchError> {
        self.shell(LOOP).await
    }

    /// The seconds of `git log` over the default branch.
    pub(super) async fn log(&self) -> Result<f64, BenchError> {
        self.shell(LOG).await
    }

    async fn shell(&self, script: &str) -> Result<f64, BenchError> {
        let written = self.source.folder.path().join("written");
        let script = format!("cd \"$0\" && {script}");
        let arguments = [
            "-c",
            &script,
            &self.source.path(),
            &written.display().to_string(),
        ];
        let started = Instant::now();
        let ran = output("sh", arguments).await?;
        let seconds = started.elapsed().as_secs_f64();
        match ran {
            Some(_) if std::fs::metadata(&written)?.len() > 0 => Ok(seconds),
            Some(_) => Err(BenchError::Unexpected("git wrote nothing".to_owned())),
            None => Err(BenchError::Unexpected("sh is not installed".to_owned())),
        }
    }
}
