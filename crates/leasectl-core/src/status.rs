//! Who holds which lease, and what waits: the three parts of `worker status` (contract §2).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::database::{Client, Database, DatabaseError};
use crate::ids::{JobId, RepoId};
use crate::job::PublicState;
use crate::lease::Progress;
use crate::time::Timestamp;

mod read;

/// Everything that `worker status` shows, read at one moment.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The database's clock.
    pub now: Timestamp,
    /// Workers.
    pub workers: Vec<WorkerStatus>,
    /// Leases that are held.
    pub leases: Vec<LeaseStatus>,
    /// What waits, by kind.
    pub queue: Vec<QueueStatus>,
}

/// One worker.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerStatus {
    /// Its incarnation.
    pub owner: String,
    /// The host it runs on.
    pub hostname: String,
    /// Its process id there.
    pub pid: i32,
    /// The release it runs.
    pub version: String,
    /// `live`, `draining`, `stale` (silent) or `dead` (its process is gone, or it is silent and nothing
    /// of it is left).
    pub state: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last proved to live.
    pub heartbeat_at: Timestamp,
    /// How many jobs of each lane it runs at once.
    pub kinds: BTreeMap<String, usize>,
    /// How many leases it holds.
    pub leases: i32,
    /// What decides that it is dead: `session` or `heartbeat`.
    pub liveness: String,
}

/// One lease.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseStatus {
    /// The job.
    pub job_id: JobId,
    /// Its repository.
    pub repo_id: RepoId,
    /// The repository's name; null once it was removed.
    pub repo: Option<String>,
    /// The job's kind.
    pub kind: String,
    /// The lane that the lease protects.
    pub lane: String,
    /// Who holds it.
    pub owner: String,
    /// The fencing token.
    pub token: i64,
    /// Which attempt it is.
    pub attempt: i16,
    /// When it was claimed.
    pub acquired_at: Timestamp,
    /// When its owner last proved to live.
    pub heartbeat_at: Timestamp,
    /// When it ends unless the handler makes progress.
    pub expires_at: Timestamp,
    /// `live`, `stale` or `expired`.
    pub state: String,
    /// What the handler is doing.
    pub message: Option<String>,
    /// How far it is.
    pub progress: Option<Progress>,
}

/// The queue of one kind.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueStatus {
    /// The kind.
    pub kind: String,
    /// Jobs that can be claimed now.
    pub queued: i64,
    /// Jobs that are delayed or back off.
    pub scheduled: i64,
    /// Jobs whose lane is busy.
    pub waiting: i64,
    /// Jobs that a worker holds.
    pub running: i64,
    /// Jobs that ended in `error` in the last 24 hours.
    pub error_24h: i64,
    /// When the oldest claimable job was accepted.
    pub oldest_queued_at: Option<Timestamp>,
}

impl QueueStatus {
    /// How many jobs are in a state of the metrics' `state` label.
    #[must_use]
    pub fn in_state(&self, state: PublicState) -> i64 {
        match state {
            PublicState::Queued => self.queued + self.scheduled,
            PublicState::Waiting => self.waiting,
            PublicState::Running => self.running,
            PublicState::Error => self.error_24h,
            PublicState::Completed | PublicState::Cancelled => 0,
        }
    }
}

/// Reads all parts in one snapshot. With a repository: only its leases and its queue.
///
/// # Errors
/// When the database is away.
pub async fn status(database: &Database, repo: Option<RepoId>) -> Result<Status, DatabaseError> {
    let mut client = database.client().await?;
    let transaction = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let now = transaction.query_one("select now()", &[]).await?.get(0);
    let workers = read::workers(&transaction).await?;
    let leases = read::leases(&transaction, repo).await?;
    let queue = read::queue(&transaction, repo).await?;
    transaction.commit().await?;
    Ok(Status {
        now,
        workers,
        leases,
        queue,
    })
}

/// Workers, oldest first.
///
/// # Errors
/// When the database is away.
pub async fn workers(client: &Client) -> Result<Vec<WorkerStatus>, DatabaseError> {
    read::workers(client).await
}

/// Leases, oldest first.
///
/// # Errors
/// When the database is away.
pub async fn leases(client: &Client) -> Result<Vec<LeaseStatus>, DatabaseError> {
    read::leases(client, None).await
}

/// The queue, by kind.
///
/// # Errors
/// When the database is away.
pub async fn queue(client: &Client) -> Result<Vec<QueueStatus>, DatabaseError> {
    read::queue(client, None).await
}
