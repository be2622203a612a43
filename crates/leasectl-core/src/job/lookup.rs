//! Finding jobs, live and finished.

use serde::Serialize;
use thiserror::Error;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{JobView, PublicState};
use crate::database::{Database, DatabaseError, planned_anew};
use crate::ids::{JobId, RepoId};

/// The most items of a page.
const MAX_LIMIT: u16 = 200;

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only of this repository.
    pub repo_id: Option<RepoId>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only in this state.
    pub state: Option<PublicState>,
}

/// One page of a list.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to pass to get the next page; null at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a page out of one row more than was asked for.
    pub(crate) fn cut(mut items: Vec<T>, limit: u16, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > usize::from(limit);
        items.truncate(usize::from(limit));
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Self { items, next_cursor }
    }
}

/// A list could not be made.
#[derive(Debug, Error)]
pub enum LookupError {
    /// The cursor is not one of ours.
    #[error("the cursor is not one that this list returned")]
    BadCursor,
    /// The limit is out of range.
    #[error("limit is a whole number from 1 to {MAX_LIMIT}")]
    BadLimit,
    /// The database is away.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The limit of a page, checked.
pub(crate) fn checked_limit(limit: u16) -> Result<u16, LookupError> {
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(LookupError::BadLimit)
    }
}

/// One job, live or finished.
///
/// # Errors
/// When the database is away.
pub async fn find(database: &Database, id: JobId) -> Result<Option<JobView>, DatabaseError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(include_str!("find.sql")).await?;
    let row = client.query_opt(&statement, &[&id.as_uuid()]).await?;
    row.as_ref().map(JobView::from_row).transpose()
}

/// Jobs, newest first. `limit` is 1 to 200.
///
/// # Errors
/// When the cursor or the limit is bad, or the database away.
pub async fn list(
    database: &Database,
    filter: &JobFilter,
    limit: u16,
    cursor: Option<&str>,
) -> Result<Page<JobView>, LookupError> {
    let limit = checked_limit(limit)?;
    let before = cursor
        .map(|cursor| Uuid::try_parse(cursor).map_err(|_| LookupError::BadCursor))
        .transpose()?;
    let jobs = select(database, filter, before, i64::from(limit) + 1).await?;
    Ok(Page::cut(jobs, limit, |job| job.id.to_string()))
}

async fn select(
    database: &Database,
    filter: &JobFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<JobView>, DatabaseError> {
    let mut client = database.client().await?;
    let repo = filter.repo_id.map(RepoId::as_uuid);
    let state = filter.state.map(PublicState::as_str);
    let transaction = client.build_transaction().read_only(true).start().await?;
    let statement = include_str!("lookup.sql");
    let parameters: [&(dyn ToSql + Sync); 5] = [&repo, &filter.kind, &state, &before, &limit];
    let rows = planned_anew(&transaction, transaction.query(statement, &parameters)).await?;
    transaction.commit().await?;
    rows.iter().map(JobView::from_row).collect()
}
