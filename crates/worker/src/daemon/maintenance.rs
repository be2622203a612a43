//! What every worker does for all of them: buries jobs that may not run again and sweeps the lanes
//! when a look says so, asks for the fetches that are due, keeps the history's partitions, and forgets old
//! deliveries of webhooks.
//!
//! Every statement here skips what another worker has locked, so many workers may do it at once.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::database::{Client, DatabaseError};
use leasectl_core::job;
use leasectl_core::kind::{FETCH, Lane};
use leasectl_core::{lease, repository, wakeup, webhook};
use tokio::sync::Notify;

use super::metrics;
use super::seniority::until_own_turn;
use super::shared::Shared;

/// How often the history's partitions are looked after.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often the seniors look for due fetches, the others less often; a repository's own interval is counted in
/// minutes.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(15);

/// Buries and sweeps whenever a look said so, until the future is dropped.
pub(crate) async fn sweep(shared: Arc<Shared>, wanted: Arc<Notify>) {
    let mut outage = shared
        .outages
        .watch("sweep", 2 * shared.settings.poll_interval);
    loop {
        wanted.notified().await;
        match sweep_once(&shared).await {
            Ok(()) => outage.over(),
            Err(error) => {
                tokio::time::sleep(outage.failed(&error)).await;
                wanted.notify_one();
            }
        }
    }
}

/// Asks for the fetches that are due until the future is dropped.
pub(crate) async fn schedule(shared: Arc<Shared>) {
    let mut outage = shared.outages.watch("schedule", SCHEDULE_INTERVAL);
    loop {
        let asked = shared.answer(ask_for_fetches(&shared)).await;
        let asked = asked.unwrap_or(Err(DatabaseError::NoAnswer));
        let one_interval = || tokio::time::sleep(SCHEDULE_INTERVAL);
        tokio::time::sleep(outage.pause(asked, SCHEDULE_INTERVAL)).await;
        until_own_turn(|| shared.liveness.older(), one_interval).await;
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
        let kept = match kept {
            Ok(_) => forget_deliveries(&shared).await,
            Err(error) => Err(error),
        };
        tokio::time::sleep(outage.pause(kept, RETENTION_INTERVAL)).await;
    }
}

async fn forget_deliveries(shared: &Shared) -> Result<(), DatabaseError> {
    let forgotten = webhook::forget_deliveries(&shared.database, webhook::REMEMBERED);
    let forgotten = shared.answer(forgotten).await;
    let forgotten = forgotten.unwrap_or(Err(DatabaseError::NoAnswer))?;
    tracing::debug!(forgotten, "deliveries of webhooks");
    Ok(())
}

async fn sweep_once(shared: &Shared) -> Result<(), DatabaseError> {
    let client = shared.client_to_take_over().await?;
    let swept = shared.answer(sweep_over(shared, &client)).await;
    shared.heard(client, swept)
}

async fn sweep_over(shared: &Shared, client: &Client) -> Result<(), DatabaseError> {
    let mut lanes = Vec::new();
    for buried in lease::bury(client).await? {
        tracing::warn!(
            job = %buried.job_id, kind = buried.kind, lane = %buried.lane, state = buried.state,
            from_owner = %buried.owner, "ended a job whose lease was over and that may not run again"
        );
        // At once: should the sweep fail, nothing tells of this lane before the next poll.
        shared.hints.give([buried.lane]);
        lanes.push(buried.lane);
    }
    lanes.extend(lease::sweep(client).await?.promoted);
    tell(shared, client, &lanes).await
}

/// Tells this worker and the others of lanes that have ready jobs now: younger ones look less often.
async fn tell(shared: &Shared, client: &Client, lanes: &[Lane]) -> Result<(), DatabaseError> {
    let lanes: Vec<_> = Lane::ALL
        .into_iter()
        .filter(|lane| lanes.contains(lane))
        .collect();
    shared.hints.give(lanes.iter().copied());
    wakeup::announce(client, &lanes).await
}

/// Enqueues a fetch for each repository that is due.
async fn ask_for_fetches(shared: &Shared) -> Result<(), DatabaseError> {
    let mut client = shared.database.client().await?;
    loop {
        let due = repository::ask_for_due_fetches(&mut client).await?;
        for repo in &due.asked {
            metrics::enqueued(FETCH.name);
            tracing::debug!(%repo, "a fetch is due");
        }
        if !due.asked.is_empty() {
            tell(shared, &client, &[FETCH.lane]).await?;
        }
        if !due.is_full() {
            return Ok(());
        }
    }
}
