//! A repository's synchronisation diagnostics (contract §4). Unknown is null, never a guess.

use leasectl_remote::RepoName;
use serde::Serialize;
use tokio_postgres::Row;

use crate::database::{Database, DatabaseError};
use crate::failure::JobError;
use crate::ids::RepoId;
use crate::job::read_json;
use crate::time::Timestamp;

/// How many of a repository's finished jobs are looked at: what older ones tell is unknown. A repository of which
/// nothing changes has fewer in a week, even if it is to be fetched every minute.
const LOOKED_AT: i64 = 2_000;

/// Where a repository's synchronisation stands.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(
    missing_docs,
    reason = "the names are the contract's, and say what they hold"
)]
pub struct ChangeStatus {
    pub repository_id: RepoId,
    pub full_name: String,
    /// Whether a fetch was asked for and has not succeeded since; null when none was ever asked for.
    pub dirty: Option<bool>,
    pub dirty_since: Option<Timestamp>,
    /// To the second: of a storm of deliveries not every one is written here.
    pub last_webhook_at: Option<Timestamp>,
    pub last_requested_fetch_at: Option<Timestamp>,
    pub last_fetch_started_at: Option<Timestamp>,
    pub last_fetch_finished_at: Option<Timestamp>,
    pub last_successful_fetch_at: Option<Timestamp>,
    pub last_index_started_at: Option<Timestamp>,
    pub last_index_finished_at: Option<Timestamp>,
    pub last_backfill_started_at: Option<Timestamp>,
    pub last_backfill_finished_at: Option<Timestamp>,
    /// When a pass last came to the end of all changes.
    pub last_open_pr_scan_at: Option<Timestamp>,
    pub backfill_mode: Option<String>,
    pub backfill_priority: Option<i16>,
    pub fetch_lease_owner_id: Option<String>,
    pub fetch_lease_heartbeat_at: Option<Timestamp>,
    pub fetch_lease_expires_at: Option<Timestamp>,
    pub index_lease_owner_id: Option<String>,
    pub index_lease_heartbeat_at: Option<Timestamp>,
    pub index_lease_expires_at: Option<Timestamp>,
    pub backfill_lease_owner_id: Option<String>,
    pub backfill_lease_heartbeat_at: Option<Timestamp>,
    pub backfill_lease_expires_at: Option<Timestamp>,
    pub stack_lease_owner_id: Option<String>,
    pub stack_lease_heartbeat_at: Option<Timestamp>,
    pub stack_lease_expires_at: Option<Timestamp>,
    pub fetch_in_progress: bool,
    pub index_in_progress: bool,
    pub backfill_in_progress: bool,
    pub stack_in_progress: bool,
    /// Changes that are not known to be closed: the next three together.
    pub open_pr_total: Option<i64>,
    pub open_pr_current: Option<i64>,
    /// Studied, and not current: other heads, or studying them failed.
    pub open_pr_stale: Option<i64>,
    /// Not studied yet, so that they may be closed.
    pub open_pr_missing: Option<i64>,
    /// How far the pass has come: at its end the last change.
    pub open_pr_cursor_number: Option<i64>,
    pub open_pr_cursor_updated_at: Option<Timestamp>,
    pub last_error: Option<JobError>,
}

/// A lane's lease as the diagnostics show it.
#[derive(Clone, PartialEq, Debug, Default)]
struct LaneLease {
    owner: Option<String>,
    heartbeat_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

/// The diagnostics of the repository of that name.
///
/// # Errors
/// When the database is away.
pub async fn change_status(
    database: &Database,
    name: &RepoName,
) -> Result<Option<ChangeStatus>, DatabaseError> {
    let client = database.client().await?;
    let statement = client
        .prepare_cached(include_str!("change_status.sql"))
        .await?;
    let row = client
        .query_opt(&statement, &[&name.as_str(), &LOOKED_AT])
        .await?;
    row.as_ref().map(from_row).transpose()
}

fn from_row(row: &Row) -> Result<ChangeStatus, DatabaseError> {
    let lane = |lane: &str| LaneLease {
        owner: row.get(format!("{lane}_owner").as_str()),
        heartbeat_at: row.get(format!("{lane}_heartbeat_at").as_str()),
        expires_at: row.get(format!("{lane}_expires_at").as_str()),
    };
    let (fetch, index, backfill, stack) = (
        lane("fetch"),
        lane("index"),
        lane("backfill"),
        lane("stack"),
    );
    Ok(ChangeStatus {
        repository_id: row.get::<_, uuid::Uuid>("id").into(),
        full_name: row.get("name"),
        dirty: row.get("dirty"),
        dirty_since: row.get("dirty_since"),
        last_webhook_at: row.get("last_webhook_at"),
        last_requested_fetch_at: row.get("last_requested_fetch_at"),
        last_fetch_started_at: row.get("last_fetch_started_at"),
        last_fetch_finished_at: row.get("last_fetch_finished_at"),
        last_successful_fetch_at: row.get("last_successful_fetch_at"),
        last_index_started_at: row.get("last_index_started_at"),
        last_index_finished_at: row.get("last_index_finished_at"),
        last_backfill_started_at: row.get("last_backfill_started_at"),
        last_backfill_finished_at: row.get("last_backfill_finished_at"),
        last_open_pr_scan_at: row.get("last_open_pr_scan_at"),
        backfill_mode: row.get("backfill_mode"),
        backfill_priority: row.get("backfill_priority"),
        fetch_in_progress: fetch.owner.is_some(),
        fetch_lease_owner_id: fetch.owner,
        fetch_lease_heartbeat_at: fetch.heartbeat_at,
        fetch_lease_expires_at: fetch.expires_at,
        index_in_progress: index.owner.is_some(),
        index_lease_owner_id: index.owner,
        index_lease_heartbeat_at: index.heartbeat_at,
        index_lease_expires_at: index.expires_at,
        backfill_in_progress: backfill.owner.is_some(),
        backfill_lease_owner_id: backfill.owner,
        backfill_lease_heartbeat_at: backfill.heartbeat_at,
        backfill_lease_expires_at: backfill.expires_at,
        stack_in_progress: stack.owner.is_some(),
        stack_lease_owner_id: stack.owner,
        stack_lease_heartbeat_at: stack.heartbeat_at,
        stack_lease_expires_at: stack.expires_at,
        open_pr_total: row.get("open_pr_total"),
        open_pr_current: row.get("open_pr_current"),
        open_pr_stale: row.get("open_pr_stale"),
        open_pr_missing: row.get("open_pr_missing"),
        open_pr_cursor_number: row.get("open_pr_cursor_number"),
        open_pr_cursor_updated_at: row.get("open_pr_cursor_updated_at"),
        last_error: read_json(row.get("last_error"))?,
    })
}
