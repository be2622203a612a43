//! Reclaiming: taking a dead owner's jobs back, and burying those that may not run again.

use std::fmt;

use super::claim::{lease, take};
use super::{ClaimRequest, Lease, LeaseSettings};
use crate::database::{Client, DatabaseError};
use crate::ids::{JobId, Owner, RepoId, Token};
use crate::kind::Lane;

/// The most jobs buried by one statement.
const BURY_LIMIT: i64 = 500;

/// Why a lease was over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReclaimReason {
    /// The owner stopped sending heartbeats.
    Stale,
    /// The handler made no progress until the lease expired.
    Expired,
    /// The owner's process was gone: its liveness lock was absent for its whole grace.
    Dead,
}

impl ReclaimReason {
    /// The reason's name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Expired => "expired",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for ReclaimReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A job that changed hands.
#[must_use = "it carries a lease"]
#[derive(Debug)]
pub struct Reclaimed {
    /// The new lease.
    pub lease: Lease,
    /// Who held it before.
    pub from_owner: Owner,
    /// The token that is void now.
    pub from_token: Token,
    /// Why it was over.
    pub reason: ReclaimReason,
}

/// A job that ended because it may not run again.
#[derive(Clone, Debug)]
pub struct Buried {
    /// The job.
    pub job_id: JobId,
    /// Its repository.
    pub repo_id: RepoId,
    /// Its kind.
    pub kind: String,
    /// The lane that is free now.
    pub lane: Lane,
    /// Who held it last.
    pub owner: Owner,
    /// `error` or `cancelled`.
    pub state: String,
}

/// Takes over jobs whose lease is over, up to the free slots of each lane.
///
/// # Errors
/// When the database is away.
pub async fn reclaim(
    client: &Client,
    owner: &Owner,
    settings: &LeaseSettings,
    request: &ClaimRequest<'_>,
) -> Result<Vec<Reclaimed>, DatabaseError> {
    let (sent, rows) = take(
        client,
        include_str!("reclaim.sql"),
        owner,
        settings,
        request,
        &[],
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Reclaimed {
                lease: lease(row, owner, sent)?,
                from_owner: row.get::<_, String>("from_owner").into(),
                from_token: Token::new(row.get("from_token")),
                reason: match row.get("reason") {
                    "dead" => ReclaimReason::Dead,
                    "expired" => ReclaimReason::Expired,
                    _ => ReclaimReason::Stale,
                },
            })
        })
        .collect()
}

/// Ends jobs whose lease is over and that may not run again, and promotes what waited behind them.
///
/// # Errors
/// When the database is away.
pub async fn bury(client: &Client) -> Result<Vec<Buried>, DatabaseError> {
    let statement = client.prepare_cached(include_str!("bury.sql")).await?;
    let rows = client.query(&statement, &[&BURY_LIMIT]).await?;
    let buried = rows
        .iter()
        .map(|row| {
            let lane: &str = row.get("lane");
            Ok(Buried {
                job_id: row.get::<_, uuid::Uuid>("id").into(),
                repo_id: row.get::<_, uuid::Uuid>("repo_id").into(),
                kind: row.get("kind"),
                lane: lane
                    .parse()
                    .map_err(|_| DatabaseError::UnknownValue(lane.to_owned()))?,
                owner: row.get::<_, String>("owner").into(),
                state: row.get("state"),
            })
        })
        .collect::<Result<Vec<_>, DatabaseError>>()?;
    if !buried.is_empty() {
        let lanes: Vec<_> = buried.iter().map(|job| (job.repo_id, job.lane)).collect();
        super::promote(client, &lanes).await?;
    }
    Ok(buried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_the_same_in_metrics_and_logs() {
        for (reason, name) in [
            (ReclaimReason::Stale, "stale"),
            (ReclaimReason::Expired, "expired"),
            (ReclaimReason::Dead, "dead"),
        ] {
            assert_eq!(reason.as_str(), name);
            assert_eq!(reason.to_string(), name);
        }
    }
}
