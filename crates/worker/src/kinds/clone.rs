//! What every kind that works on a clone does alike: find the remote, tell how it goes, and say in the
//! words of jobs why it did not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasectl_core::database::DatabaseError;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::lease::FenceError;
use leasectl_core::repository::{self, RepoRef};
use leasectl_remote::{Locality, RemoteUrl};
use leasectl_repo::{CloneTarget, Phase, Progress, ProgressSink, RepoError};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use tokio_util::sync::CancellationToken;

use crate::cli::size_advice;
use crate::daemon::{JobContext, ProgressReporter, outage};

/// Between two tries to reach the database.
const PAUSE: Duration = Duration::from_millis(200);

/// The clone of the job's repository.
pub(super) async fn target(
    context: &JobContext,
    locality: Locality,
) -> Result<CloneTarget, JobError> {
    let id = context.job.repo_id;
    let found = loop {
        match repository::find(&context.database, &RepoRef::Id(id)).await {
            Ok(found) => break found,
            Err(error) => wait_out(error.into(), &context.cancel).await?,
        }
    };
    let repository = found.ok_or_else(|| {
        JobError::permanent(
            ErrorCode::RepoUnavailable,
            "the repository was removed; register it again to work on it",
        )
    })?;
    let url = RemoteUrl::parse(&repository.git_url, locality).map_err(|error| {
        JobError::permanent(
            ErrorCode::InvalidArgument,
            format!("this worker does not accept the repository's remote: {error}"),
        )
    })?;
    Ok(CloneTarget {
        id: id.as_uuid(),
        url,
    })
}

/// Waits a moment when the database is away: what was done is not done again because the database
/// restarted. The supervisor ends the wait when the lease is not to be trusted.
pub(super) async fn wait_out(
    error: FenceError,
    cancel: &CancellationToken,
) -> Result<(), JobError> {
    match error {
        FenceError::LeaseLost => Err(JobError::permanent(
            ErrorCode::LeaseLost,
            "the lease was lost",
        )),
        FenceError::Database(error) if error.is_unavailable() => {
            tracing::debug!(error = outage::chain(&error), "waiting for the database");
            match tokio::time::timeout(PAUSE, cancel.cancelled()).await {
                Ok(()) => Err(JobError::retryable(
                    ErrorCode::Cancelled,
                    "the job was asked to stop",
                )),
                Err(_elapsed) => Ok(()),
            }
        }
        FenceError::Database(error) => Err(refused(&error)),
    }
}

/// The cause goes to the log: a job's error shows no SQL.
fn refused(error: &DatabaseError) -> JobError {
    tracing::error!(
        error = outage::chain(error),
        "the database refused a statement of a job"
    );
    JobError::retryable(
        ErrorCode::RepoUnavailable,
        "the database refused to record what was done; see the worker's log",
    )
}

/// The same code and text, in the words of jobs, and which flag helps.
pub(super) fn job_error(error: &RepoError) -> JobError {
    tracing::debug!(error = outage::chain(error), "work on a clone failed");
    let name: StrDeserializer<'_, serde::de::value::Error> = error.code().into_deserializer();
    let code = ErrorCode::deserialize(name).unwrap_or(ErrorCode::RepoUnavailable);
    let mut text = error.to_string();
    if let RepoError::TooLarge { limit, .. } = error {
        text = format!("{text}; {}", size_advice(*limit));
    }
    if error.retryable() {
        JobError::retryable(code, text)
    } else {
        JobError::permanent(code, text)
    }
}

/// Passes the progress of a clone or a fetch on.
pub(super) struct Reporting<'a> {
    reporter: &'a ProgressReporter,
    bytes_received: AtomicU64,
}

impl ProgressSink for Reporting<'_> {
    fn report(&self, progress: &Progress) {
        match progress.phase {
            Phase::Waiting => self.reporter.message("waiting for another clone to finish"),
            Phase::Connecting => self.reporter.message("connecting"),
            Phase::Receiving => self.reporter.message("receiving objects"),
            Phase::Resolving => self.reporter.message("resolving deltas"),
            Phase::Publishing => self.reporter.message("publishing refs"),
        }
        self.reporter
            .report(progress.done, progress.total, unit(progress.phase));
        // One large object is an advance too while it comes in.
        let before = self
            .bytes_received
            .fetch_max(progress.bytes_received, Ordering::Relaxed);
        if progress.bytes_received > before {
            self.reporter.advanced();
        }
    }
}

/// Each phase counts anew, so each has a unit of its own.
fn unit(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting | Phase::Connecting => "steps",
        Phase::Receiving => "objects",
        Phase::Resolving => "deltas",
        Phase::Publishing => "refs",
    }
}

impl<'a> Reporting<'a> {
    pub(super) fn to(reporter: &'a ProgressReporter) -> Self {
        Self {
            reporter,
            bytes_received: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_clone_keep_their_code_and_whether_to_try_again() {
        let full = job_error(&RepoError::DiskFull);
        assert_eq!((full.code, full.retryable), (ErrorCode::DiskFull, true));
        let missing = RepoError::RefNotFound {
            reference: "refs/heads/none".into(),
        };
        let missing = job_error(&missing);
        assert_eq!(
            (missing.code, missing.retryable),
            (ErrorCode::RefNotFound, false)
        );
        assert!(missing.message.contains("refs/heads/none"));
    }
}
