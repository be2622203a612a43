//! `fetch`: brings the clone and the branch projection up to date with the remote.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use leasectl_core::database::DatabaseError;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::kind::{FETCH, KindSpec};
use leasectl_core::lease::FenceError;
use leasectl_core::repository::{self, FetchRecord, RepoRef};
use leasectl_remote::{Locality, Refspec, RemoteUrl};
use leasectl_repo::{
    CloneCache, CloneTarget, FetchReport, Phase, Progress, ProgressSink, RepoError,
};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::daemon::{Handler, JobContext, ProgressReporter, metrics, outage};

/// Between two tries to reach the database.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs `fetch` jobs.
#[derive(Clone, Debug)]
pub struct FetchHandler {
    cache: CloneCache,
    locality: Locality,
    disk_budget_bytes: Option<u64>,
}

impl FetchHandler {
    /// Fetches into that cache, which is kept within the budget where one is given.
    #[must_use]
    pub fn new(cache: CloneCache, locality: Locality, disk_budget_bytes: Option<u64>) -> Self {
        Self {
            cache,
            locality,
            disk_budget_bytes,
        }
    }
}

/// The arguments of a `fetch`.
#[derive(Deserialize)]
struct Args {
    #[serde(default)]
    refspecs: Vec<String>,
}

#[async_trait]
impl Handler for FetchHandler {
    fn spec(&self) -> KindSpec {
        FETCH
    }

    async fn run(&self, context: JobContext) -> Result<Value, JobError> {
        let refspecs = refspecs(&context.job.args)?;
        let target = self.target(&context).await?;
        let sink = Reporting {
            reporter: &context.progress,
            bytes_received: AtomicU64::new(0),
        };
        let fetched = self
            .cache
            .fetch(&target, &refspecs, &sink, &context.cancel)
            .await;
        if matches!(fetched, Ok(_) | Err(RepoError::DiskFull)) {
            // The clone that was just fetched is in use, and stays.
            self.keep_to_budget().await;
        }
        let report = fetched.map_err(|error| job_error(&error))?;
        if let Some(reason) = report.recloned {
            metrics::recloned(reason.as_str());
            tracing::info!(
                repo = %context.job.repo_id, job = %context.job.id, reason = reason.as_str(),
                "cloned anew"
            );
        }
        context.progress.message("recording branches");
        record(&context, &report).await?;
        Ok(result(&report))
    }
}

impl FetchHandler {
    async fn target(&self, context: &JobContext) -> Result<CloneTarget, JobError> {
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
                "the repository was removed; register it again to fetch it",
            )
        })?;
        let url = RemoteUrl::parse(&repository.git_url, self.locality).map_err(|error| {
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

    /// Evicts clones that nobody uses while the cache is over its budget.
    async fn keep_to_budget(&self) {
        let Some(budget) = self.disk_budget_bytes else {
            return;
        };
        let cache = self.cache.clone();
        match tokio::task::spawn_blocking(move || cache.evict_to_budget(budget)).await {
            Ok(Ok(evicted)) if evicted.clones.is_empty() => {}
            Ok(Ok(evicted)) => tracing::info!(
                clones = evicted.clones.len(),
                freed_bytes = evicted.freed_bytes,
                used_bytes = evicted.used_bytes,
                "evicted clones to stay within the disk budget"
            ),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = outage::chain(&error),
                    "the disk budget was not enforced"
                );
            }
            Err(error) => tracing::error!(%error, "the disk budget was not enforced"),
        }
    }
}

/// Writes what was fetched, under the fence.
async fn record(context: &JobContext, report: &FetchReport) -> Result<(), JobError> {
    let record = FetchRecord {
        branches: report.branches.clone(),
        default_branch: report.default_branch.clone(),
        head: report.head.clone(),
    };
    let is_registered = loop {
        match record_once(context, &record).await {
            Ok(is_registered) => break is_registered,
            Err(error) => wait_out(error, &context.cancel).await?,
        }
    };
    if is_registered {
        return Ok(());
    }
    Err(JobError::permanent(
        ErrorCode::RepoUnavailable,
        "the repository was removed while it was fetched; register it again to fetch it",
    ))
}

async fn record_once(context: &JobContext, record: &FetchRecord) -> Result<bool, FenceError> {
    let mut client = context.database.client().await?;
    let fenced = context.fence.begin(&mut client).await?;
    let is_registered = repository::record_fetch(&fenced, context.job.repo_id, record).await?;
    fenced.commit().await?;
    Ok(is_registered)
}

/// Waits a moment when the database is away: what was fetched is not fetched again because the
/// database restarted. The supervisor ends the wait when the lease is not to be trusted.
async fn wait_out(error: FenceError, cancel: &CancellationToken) -> Result<(), JobError> {
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
        "the database refused a statement of a fetch"
    );
    JobError::retryable(
        ErrorCode::RepoUnavailable,
        "the database refused to record what was fetched; see the worker's log",
    )
}

fn refspecs(args: &Value) -> Result<Vec<Refspec>, JobError> {
    let invalid = |message: String| JobError::permanent(ErrorCode::InvalidArgument, message);
    let args = Args::deserialize(args)
        .map_err(|_| invalid("the job's arguments are not those of a fetch".to_owned()))?;
    let parsed = args.refspecs.iter().map(|text| Refspec::parse(text));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(error.to_string()))
}

fn result(report: &FetchReport) -> Value {
    json!({
        "recloned": report.recloned.map(leasectl_repo::RecloneReason::as_str),
        "default_branch": report.default_branch,
        "head": report.head,
        "refs_created": report.refs_created,
        "refs_updated": report.refs_updated,
        "refs_deleted": report.refs_deleted,
        "bytes_received": report.bytes_received,
    })
}

/// The same code and text, in the words of jobs.
fn job_error(error: &RepoError) -> JobError {
    tracing::debug!(error = outage::chain(error), "fetch failed");
    let name: StrDeserializer<'_, serde::de::value::Error> = error.code().into_deserializer();
    let code = ErrorCode::deserialize(name).unwrap_or(ErrorCode::RepoUnavailable);
    if error.retryable() {
        JobError::retryable(code, error.to_string())
    } else {
        JobError::permanent(code, error.to_string())
    }
}

/// Passes a fetch's progress on.
struct Reporting<'a> {
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

    #[test]
    fn no_refspecs_means_the_default_ones() {
        assert_eq!(refspecs(&json!({})).unwrap().len(), 0);
        let given = refspecs(&json!({"refspecs": ["+refs/heads/*:refs/heads/*"]}));
        assert_eq!(given.unwrap().len(), 1);
    }

    #[test]
    fn arguments_that_got_past_the_door_are_refused_here() {
        for args in [
            json!({"refspecs": ["--upload-pack=x"]}),
            json!({"refspecs": 1}),
        ] {
            let error = refspecs(&args).unwrap_err();
            assert_eq!(
                (error.code, error.retryable),
                (ErrorCode::InvalidArgument, false)
            );
        }
    }
}
