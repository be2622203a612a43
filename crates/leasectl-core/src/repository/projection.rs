//! The branch projection: what the last fetch saw, in PostgreSQL, where every container sees it.

use serde::Serialize;
use tokio_postgres::types::ToSql;

use crate::database::{Database, DatabaseError};
use crate::ids::RepoId;
use crate::index;
use crate::lease::{FenceError, FencedTransaction};
use crate::time::Timestamp;

use super::due;

/// A branch as the projection knows it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Branch {
    /// Its name without `refs/heads/`.
    pub name: String,
    /// Its head.
    pub head: Option<String>,
    /// Its parent branch in a stack.
    pub parent: Option<String>,
    /// Whether it was registered as part of a stack.
    pub registered: bool,
    /// `synced`, `pending` or `error`.
    pub state: String,
    /// When a fetch last saw it.
    pub seen_at: Timestamp,
    /// Commits that its parent lacks.
    pub ahead: Option<i32>,
    /// Commits of its parent that it lacks.
    pub behind: Option<i32>,
    /// Whether its parent moved since.
    pub needs_restack: Option<bool>,
}

/// What a fetch found.
#[derive(Clone, PartialEq, Debug)]
pub struct FetchRecord {
    /// All branches were fetched. Else only these are recorded: what the clone has of others may be older than what
    /// is recorded of them.
    pub is_whole: bool,
    /// Every branch head: name without `refs/heads/`, commit in hexadecimal.
    pub branches: Vec<(String, String)>,
    /// The remote's default branch.
    pub default_branch: Option<String>,
    /// Its head.
    pub head: Option<String>,
    /// Whether any ref is another than at the fetch before, as far as the fetching clone can tell.
    pub changed: bool,
}

/// What a fetch meant for the repository that it was recorded for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// The default branch has another head than the last fetch had recorded, or another branch is the default
    /// one, or this was the first fetch.
    Moved,
    /// The default branch is where it was, or there is none.
    Unmoved,
    /// The repository was removed meanwhile; nothing was written.
    Removed,
}

/// Replaces a repository's projection by what a fetch found, under the fetching lease's fence. Branches that are
/// gone take their index with them: no ref leads to their trees any more, and the collector may have those.
///
/// # Errors
/// When the database is away.
pub async fn record_fetch(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    record: &FetchRecord,
) -> Result<Recorded, FenceError> {
    let transaction = fenced.statements();
    let (names, heads): (Vec<&str>, Vec<&str>) = record
        .branches
        .iter()
        .map(|(name, head)| (name.as_str(), head.as_str()))
        .unzip();
    let noted = transaction
        .query_opt(
            include_str!("record_fetch.sql"),
            &[
                &repo_id.as_uuid(),
                &record.default_branch,
                &record.head,
                &(record.is_whole || record.head.is_some()),
            ],
        )
        .await?;
    let Some(noted) = noted else {
        return Ok(Recorded::Removed);
    };
    transaction
        .execute(
            include_str!("record_branches.sql"),
            &[&repo_id.as_uuid(), &names, &heads],
        )
        .await?;
    let moved: bool = noted.get("moved");
    if record.is_whole {
        forget_branches(fenced, repo_id, &names).await?;
        due::count_fetched(fenced, repo_id, moved || record.changed).await?;
    }
    Ok(if moved {
        Recorded::Moved
    } else {
        Recorded::Unmoved
    })
}

async fn forget_branches(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    there: &[&str],
) -> Result<(), FenceError> {
    let sql = include_str!("forget_branches.sql");
    let parameters: [&(dyn ToSql + Sync); 2] = [&repo_id.as_uuid(), &there];
    fenced.statements().execute(sql, &parameters).await?;
    index::unpublish_branches(fenced, repo_id, there).await?;
    Ok(())
}

/// Notes the default branch that a clone has, where no fetch has recorded one yet.
///
/// # Errors
/// When the database is away.
pub async fn learn_default_branch(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    name: &str,
) -> Result<(), FenceError> {
    let sql = include_str!("learn_default_branch.sql");
    let parameters: [&(dyn ToSql + Sync); 2] = [&repo_id.as_uuid(), &name];
    fenced.statements().execute(sql, &parameters).await?;
    Ok(())
}

/// A repository's branches by name.
///
/// # Errors
/// When the database is away.
pub async fn branches(database: &Database, repo_id: RepoId) -> Result<Vec<Branch>, DatabaseError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(include_str!("branches.sql")).await?;
    let rows = client.query(&statement, &[&repo_id.as_uuid()]).await?;
    Ok(rows
        .iter()
        .map(|row| Branch {
            name: row.get("name"),
            head: row.get("head"),
            parent: row.get("parent"),
            registered: row.get("registered"),
            state: row.get("state"),
            seen_at: row.get("seen_at"),
            ahead: row.get("ahead"),
            behind: row.get("behind"),
            needs_restack: row.get("needs_restack"),
        })
        .collect())
}
