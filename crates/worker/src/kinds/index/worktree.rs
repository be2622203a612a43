//! A worktree of this machine, indexed by the process that was asked to: no job, no lease, no worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leasectl_core::database::{Database, DatabaseError};
use leasectl_core::failure::JobError;
use leasectl_core::ids::RepoId;
use leasectl_core::index::{IndexError, LocalRun, WorktreeRef};
use leasectl_repo::{Present, Snapshot, Worktree};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::TRIES;
use super::run::{Failure, Run};
use super::tree::{Asked, index};
use crate::daemon::ProgressReporter;

/// What is to be indexed, and for which repository.
#[derive(Debug)]
pub(crate) struct LocalIndex<'a> {
    pub(crate) database: &'a Database,
    pub(crate) repo_id: RepoId,
    pub(crate) worktree: &'a Worktree,
    /// Under which ref it is published.
    pub(crate) name: WorktreeRef,
    /// A tree that is known is walked nevertheless.
    pub(crate) force: bool,
    pub(crate) progress: &'a ProgressReporter,
    /// Triggered when it is to stop.
    pub(crate) cancel: &'a CancellationToken,
}

/// A worktree that is indexed.
#[derive(Debug)]
pub(crate) struct LocalIndexed {
    /// What a job of the kind answers.
    pub(crate) result: Value,
    /// Files and folders that could not be read, and are left out.
    pub(crate) unreadable: u64,
}

/// A worktree could not be indexed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalFailure {
    /// The database is away.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Something else went wrong.
    #[error("{}", .0.message)]
    Failed(JobError),
}

impl From<Failure> for LocalFailure {
    fn from(failure: Failure) -> Self {
        if let Failure::Away(error) = failure {
            Self::Database(error)
        } else {
            Self::Failed(failure.into_job_error())
        }
    }
}

impl LocalIndex<'_> {
    /// Indexes it, from the start when it changes meanwhile.
    pub(crate) async fn run(&self) -> Result<LocalIndexed, LocalFailure> {
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            match self.try_run().await {
                Err(Failure::Gone | Failure::Changed(_)) if tries_left > 0 => {}
                done => return Ok(done?),
            }
        }
    }

    async fn try_run(&self) -> Result<LocalIndexed, Failure> {
        let begun = match self.database.client().await {
            Ok(client) => LocalRun::begin(&client, self.name.clone()).await,
            Err(error) => Err(IndexError::from(error)),
        };
        let local = match begun {
            Ok(local) => local,
            Err(IndexError::Database(error)) => return Err(Failure::Away(error)),
            Err(_) => return Err(Failure::Gone),
        };
        let run = Run {
            database: self.database,
            author: (&local).into(),
            repo_id: self.repo_id,
            progress: self.progress,
            cancel: self.cancel,
        };
        let Present {
            tree,
            head,
            unreadable,
            content,
        } = self.look(&run).await?;
        let asked = Asked {
            snapshot: Snapshot {
                name: self.name.as_str().to_owned(),
                commit: head,
                tree,
            },
            is_default: false,
        };
        let result = index(&run, &content, &asked, self.force).await?;
        Ok(LocalIndexed { result, unreadable })
    }

    async fn look(&self, run: &Run<'_>) -> Result<Present, Failure> {
        self.progress.message("reading the worktree");
        let stop = StopOnDrop::default();
        let (stopped, worktree) = (Arc::clone(&stop.0), self.worktree.clone());
        let progress = self.progress.clone();
        run.blocking(move || {
            let seen = |count| progress.report(count, None, "files");
            Ok(worktree.look(&stopped, &seen)?)
        })
        .await
    }
}

/// Has a thread stop that nobody waits for any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
