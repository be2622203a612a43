//! Cancelling: ending a job that has not run, or asking a running one to stop.

use super::{PublicState, lookup, promote_lane_quietly};
use crate::database::{Database, DatabaseError};
use crate::ids::JobId;
use crate::wakeup;

/// What came of a cancellation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CancelOutcome {
    /// The job had not started; it is over.
    Cancelled,
    /// The job runs; its worker has been asked to stop it.
    Requested,
    /// The job was over already.
    AlreadyFinished(PublicState),
    /// There is no such job.
    NotFound,
}

/// How often a job is looked at that is just changing hands.
const TRIES: u32 = 10;

/// Cancels a job.
///
/// # Errors
/// When the database is away.
pub async fn cancel(database: &Database, id: JobId) -> Result<CancelOutcome, DatabaseError> {
    for _ in 1..TRIES {
        let outcome = try_cancel(database, id).await?;
        let changes_hands =
            matches!(outcome, CancelOutcome::AlreadyFinished(state) if !state.is_finished());
        if !changes_hands {
            return Ok(outcome);
        }
    }
    try_cancel(database, id).await
}

async fn try_cancel(database: &Database, id: JobId) -> Result<CancelOutcome, DatabaseError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(include_str!("cancel.sql")).await?;
    let Some(row) = client.query_opt(&statement, &[&id.as_uuid()]).await? else {
        drop(client);
        return Ok(match lookup::find(database, id).await? {
            Some(job) => CancelOutcome::AlreadyFinished(job.state),
            None => CancelOutcome::NotFound,
        });
    };
    if row.get("ended") {
        promote_lane_quietly(&client, row.get("repo_id"), row.get("lane")).await;
        Ok(CancelOutcome::Cancelled)
    } else {
        wakeup::announce_cancel(&client, id).await?;
        Ok(CancelOutcome::Requested)
    }
}
