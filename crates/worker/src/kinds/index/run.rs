//! One run over a tree, of a job or of `worker index`: what it asks the database, and how its parts fail.

use leasectl_core::database::{Client, Database, DatabaseError};
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::ids::RepoId;
use leasectl_core::index::{Author, IndexError};
use leasectl_core::lease::FenceError;
use leasectl_core::repository::{self, Branch, RepoRef};
use leasectl_remote::RefName;
use leasectl_repo::{ObjectId, RepoError};
use tokio_util::sync::CancellationToken;

use super::store::Written;
use super::walk::WalkError;
use crate::cli::ByteSize;
use crate::daemon::{JobContext, ProgressReporter, outage};
use crate::kinds::clone::{job_error, wait_out};

/// Asks the database, again and again while it is away. (A function that takes the question as a closure
/// would make a future of which nobody can prove that it may change threads.)
macro_rules! ask {
    ($run:expr, $client:ident => $question:expr) => {
        loop {
            let asked = match $run.client().await {
                Ok(mut held) => {
                    let $client = &mut held;
                    $question.await
                }
                Err(error) => Err(error),
            };
            match asked {
                Ok(answer) => break answer,
                Err(error) => $run.wait_out(error).await?,
            }
        }
    };
}
pub(super) use ask;

/// One run.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) database: &'a Database,
    /// In whose name it writes.
    pub(super) author: Author<'a>,
    pub(super) repo_id: RepoId,
    pub(super) progress: &'a ProgressReporter,
    pub(super) cancel: &'a CancellationToken,
}

/// Why a run did not get to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something that was there was collected since; the next walk finds out what.
    Gone,
    /// The clone is damaged.
    Corrupt(RepoError),
    /// A file of the worktree changed since it was looked at.
    Changed(RepoError),
    /// The database is away, and nobody waits for it.
    Away(DatabaseError),
    /// The threads that extract ended before the last blob.
    Unfinished,
    /// The job fails.
    Job(JobError),
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        if matches!(error, RepoError::Corrupt { .. }) {
            Self::Corrupt(error)
        } else if matches!(error, RepoError::Changed { .. }) {
            Self::Changed(error)
        } else {
            Self::Job(job_error(&error))
        }
    }
}

impl From<WalkError> for Failure {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Repo(error) => error.into(),
            WalkError::Stopped => {
                Self::Job(JobError::retryable(ErrorCode::Cancelled, error.to_string()))
            }
            WalkError::TooLarge | WalkError::TooDeep | WalkError::BadName => Self::Job(
                JobError::permanent(ErrorCode::RemoteTooLarge, error.to_string()),
            ),
        }
    }
}

impl Failure {
    /// The failure of the job, when it is not tried again at once.
    pub(super) fn into_job_error(self) -> JobError {
        match self {
            Self::Job(error) => error,
            Self::Corrupt(error) | Self::Changed(error) => job_error(&error),
            Self::Away(error) => JobError::retryable(ErrorCode::RepoUnavailable, error.to_string()),
            Self::Gone => JobError::retryable(
                ErrorCode::RepoUnavailable,
                "parts of the index were collected while it was written, again and again",
            ),
            Self::Unfinished => JobError::retryable(
                ErrorCode::HandlerPanicked,
                "a thread that extracts blobs ended early; see the worker's log",
            ),
        }
    }
}

fn refused(code: ErrorCode, error: &IndexError) -> Failure {
    Failure::Job(JobError::permanent(code, error.to_string()))
}

fn head_of(branches: Vec<Branch>, reference: &RefName) -> Option<(String, String)> {
    let name = reference.as_str();
    let short = name.strip_prefix("refs/heads/").unwrap_or(name);
    let mut branches = branches.into_iter();
    let branch = branches.find(|branch| branch.name == short)?;
    branch.head.map(|head| (branch.name, head))
}

impl<'a> Run<'a> {
    /// Of a job.
    pub(super) fn of(context: &'a JobContext) -> Self {
        Self {
            database: &context.database,
            author: Author::Lease(&context.fence),
            repo_id: context.job.repo_id,
            progress: &context.progress,
            cancel: &context.cancel,
        }
    }

    /// Tells how many files of those whose content was missing are stored, and how many bytes that was. (How many
    /// bytes there will be is not known before all are read.)
    pub(super) fn progress(&self, written: Written, total: u64) {
        let bytes = ByteSize::from(written.bytes);
        self.progress
            .message(&format!("extracting; {bytes} so far"));
        self.progress.report(written.blobs, Some(total), "files");
    }

    /// A connection of the pool.
    pub(super) async fn client(&self) -> Result<Client, IndexError> {
        Ok(self.database.client().await?)
    }

    /// Waits a moment when the database is away and this is a job; fails when the question need not be asked
    /// again.
    pub(super) async fn wait_out(&self, error: IndexError) -> Result<(), Failure> {
        let error = match error {
            IndexError::Gone => return Err(Failure::Gone),
            IndexError::TreeTooLarge => return Err(refused(ErrorCode::RemoteTooLarge, &error)),
            IndexError::BadRuleset | IndexError::ForWorktrees => {
                return Err(refused(ErrorCode::InvalidArgument, &error));
            }
            // Asked again at once, it would take as long again.
            IndexError::TooSlow => {
                let text = error.to_string();
                return Err(JobError::retryable(ErrorCode::RepoUnavailable, text).into());
            }
            IndexError::LeaseLost => FenceError::LeaseLost,
            // A person at a terminal is told; a job is not begun again because a database restarts.
            IndexError::Database(error) if matches!(self.author, Author::Local(_)) => {
                return Err(Failure::Away(error));
            }
            IndexError::Database(error) => FenceError::Database(error),
        };
        Ok(wait_out(error, self.cancel).await?)
    }

    /// The commit that was last recorded for a branch, or for the default one, and how the branch is called:
    /// what this container has of it may be older.
    pub(super) async fn recorded(
        &self,
        reference: Option<&RefName>,
    ) -> Result<Option<(String, ObjectId)>, Failure> {
        let (database, repo_id) = (self.database, self.repo_id);
        let recorded = loop {
            let asked = match reference {
                None => repository::find(database, &RepoRef::Id(repo_id))
                    .await
                    .map(|found| found.and_then(|found| found.default_branch.zip(found.head))),
                Some(reference) => repository::branches(database, repo_id)
                    .await
                    .map(|branches| head_of(branches, reference)),
            };
            match asked {
                Ok(recorded) => break recorded,
                Err(error) => wait_out(error.into(), self.cancel).await?,
            }
        };
        // What is no id was not written by a fetch.
        Ok(recorded.and_then(|(name, head)| {
            let id = ObjectId::from_hex(head.as_bytes()).ok()?;
            Some((name, id))
        }))
    }

    /// Runs work that blocks on the disk where it holds nobody up.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        match self.or_cancelled(tokio::task::spawn_blocking(work)).await? {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(error = outage::chain(&error), "reading a clone broke");
                Err(Failure::Unfinished)
            }
        }
    }

    /// What comes of it, unless the job is asked to stop before.
    pub(super) async fn or_cancelled<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            () = self.cancel.cancelled() => Err(Failure::Job(JobError::retryable(
                ErrorCode::Cancelled,
                "the job was asked to stop",
            ))),
        }
    }
}
