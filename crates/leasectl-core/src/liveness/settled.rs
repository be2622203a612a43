//! Whether deaths are told yet.

use crate::database::{Database, DatabaseError};

/// Whether the server runs long enough for a missing lock to count as a death.
///
/// # Errors
/// When the database is away.
pub async fn deaths_are_told(database: &Database) -> Result<bool, DatabaseError> {
    let client = database.client().await?;
    let row = client.query_one(include_str!("settled.sql"), &[]).await?;
    Ok(row.get(0))
}
