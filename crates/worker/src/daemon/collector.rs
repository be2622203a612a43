//! Collects what of the index no ref has led to for a while, on behalf of all workers.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::database::DatabaseError;
use leasectl_core::index::{self, CollectCursor, Collected, IndexError};

use super::outage;
use super::shared::Shared;

/// How long what nothing names stays: a branch that comes back within it is not indexed again.
const GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// From the start of a worker to its first round; a deployment starts many.
const FIRST: Duration = Duration::from_secs(10 * 60);

/// Time between two rounds of one worker. One works at a time, the others find nothing to do.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(6 * 60 * 60);

/// Batches of one answer, and the pause after them.
const BATCHES: u32 = 20;
const BETWEEN_BATCHES: Duration = Duration::from_secs(1);

/// Collects round after round until the future is dropped.
pub(crate) async fn collect(shared: Arc<Shared>) {
    let mut outage = shared.outages.watch("collect", Duration::from_secs(60));
    let mut from = CollectCursor::default();
    let mut pause = outage.pause(Ok(()), FIRST);
    loop {
        tokio::time::sleep(pause).await;
        let part = collect_part(&shared, from).await;
        pause = match part {
            Ok(Some(next)) => {
                from = next;
                outage.pause(Ok(()), BETWEEN_BATCHES)
            }
            Ok(None) => {
                from = CollectCursor::default();
                outage.pause(Ok(()), BETWEEN_ROUNDS)
            }
            Err(error) => outage.pause(Err(error), BETWEEN_BATCHES),
        };
    }
}

async fn collect_part(
    shared: &Shared,
    from: CollectCursor,
) -> Result<Option<CollectCursor>, DatabaseError> {
    let collecting = async {
        match index::collect(&shared.database, GRACE, BATCHES, from).await {
            Ok(part) => Ok(part),
            Err(IndexError::Database(error)) => Err(error),
            Err(error) => {
                // The next round looks again.
                tracing::warn!(error = outage::chain(&error), "the index was not collected");
                Ok((Collected::default(), None))
            }
        }
    };
    let answer = shared.answer(collecting).await;
    let (done, next) = answer.unwrap_or(Err(DatabaseError::NoAnswer))?;
    if done.worktrees
        + done.roots
        + done.dirs
        + done.links
        + done.blobs
        + done.payloads
        + done.rulesets
        > 0
    {
        tracing::info!(
            worktrees = done.worktrees,
            trees = done.roots,
            dirs = done.dirs,
            links = done.links,
            blobs = done.blobs,
            payloads = done.payloads,
            rulesets = done.rulesets,
            "collected what no ref leads to any more"
        );
    }
    Ok(next)
}
