//! Retrying: running a finished job again.

use super::{PublicState, lookup, promote_lane_quietly};
use crate::database::{Database, DatabaseError};
use crate::ids::JobId;

/// What came of a retry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryOutcome {
    /// The job is live again, with five more attempts.
    Accepted,
    /// The job is not over.
    NotFinished(PublicState),
    /// There is no such job, or it is older than the retention.
    NotFound,
}

/// Moves a finished job back to its lane. It keeps its id and its attempts.
///
/// # Errors
/// When the database is away.
pub async fn retry(database: &Database, id: JobId) -> Result<RetryOutcome, DatabaseError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(include_str!("retry.sql")).await?;
    let Some(row) = client.query_opt(&statement, &[&id.as_uuid()]).await? else {
        drop(client);
        return Ok(match lookup::find(database, id).await? {
            Some(job) => RetryOutcome::NotFinished(job.state),
            None => RetryOutcome::NotFound,
        });
    };
    promote_lane_quietly(&client, row.get("repo_id"), row.get("lane")).await;
    Ok(RetryOutcome::Accepted)
}
