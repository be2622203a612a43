//! Jobs that follow from the work of another: accepted in the transaction that writes what they follow from.
//!
//! **Invariant.** A follow-up exists if, and only if, what it follows from was written. Until the commit it takes
//! no lane: who enqueues another job for it waits for nobody. Who enqueues an equal job waits, as for any other that
//! enqueues it, and gets the same job; since this is a fenced transaction's last statement, for a commit, and for as
//! long as the server lets a transaction idle if the process is stopped just then.
//!
//! `leasectl.enqueue` would make nobody wait at all, but its jobs join their lane with the next sweep, and one that
//! turns out to be equal to another ends as cancelled.

use super::EnqueueRequest;
use super::enqueue::Columns;
use crate::database::{Client, DatabaseError};
use crate::ids::{JobId, RepoId};
use crate::kind::Lane;
use crate::lease::{FenceError, FencedTransaction, promote};
use crate::wakeup;

/// A job that was accepted in a transaction which has not committed yet.
#[derive(Clone, Copy, PartialEq, Debug)]
#[must_use = "it waits for the next sweep unless it is started after the commit"]
pub struct FollowUp {
    /// The job.
    pub job_id: JobId,
    /// Whether it is an equal job that was queued already; that one does not start before the commit.
    pub deduplicated: bool,
    /// The kind of the job.
    pub kind: &'static str,
    repo_id: RepoId,
    lane: Lane,
}

/// Accepts jobs in a fenced transaction, as waiting, or merges them with equal ones that were never claimed. Answers
/// in the order of the requests; nothing is accepted when a repository is not registered.
///
/// Make it the transaction's last statement: a transaction that others wait for, and that waits for nothing any more,
/// is in no circle of waits. For the same reason all jobs of a transaction are accepted at once, which locks them in
/// the order that everybody uses.
///
/// # Errors
/// When the database is away.
pub async fn enqueue_fenced(
    fenced: &FencedTransaction<'_>,
    requests: &[EnqueueRequest],
) -> Result<Vec<FollowUp>, FenceError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let transaction = fenced.statements();
    let merge = transaction
        .prepare_cached(include_str!("enqueue_merge.sql"))
        .await?;
    let rows = Columns::of(requests).send(transaction, &merge).await?;
    if !rows.iter().all(|row| row.get("known")) {
        return Ok(Vec::new());
    }
    let accepted = rows.iter().zip(requests).map(|(row, request)| FollowUp {
        job_id: row.get::<_, uuid::Uuid>("id").into(),
        deduplicated: row.get("deduplicated"),
        kind: request.kind(),
        repo_id: request.repo_id(),
        lane: request.lane(),
    });
    Ok(accepted.collect())
}

impl FollowUp {
    /// Has the job join its lane, once its transaction has committed, and wakes whoever may run it: what the next
    /// poll of a worker would do.
    ///
    /// # Errors
    /// When the database is away; the job is found by polling all the same.
    pub async fn start(self, client: &Client) -> Result<(), DatabaseError> {
        promote(client, &[(self.repo_id, self.lane)]).await?;
        // Also when it did not become ready just now: an equal one that was ready could not be claimed while
        // the transaction held it, whatever wakeup it had.
        wakeup::announce(client, &[self.lane]).await
    }
}
