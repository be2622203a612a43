//! Workers as the database knows them: one row for each process incarnation.

use std::collections::BTreeMap;

use tokio_postgres::types::Json;

use crate::database::{Client, DatabaseError};
use crate::ids::{Owner, host_name};
use crate::lease::LeaseSettings;
use crate::liveness::{DeathGrace, LivenessKey};
use crate::time::seconds;

/// Why a worker that claims to hold its lock is judged by its heartbeats all the same.
const LOCK_LOST: &str = "the liveness lock was not held when the worker last wrote its row";

/// What decides that a worker is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liveness {
    /// The lock that it holds on its liveness session, and its heartbeats.
    Session,
    /// Its heartbeats alone.
    Heartbeat,
}

impl Liveness {
    /// The mode's name in SQL, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
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
    /// How long its liveness lock may be absent; nothing switches the death signal off.
    pub death_grace: Option<DeathGrace>,
}

/// What a worker says of its liveness lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockClaim {
    /// It holds the lock with this key, or did a moment ago; the database looks.
    Key(LivenessKey),
    /// It holds none, for this reason.
    None(&'static str),
}

/// Writes a worker's row, or writes it again after it was forgotten, and beats for it. Answers what
/// decides from now on that it is dead.
///
/// # Errors
/// When the database is away.
pub async fn beat(
    client: &Client,
    record: &WorkerRecord,
    draining: bool,
    lock: LockClaim,
) -> Result<Liveness, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("worker/beat.sql"))
        .await?;
    let (key, reason) = match lock {
        LockClaim::Key(key) => (Some(key.get()), LOCK_LOST),
        LockClaim::None(reason) => (None, reason),
    };
    let row = client
        .query_one(
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
                &key,
                &record.death_grace.map(|grace| seconds(grace.get())),
                &reason,
            ],
        )
        .await?;
    match row.get("liveness") {
        "session" => Ok(Liveness::Session),
        _ => Ok(Liveness::Heartbeat),
    }
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

/// Live workers that are judged by their heartbeats alone, and why, oldest first.
///
/// # Errors
/// When the database is away, or its schema is older than this program.
pub async fn without_session(client: &Client) -> Result<Vec<(Owner, String)>, DatabaseError> {
    let sql = include_str!("worker/without_session.sql");
    let rows = client.query(sql, &[]).await?;
    let workers = rows.iter();
    Ok(workers
        .map(|row| (row.get::<_, String>("owner").into(), row.get("reason")))
        .collect())
}
