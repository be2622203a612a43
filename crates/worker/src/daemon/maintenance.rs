//! What every worker does for all of them: buries jobs that may not run again, sweeps the lanes,
//! finds cancel requests, asks for the fetches that are due, and keeps the history's partitions.
//!
//! Every statement here skips what another worker has locked, so many workers may do it at once.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::database::{Client, DatabaseError};
use leasectl_core::job::{self, EnqueueError, EnqueueRequest};
use leasectl_core::kind::{FETCH, Kinds};
use leasectl_core::{lease, repository};
use serde_json::json;

use super::outage::Outage;
use super::pacing::jittered;
use super::shared::Shared;

/// How often the history's partitions are looked after.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often due fetches are looked for; a repository's own interval is counted in minutes.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(5);

/// Sweeps at every poll until the future is dropped.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let poll_interval = shared.settings.poll_interval;
    let mut outage = shared.outages.watch("sweep", 2 * poll_interval);
    loop {
        let swept = sweep_once(&shared).await;
        tokio::time::sleep(next(&mut outage, swept, poll_interval)).await;
    }
}

/// Asks for the fetches that are due until the future is dropped.
pub(crate) async fn schedule(shared: Arc<Shared>) {
    let mut outage = shared.outages.watch("schedule", SCHEDULE_INTERVAL);
    loop {
        let asked = shared.answer(ask_for_fetches(&shared)).await;
        let asked = asked.unwrap_or(Err(DatabaseError::NoAnswer));
        tokio::time::sleep(next(&mut outage, asked, SCHEDULE_INTERVAL)).await;
    }
}

/// Looks after the history until the future is dropped.
pub(crate) async fn keep_history(shared: Arc<Shared>) {
    let mut outage = shared.outages.watch("retention", Duration::from_secs(60));
    loop {
        let kept = job::maintain(&shared.database, shared.settings.retention);
        let kept = shared.answer(kept).await;
        let kept = kept.unwrap_or(Err(DatabaseError::NoAnswer));
        if let Ok(kept) = &kept
            && (kept.created > 0 || kept.dropped > 0)
        {
            tracing::info!(
                created = kept.created,
                dropped = kept.dropped,
                "history partitions"
            );
        }
        let kept = kept.map(|_| ());
        tokio::time::sleep(next(&mut outage, kept, RETENTION_INTERVAL)).await;
    }
}

/// How long to wait after that answer.
fn next(outage: &mut Outage, answer: Result<(), DatabaseError>, interval: Duration) -> Duration {
    match answer {
        Ok(()) => {
            outage.over();
            jittered(interval, rand::random())
        }
        Err(error) => outage.failed(&error),
    }
}

async fn sweep_once(shared: &Shared) -> Result<(), DatabaseError> {
    let client = shared.database.client().await?;
    let swept = shared.answer(sweep_over(shared, &client)).await;
    shared.heard(client, swept)
}

async fn sweep_over(shared: &Shared, client: &Client) -> Result<(), DatabaseError> {
    for buried in lease::bury(client).await? {
        tracing::warn!(
            job = %buried.job_id, kind = buried.kind, lane = %buried.lane, state = buried.state,
            from_owner = %buried.owner, "ended a job whose lease was over and that may not run again"
        );
        shared.hints.give([buried.lane]);
    }
    shared.hints.give(lease::sweep(client).await?.promoted);
    for id in lease::cancel_requests(client, &shared.settings.owner).await? {
        shared.registry.cancel(id);
    }
    Ok(())
}

/// Enqueues a fetch for each repository whose own interval has passed.
async fn ask_for_fetches(shared: &Shared) -> Result<(), DatabaseError> {
    let due = {
        let client = shared.database.client().await?;
        repository::due_for_fetch(&client).await?
    };
    let Ok(args) = Kinds::standard().canonical_args(FETCH.name, &json!({})) else {
        return Ok(());
    };
    for repo in due {
        // One by one: a repository that was removed meanwhile must not hold up the others.
        let request = EnqueueRequest::new(repo, &FETCH, args.clone());
        match job::enqueue(&shared.database, &[request]).await {
            Ok(enqueued) => {
                let job = enqueued
                    .first()
                    .map(|job| tracing::field::display(job.job_id));
                tracing::debug!(%repo, job, "a fetch is due");
                shared.hints.give([FETCH.lane]);
            }
            Err(EnqueueError::Database(error)) => return Err(error),
            Err(error) => tracing::debug!(%repo, %error, "a due fetch was not accepted"),
        }
    }
    Ok(())
}
