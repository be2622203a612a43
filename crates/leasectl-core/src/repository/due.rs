//! Fetching unasked: which repositories are due by their own interval.

use uuid::Uuid;

use crate::database::{Client, DatabaseError};
use crate::ids::RepoId;

/// The most repositories that one look returns.
const BATCH: i64 = 500;

/// Repositories whose `fetch_every` has passed since a fetch was last asked for.
///
/// Two workers that look at the same time may both enqueue: equal jobs are merged.
///
/// # Errors
/// When the database is away.
pub async fn due_for_fetch(client: &Client) -> Result<Vec<RepoId>, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("due_for_fetch.sql"))
        .await?;
    let rows = client.query(&statement, &[&BATCH]).await?;
    Ok(rows
        .iter()
        .map(|row| row.get::<_, Uuid>("id").into())
        .collect())
}
