//! Retention: the history's partitions are made a week ahead and dropped when they are old.

use std::time::Duration;

use crate::database::{Database, DatabaseError};
use crate::time::seconds;

/// What a round of maintenance did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Maintained {
    /// Partitions made.
    pub created: i32,
    /// Partitions dropped.
    pub dropped: i32,
    /// Old rows deleted from the partition that catches stragglers.
    pub deleted: i64,
}

/// Makes the partitions of today and the next seven days, and drops what finished longer ago than
/// `retention`. Also forgets workers that were silent for a day.
///
/// # Errors
/// When the database is away, or a lock is not to be had in two seconds; the next round tries again.
pub async fn maintain(
    database: &Database,
    retention: Duration,
) -> Result<Maintained, DatabaseError> {
    let client = database.client().await?;
    let row = client
        .query_one(include_str!("maintain.sql"), &[&seconds(retention)])
        .await?;
    Ok(Maintained {
        created: row.get("created"),
        dropped: row.get("dropped"),
        deleted: row.get("deleted"),
    })
}
