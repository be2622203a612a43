//! Heartbeats: proof that an owner lives, for all its leases in one statement.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;

use super::settle::without_nul;
use super::{LeaseKey, LeaseSettings};
use crate::database::{Client, DatabaseError};
use crate::ids::{Owner, Token};
use crate::time::seconds;

/// How far a job is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, when that is known.
    pub total: Option<u64>,
    /// What is counted, such as `objects`.
    pub unit: String,
}

/// One lease's part of a tick.
#[derive(Clone, Debug)]
pub struct Beat {
    /// The lease.
    pub key: LeaseKey,
    /// Whether the handler advanced since the last beat; only that moves the expiry.
    pub advanced: bool,
    /// How far it is; none leaves what was said before.
    pub progress: Option<Progress>,
    /// What it is doing; none leaves what was said before.
    pub message: Option<String>,
}

/// What came back for a lease that is still held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BeatReply {
    /// The lease.
    pub key: LeaseKey,
    /// Somebody asked for the job to stop.
    pub cancel_requested: bool,
}

/// Beats for all leases at once, and waits for nobody. A lease without a reply is lost, and its handler
/// must stop, unless [`still_held`] says that somebody else had its row locked.
///
/// # Errors
/// When the database is away; that alone loses no lease.
pub async fn heartbeat(
    client: &Client,
    owner: &Owner,
    settings: &LeaseSettings,
    beats: &[Beat],
) -> Result<Vec<BeatReply>, DatabaseError> {
    let statement = client.prepare_cached(include_str!("heartbeat.sql")).await?;
    let ids: Vec<_> = beats.iter().map(|beat| beat.key.job_id.as_uuid()).collect();
    let tokens: Vec<_> = beats.iter().map(|beat| beat.key.token.get()).collect();
    let advanced: Vec<_> = beats.iter().map(|beat| beat.advanced).collect();
    let progress: Vec<Option<Value>> = beats
        .iter()
        .map(|beat| {
            beat.progress
                .as_ref()
                .and_then(|progress| serde_json::to_value(progress).ok())
                .map(without_nul)
        })
        .collect();
    let messages: Vec<_> = beats
        .iter()
        .map(|beat| beat.message.as_deref().map(clean))
        .collect();
    let rows = client
        .query(
            &statement,
            &[
                &owner.as_str(),
                &ids,
                &tokens,
                &advanced,
                &progress,
                &messages,
                &seconds(settings.ttl()),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| BeatReply {
            key: key_of(row),
            cancel_requested: row.get(2),
        })
        .collect())
}

/// Which leases are held among those that a beat did not renew: somebody else, such as an operator's
/// open transaction, has their rows locked. They want another beat soon; the others are lost.
///
/// # Errors
/// When the database is away.
pub async fn still_held(
    client: &Client,
    owner: &Owner,
    missing: &[LeaseKey],
) -> Result<Vec<LeaseKey>, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("heartbeat_missing.sql"))
        .await?;
    let (ids, tokens): (Vec<_>, Vec<_>) = missing
        .iter()
        .map(|key| (key.job_id.as_uuid(), key.token.get()))
        .unzip();
    let rows = client
        .query(&statement, &[&owner.as_str(), &ids, &tokens])
        .await?;
    Ok(rows.iter().map(key_of).collect())
}

/// The lease named by a row's first two columns.
fn key_of(row: &Row) -> LeaseKey {
    LeaseKey {
        job_id: row.get::<_, uuid::Uuid>(0).into(),
        token: Token::new(row.get(1)),
    }
}

/// PostgreSQL text holds no NUL, and a status line need not be long.
fn clean(message: &str) -> String {
    message.chars().filter(|c| *c != '\0').take(500).collect()
}
