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
use crate::kind::{CanonicalArgs, KindSpec};
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
    repo_id: RepoId,
    kind: KindSpec,
}

/// Accepts a job without arguments in a fenced transaction, as waiting, or merges it with an equal one that was
/// never claimed. Nothing when the repository is not registered.
///
/// Make it the transaction's last statement: a transaction that others wait for, and that waits for nothing any more,
/// is in no circle of waits.
///
/// # Errors
/// When the database is away.
pub async fn enqueue_fenced(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    kind: &KindSpec,
) -> Result<Option<FollowUp>, FenceError> {
    let transaction = fenced.statements();
    let requests = [EnqueueRequest::new(repo_id, kind, CanonicalArgs::none())];
    let merge = transaction
        .prepare_cached(include_str!("enqueue_merge.sql"))
        .await?;
    let rows = Columns::of(&requests).send(transaction, &merge).await?;
    let accepted = rows.first().filter(|row| row.get("known"));
    Ok(accepted.map(|row| FollowUp {
        job_id: row.get::<_, uuid::Uuid>("id").into(),
        deduplicated: row.get("deduplicated"),
        repo_id,
        kind: *kind,
    }))
}

impl FollowUp {
    /// The kind of the job.
    #[must_use]
    pub fn kind(&self) -> &KindSpec {
        &self.kind
    }

    /// Has the job join its lane, once its transaction has committed, and wakes whoever may run it: what the next
    /// poll of a worker would do.
    ///
    /// # Errors
    /// When the database is away; the job is found by polling all the same.
    pub async fn start(self, client: &Client) -> Result<(), DatabaseError> {
        promote(client, &[(self.repo_id, self.kind.lane)]).await?;
        // Also when it did not become ready just now: an equal one that was ready could not be claimed while
        // the transaction held it, whatever wakeup it had.
        wakeup::announce(client, &[self.kind.lane]).await
    }
}
