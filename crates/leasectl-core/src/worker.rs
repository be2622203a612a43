//! Workers as the database knows them: one row for each process incarnation.

use std::collections::BTreeMap;

use tokio_postgres::types::Json;

use crate::database::{Client, DatabaseError};
use crate::ids::{Owner, host_name};
use crate::lease::LeaseSettings;
use crate::time::seconds;

/// What decides that a worker is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liveness {
    /// Its heartbeats alone.
    Heartbeat,
}

impl Liveness {
    /// The mode's name in SQL, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct WorkerRecord {
    /// Its incarnation.
    pub owner: Owner,
    /// The release that it runs.
    pub version: String,
    /// How many jobs of each lane it runs at once.
    pub kinds: BTreeMap<String, usize>,
    /// Its timing.
    pub settings: LeaseSettings,
    /// What decides that it is dead.
    pub liveness: Liveness,
}

/// Writes a worker's row, or writes it again after it was forgotten, and beats for it.
///
/// # Errors
/// When the database is away.
pub async fn beat(
    client: &Client,
    record: &WorkerRecord,
    draining: bool,
) -> Result<(), DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("worker/beat.sql"))
        .await?;
    client
        .execute(
            &statement,
            &[
                &record.owner.as_str(),
                &host_name(),
                &i32::try_from(std::process::id()).unwrap_or(i32::MAX),
                &record.version,
                &draining,
                &seconds(record.settings.heartbeat_interval()),
                &seconds(record.settings.stale_after()),
                &Json(&record.kinds),
                &record.liveness.as_str(),
            ],
        )
        .await?;
    Ok(())
}

/// Removes the row of a worker that ends in order.
///
/// # Errors
/// When the database is away; the row is then swept after a day.
pub async fn deregister(client: &Client, owner: &Owner) -> Result<(), DatabaseError> {
    client
        .execute(include_str!("worker/deregister.sql"), &[&owner.as_str()])
        .await?;
    Ok(())
}
