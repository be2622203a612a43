//! Following jobs: what an event stream reads, look by look.
//!
//! Nothing records changes, so that settling stays cheap. A stream reads the jobs that live and
//! those that it saw before, and compares. It may therefore miss a state that lasted for less than
//! the time between two looks, but never where a job ended up, as long as there are not more than
//! [`MAX_FOLLOWED`] jobs of a sort.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::JobView;
use crate::database::{Database, DatabaseError};
use crate::ids::{JobId, RepoId};
use crate::time::Timestamp;

/// The most jobs of each sort (running, waiting, new, just finished) that one look reads.
pub const MAX_FOLLOWED: usize = 500;

/// What one look saw.
#[derive(Clone, PartialEq, Debug)]
pub struct Look {
    /// When it was, by the database's clock; none when no job was seen.
    pub at: Option<Timestamp>,
    /// The jobs, oldest first.
    pub jobs: Vec<JobView>,
}

/// Reads the live and the new jobs of a repository (or of all), those in `followed`, and, when
/// `since` is given, recent ones that finished after it.
///
/// # Errors
/// When the database is away.
pub async fn look(
    database: &Database,
    repo: Option<RepoId>,
    followed: &[JobId],
    since: Option<Timestamp>,
) -> Result<Look, DatabaseError> {
    let client = database.client().await?;
    let ids = client
        .prepare_cached(include_str!("follow_ids.sql"))
        .await?;
    let limit = i64::try_from(MAX_FOLLOWED).unwrap_or(i64::MAX);
    let found = client
        .query(&ids, &[&repo.map(RepoId::as_uuid), &since, &limit])
        .await?;
    let wanted: BTreeSet<Uuid> = found
        .iter()
        .map(|row| row.get(0))
        .chain(followed.iter().map(|id| id.as_uuid()))
        .collect();
    read(&client, wanted.into_iter().collect()).await
}

/// Reads one job.
///
/// # Errors
/// When the database is away.
pub async fn look_at(database: &Database, id: JobId) -> Result<Look, DatabaseError> {
    read(&database.client().await?, vec![id.as_uuid()]).await
}

async fn read(client: &crate::database::Client, ids: Vec<Uuid>) -> Result<Look, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("follow_read.sql"))
        .await?;
    let rows = client.query(&statement, &[&ids]).await?;
    let jobs = rows
        .iter()
        .map(JobView::from_row)
        .collect::<Result<_, _>>()?;
    Ok(Look {
        at: rows.first().map(|row| row.get("looked_at")),
        jobs,
    })
}
