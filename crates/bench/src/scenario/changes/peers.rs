//! Git's own programs over the same repository.

use std::time::Instant;

use super::Source;
use crate::error::BenchError;

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
        let started = Instant::now();
        let written = self.source.shell(script).await?;
        let seconds = started.elapsed().as_secs_f64();
        if std::fs::metadata(written)?.len() > 0 {
            Ok(seconds)
        } else {
            Err(BenchError::Unexpected("git wrote nothing".to_owned()))
        }
    }
}
