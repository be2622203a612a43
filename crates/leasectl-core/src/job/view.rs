//! A job as users see it (contract §4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio_postgres::Row;

use crate::database::DatabaseError;
use crate::failure::JobError;
use crate::ids::{JobId, RepoId};
use crate::lease::Progress;
use crate::time::Timestamp;

/// The state of a job as users see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PublicState {
    /// Ready, or not before a time.
    Queued,
    /// Its lane is busy.
    Waiting,
    /// A worker holds its lease.
    Running,
    /// Done.
    Completed,
    /// Failed for good.
    Error,
    /// Stopped because somebody asked.
    Cancelled,
}

/// The text names no state.
#[derive(Debug, Error)]
#[error(
    "there is no state {0:?}; states are queued, waiting, running, completed, error and cancelled"
)]
pub struct UnknownState(pub String);

impl PublicState {
    const ALL: [Self; 6] = [
        Self::Queued,
        Self::Waiting,
        Self::Running,
        Self::Completed,
        Self::Error,
        Self::Cancelled,
    ];

    /// The state's name in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job is over.
    #[must_use]
    pub fn is_finished(self) -> bool {
        match self {
            Self::Completed | Self::Error | Self::Cancelled => true,
            Self::Queued | Self::Waiting | Self::Running => false,
        }
    }

    pub(crate) fn from_sql_name(name: &str) -> Result<Self, DatabaseError> {
        name.parse()
            .map_err(|UnknownState(name)| DatabaseError::UnknownValue(name))
    }
}

impl FromStr for PublicState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.chars().take(64).collect()))
    }
}

impl fmt::Display for PublicState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A running job's lease.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseView {
    /// Who holds it.
    pub owner: String,
    /// The fencing token.
    pub token: i64,
    /// When it was claimed.
    pub acquired_at: Timestamp,
    /// When its owner last proved to live.
    pub heartbeat_at: Timestamp,
    /// When it ends unless the handler makes progress.
    pub expires_at: Timestamp,
}

/// One attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptView {
    /// Its number, from 1. A released attempt is not counted, so a number may come twice.
    pub attempt: i16,
    /// Who made it.
    pub owner: String,
    /// The fencing token.
    pub token: i64,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it ended; null while it runs.
    pub finished_at: Option<Timestamp>,
    /// `completed`, `failed`, `cancelled`, `released` or `lost`; null while it runs.
    pub outcome: Option<String>,
    /// Why it failed.
    pub error: Option<JobError>,
}

/// A job as users see it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// Its repository.
    pub repo_id: RepoId,
    /// The repository's name; null once it was removed.
    pub repo: Option<String>,
    /// Its kind.
    pub kind: String,
    /// Its lane.
    pub lane: String,
    /// Canonical arguments.
    pub args: Value,
    /// −100 to 100, higher is sooner.
    pub priority: i16,
    /// Where it stands.
    pub state: PublicState,
    /// Attempts so far.
    pub attempt: i16,
    /// Attempts at most.
    pub max_attempts: i16,
    /// It does not start earlier.
    pub not_before: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What its handler is doing.
    pub message: Option<String>,
    /// How far its handler is.
    pub progress: Option<Progress>,
    /// What came of it.
    pub result: Option<Value>,
    /// Why its last attempt failed.
    pub last_error: Option<JobError>,
    /// Its lease while it runs.
    pub lease: Option<LeaseView>,
    /// Its attempts, oldest first; the newest 50.
    pub attempts: Vec<AttemptView>,
}

impl JobView {
    /// Reads a row of `leasectl.job_status`.
    pub(super) fn from_row(row: &Row) -> Result<Self, DatabaseError> {
        let lease = row
            .get::<_, Option<String>>("lease_owner")
            .map(|owner| LeaseView {
                owner,
                token: row.get("lease_token"),
                acquired_at: row.get("lease_acquired_at"),
                heartbeat_at: row.get("lease_heartbeat_at"),
                expires_at: row.get("lease_expires_at"),
            });
        Ok(Self {
            id: row.get::<_, uuid::Uuid>("id").into(),
            repo_id: row.get::<_, uuid::Uuid>("repo_id").into(),
            repo: row.get("repo"),
            kind: row.get("kind"),
            lane: row.get("lane"),
            args: row.get("args"),
            priority: row.get("priority"),
            state: PublicState::from_sql_name(row.get("state"))?,
            attempt: row.get("attempt"),
            max_attempts: row.get("max_attempts"),
            not_before: row.get("not_before"),
            created_at: row.get("created_at"),
            started_at: row.get("started_at"),
            finished_at: row.get("finished_at"),
            message: row.get("message"),
            progress: read_json(row.get("progress"))?,
            result: row.get("result"),
            last_error: read_json(row.get("last_error"))?,
            lease,
            attempts: read_json(row.get("attempts"))?.unwrap_or_default(),
        })
    }
}

/// Reads a JSON column into its type.
pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(
    column: Option<Value>,
) -> Result<Option<T>, DatabaseError> {
    column
        .map(|value| {
            serde_json::from_value(value)
                .map_err(|error| DatabaseError::UnknownValue(error.to_string()))
        })
        .transpose()
}
