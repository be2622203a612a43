//! Claiming: taking ready jobs' leases, in batches, in one statement.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{ClaimedJob, Lease, LeaseSettings};
use crate::database::{Client, DatabaseError};
use crate::ids::{Owner, Token};
use crate::kind::Lane;
use crate::time::{BootInstant, seconds};

/// What a worker is free to take.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    /// Free slots of each lane.
    pub slots: &'a [(Lane, usize)],
    /// The kinds that the worker runs.
    pub kinds: &'a [&'a str],
}

/// Claims the most urgent ready jobs, up to the free slots of each lane.
///
/// # Errors
/// When the database is away. The claim may have happened all the same: such a lease has no
/// holder, and others take it over when it is stale.
pub async fn claim(
    client: &Client,
    owner: &Owner,
    settings: &LeaseSettings,
    request: &ClaimRequest<'_>,
) -> Result<Vec<Lease>, DatabaseError> {
    let (sent, rows) = take(client, include_str!("claim.sql"), owner, settings, request).await?;
    rows.iter().map(|row| lease(row, owner, sent)).collect()
}

/// Sends a claiming statement; both take the same parameters. Rows come most urgent first.
pub(super) async fn take(
    client: &Client,
    statement: &str,
    owner: &Owner,
    settings: &LeaseSettings,
    request: &ClaimRequest<'_>,
) -> Result<(BootInstant, Vec<Row>), DatabaseError> {
    let statement = client.prepare_cached(statement).await?;
    let (lanes, free): (Vec<&str>, Vec<i64>) = request
        .slots
        .iter()
        .map(|(lane, free)| (lane.as_str(), i64::try_from(*free).unwrap_or(i64::MAX)))
        .unzip();
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &lanes,
        &free,
        &request.kinds,
        &owner.as_str(),
        &seconds(settings.heartbeat_interval()),
        &seconds(settings.stale_after()),
        &seconds(settings.ttl()),
    ];
    let sent = BootInstant::now();
    let mut rows = client.query(&statement, &parameters).await?;
    rows.sort_by_key(|row| (row.get::<_, i16>("rank"), row.get::<_, i64>("seq")));
    Ok((sent, rows))
}

/// Mints a lease from a row of a claiming statement.
pub(super) fn lease(row: &Row, owner: &Owner, sent: BootInstant) -> Result<Lease, DatabaseError> {
    let lane: &str = row.get("lane");
    Ok(Lease {
        job: ClaimedJob {
            id: row.get::<_, uuid::Uuid>("id").into(),
            repo_id: row.get::<_, uuid::Uuid>("repo_id").into(),
            kind: row.get("kind"),
            lane: lane
                .parse()
                .map_err(|_| DatabaseError::UnknownValue(lane.to_owned()))?,
            args: row.get("args"),
            attempt: row.get("attempt"),
            max_attempts: row.get("max_attempts"),
            ready_at: row.get("ready_at"),
            claimed_at: row.get("claimed_at"),
        },
        owner: owner.clone(),
        token: Token::new(row.get("lease_token")),
        trusted_from: sent,
    })
}
