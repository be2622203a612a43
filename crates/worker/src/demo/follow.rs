//! Following one job until something is true of it.

use std::time::Duration;

use leasectl_core::ids::JobId;
use leasectl_core::job::{self, EnqueueRequest, JobFilter, JobView, PublicState, enqueue};
use leasectl_core::kind::{CanonicalArgs, INDEX, KindSpec};
use leasectl_core::wakeup;
use tokio::time::MissedTickBehavior;

use super::stage::Stage;
use super::story::Story;
use crate::cli::{CommandError, Exit, describe_job};

/// How often the job is looked at; takeover is measured with this grain.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Accepts a job for the demo's repository.
pub(crate) async fn enqueue_job(
    stage: &Stage,
    kind: &KindSpec,
    args: CanonicalArgs,
) -> Result<JobId, CommandError> {
    let request = EnqueueRequest::new(stage.repository().id, kind, args);
    let accepted = enqueue(stage.database(), &[request]).await?;
    // A hint that saves the workers' next poll; the job is found without it.
    if let Ok(client) = stage.database().client().await {
        drop(wakeup::announce(&client, &[kind.lane]).await);
    }
    let first = accepted.first();
    first
        .map(|job| job.job_id)
        .ok_or_else(|| CommandError::new(Exit::Failed, "the database accepted no job"))
}

/// The index that a fetch had follow; nothing when the default branch had not moved.
pub(crate) async fn index_after(
    stage: &Stage,
    fetch: &JobView,
) -> Result<Option<JobId>, CommandError> {
    let indexes = JobFilter {
        repo_id: Some(fetch.repo_id),
        kind: Some(INDEX.name.to_owned()),
        state: None,
    };
    let newest = job::list(stage.database(), &indexes, 1, None).await?;
    let newest = newest.items.first();
    let follows = newest.filter(|index| index.created_at >= fetch.created_at);
    Ok(follows.map(|index| index.id))
}

/// Looks at the job until `enough` says so or the job is over, telling its progress.
///
/// `killed` is the owner that the demo itself ended.
pub(crate) async fn until(
    stage: &mut Stage,
    story: &mut Story<'_>,
    id: JobId,
    killed: Option<&str>,
    enough: impl Fn(&JobView) -> bool,
) -> Result<JobView, CommandError> {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let job = job::find(stage.database(), id)
            .await?
            .ok_or_else(|| CommandError::new(Exit::Failed, format!("job {id} is gone")))?;
        if enough(&job) || job.state.is_finished() {
            return Ok(job);
        }
        story.progress(&describe_job(&job))?;
        if let Some(fallen) = stage.fallen_worker(killed) {
            return Err(CommandError::new(Exit::Failed, fallen));
        }
    }
}

/// The job's success, or a failure that says why.
pub(crate) fn succeeded(job: &JobView) -> Result<(), CommandError> {
    if job.state == PublicState::Completed {
        return Ok(());
    }
    let cause = job
        .last_error
        .as_ref()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    Err(CommandError::new(
        Exit::JobEnded,
        format!("the {} ended as {}{cause}", job.kind, job.state),
    )
    .hint(format!("worker job show {} lists its attempts", job.id)))
}

/// What an index found, in one line.
pub(crate) fn indexed(job: &JobView) -> String {
    let result = job.result.clone().unwrap_or_default();
    let number = |name: &str| result[name].as_u64().unwrap_or(0);
    format!(
        "{} files, {} symbols; {} blobs extracted, {} known before",
        number("files"),
        number("symbols"),
        number("blobs_indexed"),
        number("blobs_reused"),
    )
}

/// What a backfill found, in one line.
pub(crate) fn backfilled(job: &JobView) -> String {
    let result = job.result.clone().unwrap_or_default();
    let number = |name: &str| result[name].as_u64().unwrap_or(0);
    match number("changes_total") {
        0 => "the remote offers no changes (pull or merge requests)".to_owned(),
        total => format!(
            "{total} changes; {} current, {} stale, {} failed",
            number("changes_current"),
            number("changes_stale"),
            number("changes_failed"),
        ),
    }
}

/// What a fetch found, in one line.
pub(crate) fn fetched(job: &JobView) -> String {
    let result = job.result.clone().unwrap_or_default();
    let number = |name: &str| result[name].as_u64().unwrap_or(0);
    let text = |name: &str| result[name].as_str().unwrap_or("none").to_owned();
    format!(
        "default branch {} at {}; {} refs created, {} updated, {} deleted; {} bytes received",
        text("default_branch"),
        text("head").chars().take(12).collect::<String>(),
        number("refs_created"),
        number("refs_updated"),
        number("refs_deleted"),
        number("bytes_received"),
    )
}
