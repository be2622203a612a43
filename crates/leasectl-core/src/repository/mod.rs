//! Repositories: what is registered, what its branches are, and where its synchronisation stands.

mod change_status;
mod due;
mod projection;
mod register;

use std::time::Duration;

use leasectl_remote::{RemoteUrl, RepoName};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub use self::change_status::{ChangeStatus, change_status};
pub use self::due::{DueFetches, ask_for_due_fetches, record_failed_fetch};
pub use self::projection::{
    Branch, FetchRecord, Recorded, branches, learn_default_branch, record_fetch,
};
pub use self::register::{FETCH_EVERY, NewRepository, RegisterError, Registered, register};

use crate::database::{Database, DatabaseError, limited};
use crate::ids::RepoId;
use crate::job::{LookupError, Page, checked_limit};
use crate::time::Timestamp;

/// A registered repository.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Repository {
    /// Its identity.
    pub id: RepoId,
    /// Its label, `owner/name`.
    pub name: String,
    /// The remote in canonical form.
    pub git_url: String,
    /// The default branch: as registered, then as the remote says.
    pub default_branch: Option<String>,
    /// The default branch's head at the last fetch.
    pub head: Option<String>,
    /// How often it is fetched unasked, in seconds; null: never.
    pub fetch_every_s: Option<f64>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When a fetch last succeeded.
    pub last_successful_fetch_at: Option<Timestamp>,
}

/// How a repository is named by a user.
#[derive(Clone, PartialEq, Debug)]
pub enum RepoRef {
    /// By its id.
    Id(RepoId),
    /// By its label.
    Name(RepoName),
    /// By its remote.
    Url(RemoteUrl),
}

/// What came of a removal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemoveOutcome {
    /// The repository and its waiting jobs are gone; its job history stays.
    Removed,
    /// A job of it runs: cancel it first.
    Busy,
    /// There is no such repository.
    NotFound,
}

impl Repository {
    fn from_row(row: &Row) -> Self {
        Self {
            id: row.get::<_, Uuid>("id").into(),
            name: row.get("name"),
            git_url: row.get("git_url"),
            default_branch: row.get("default_branch"),
            head: row.get("head"),
            fetch_every_s: row.get("fetch_every_s"),
            created_at: row.get("created_at"),
            last_successful_fetch_at: row.get("last_successful_fetch_at"),
        }
    }

    /// How often it is fetched unasked.
    #[must_use]
    pub fn fetch_every(&self) -> Option<Duration> {
        self.fetch_every_s
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

/// The repository of that id, name or URL.
///
/// # Errors
/// When the database is away.
pub async fn find(
    database: &Database,
    wanted: &RepoRef,
) -> Result<Option<Repository>, DatabaseError> {
    let (id, name, url) = match wanted {
        RepoRef::Id(id) => (Some(id.as_uuid()), None, None),
        RepoRef::Name(name) => (None, Some(name.as_str()), None),
        RepoRef::Url(url) => (None, None, Some(url.as_str())),
    };
    let client = database.client().await?;
    let statement = client.prepare_cached(include_str!("find.sql")).await?;
    let row = client.query_opt(&statement, &[&id, &name, &url]).await?;
    Ok(row.as_ref().map(Repository::from_row))
}

/// Repositories in the order of their names. `limit` is 1 to 200.
///
/// # Errors
/// When the limit is bad, or the database away.
pub async fn list(
    database: &Database,
    limit: u16,
    cursor: Option<&str>,
) -> Result<Page<Repository>, LookupError> {
    let limit = checked_limit(limit)?;
    if cursor.is_some_and(|cursor| cursor.contains('\0')) {
        return Err(LookupError::BadCursor);
    }
    let client = database.client().await?;
    let statement = client
        .prepare_cached(include_str!("list.sql"))
        .await
        .map_err(DatabaseError::from)?;
    let rows = client
        .query(&statement, &[&cursor, &(i64::from(limit) + 1)])
        .await
        .map_err(DatabaseError::from)?;
    let repositories = rows.iter().map(Repository::from_row).collect();
    Ok(Page::cut(repositories, limit, |repository: &Repository| {
        repository.name.clone()
    }))
}

/// Removes a repository, its branch projection and its jobs that do not run. The clones on the
/// workers' disks go when their space is needed.
///
/// # Errors
/// When the database is away.
pub async fn remove(database: &Database, id: RepoId) -> Result<RemoveOutcome, DatabaseError> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let row: [&(dyn ToSql + Sync); 1] = [&id.as_uuid()];
    let held = transaction.query_opt(
        "select exists (select from leasectl.job j where j.repo_id = r.id and j.state = 'running') \
           from leasectl.repository r where r.id = $1 for update",
        &row,
    );
    let held = limited(&transaction, held).await?;
    let Some(row) = held else {
        return Ok(RemoveOutcome::NotFound);
    };
    if row.get(0) {
        return Ok(RemoveOutcome::Busy);
    }
    transaction
        .execute(include_str!("remove.sql"), &[&id.as_uuid()])
        .await?;
    transaction
        .execute(
            "delete from leasectl.repository where id = $1",
            &[&id.as_uuid()],
        )
        .await?;
    transaction.commit().await?;
    Ok(RemoveOutcome::Removed)
}
