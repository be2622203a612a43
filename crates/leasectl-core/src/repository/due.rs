//! Fetching unasked: which repositories are due, and what a fetch means for when they are due again.
//!
//! `leasectl.fetch_pause` says how long a repository waits. It is due from `fetch_every` after its last fetch, less
//! often while nothing changes, and backs off while it cannot be fetched.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::database::{Client, DatabaseError, limited};
use crate::ids::RepoId;
use crate::job::{EnqueueRequest, merge_in};
use crate::kind::{CanonicalArgs, FETCH, Lane};
use crate::lease::{FenceError, FencedTransaction, promote};

/// The most repositories that are taken at once.
const BATCH: i64 = 500;

/// What one look at the schedule did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DueFetches {
    /// Repositories that a fetch was asked for.
    pub asked: Vec<RepoId>,
    /// Repositories that were due while a fetch of them was under way or queued.
    pub busy: usize,
}

impl DueFetches {
    /// Whether there may be more that are due.
    #[must_use]
    pub fn is_full(&self) -> bool {
        i64::try_from(self.asked.len() + self.busy) == Ok(BATCH)
    }
}

/// Asks for a fetch of repositories that are due by their own `fetch_every`, in one short transaction; in none while
/// no repository is due. However many workers look, each is asked for once.
///
/// # Errors
/// When the database is away.
pub async fn ask_for_due_fetches(client: &mut Client) -> Result<DueFetches, DatabaseError> {
    let any_due = client.prepare_cached(include_str!("any_due.sql")).await?;
    if !client.query_one(&any_due, &[]).await?.get::<_, bool>("due") {
        return Ok(DueFetches::default());
    }
    let transaction = client.transaction().await?;
    let take = transaction
        .prepare_cached(include_str!("take_due.sql"))
        .await?;
    let parameters: [&(dyn ToSql + Sync); 1] = [&BATCH];
    let rows = limited(&transaction, transaction.query(&take, &parameters)).await?;
    let mut due = DueFetches::default();
    for row in &rows {
        if row.get("idle") {
            due.asked.push(row.get::<_, Uuid>("id").into());
        } else {
            due.busy += 1;
        }
    }
    let requests: Vec<EnqueueRequest> = due
        .asked
        .iter()
        .map(|repo| EnqueueRequest::new(*repo, &FETCH, CanonicalArgs::none()))
        .collect();
    if !requests.is_empty() {
        merge_in(&transaction, &requests).await?;
    }
    transaction.commit().await?;
    let lanes: Vec<_> = due.asked.iter().map(|repo| (*repo, Lane::Fetch)).collect();
    if !lanes.is_empty()
        && let Err(error) = promote(client, &lanes).await
    {
        tracing::debug!(%error, "promotion of due fetches failed; the sweep will promote");
    }
    Ok(due)
}

/// Counts a fetch of everything that succeeded, under its fence. Requests that came while it ran stay open.
pub(super) async fn count_fetched(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    changed: bool,
) -> Result<(), FenceError> {
    let sql = include_str!("fetched.sql");
    let job = fenced.job_id().as_uuid();
    let parameters: [&(dyn ToSql + Sync); 3] = [&repo_id.as_uuid(), &job, &changed];
    fenced.statements().execute(sql, &parameters).await?;
    Ok(())
}

/// Counts a fetch of everything that ends in an error, under its fence: the repository stays dirty, and its
/// schedule backs off.
///
/// # Errors
/// When the lease is lost or the database away.
pub async fn record_failed_fetch(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
) -> Result<(), FenceError> {
    let sql = include_str!("fetch_failed.sql");
    let job = fenced.job_id().as_uuid();
    let parameters: [&(dyn ToSql + Sync); 2] = [&repo_id.as_uuid(), &job];
    fenced.statements().execute(sql, &parameters).await?;
    Ok(())
}
