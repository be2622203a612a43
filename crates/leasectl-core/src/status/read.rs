//! Reads the parts of the status.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::{LeaseStatus, QueueStatus, WorkerStatus};
use crate::database::DatabaseError;
use crate::ids::RepoId;
use crate::job::read_json;

pub(super) async fn workers(
    client: &impl GenericClient,
) -> Result<Vec<WorkerStatus>, DatabaseError> {
    let statement = client.prepare_cached(include_str!("workers.sql")).await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(WorkerStatus {
                owner: row.get("owner"),
                hostname: row.get("hostname"),
                pid: row.get("pid"),
                version: row.get("version"),
                state: row.get("state"),
                started_at: row.get("started_at"),
                heartbeat_at: row.get("heartbeat_at"),
                kinds: read_json(row.get("kinds"))?.unwrap_or_default(),
                leases: row.get("leases"),
                liveness: row.get("liveness"),
            })
        })
        .collect()
}

pub(super) async fn leases(
    client: &impl GenericClient,
    repo: Option<RepoId>,
) -> Result<Vec<LeaseStatus>, DatabaseError> {
    let statement = client.prepare_cached(include_str!("leases.sql")).await?;
    let rows = client
        .query(&statement, &[&repo.map(RepoId::as_uuid)])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(LeaseStatus {
                job_id: row.get::<_, Uuid>("job_id").into(),
                repo_id: row.get::<_, Uuid>("repo_id").into(),
                repo: row.get("repo"),
                kind: row.get("kind"),
                lane: row.get("lane"),
                owner: row.get("owner"),
                token: row.get("token"),
                attempt: row.get("attempt"),
                acquired_at: row.get("acquired_at"),
                heartbeat_at: row.get("heartbeat_at"),
                expires_at: row.get("expires_at"),
                state: row.get("state"),
                message: row.get("message"),
                progress: read_json(row.get("progress"))?,
            })
        })
        .collect()
}

pub(super) async fn queue(
    client: &impl GenericClient,
    repo: Option<RepoId>,
) -> Result<Vec<QueueStatus>, DatabaseError> {
    let statement = client.prepare_cached(include_str!("queue.sql")).await?;
    let rows = client
        .query(&statement, &[&repo.map(RepoId::as_uuid)])
        .await?;
    Ok(rows
        .iter()
        .map(|row| QueueStatus {
            kind: row.get("kind"),
            queued: row.get("queued"),
            scheduled: row.get("scheduled"),
            waiting: row.get("waiting"),
            running: row.get("running"),
            error_24h: row.get("error_24h"),
            oldest_queued_at: row.get("oldest_queued_at"),
        })
        .collect())
}
