//! In whose name the index is written.
//!
//! What is stored of content is named by that content and never changes: it is as true when nobody holds a
//! lease, and whoever stores it twice stores nothing. What needs an author is a ref, since it says what a
//! repository is like now. Jobs publish branches, tags and commits, under their lease. A process that reads a
//! worktree of its machine has no lease; it publishes that worktree's ref and no other, and of two such
//! processes the one that began later has the last word.

use deadpool_postgres::Transaction;

use super::error::IndexError;
use super::worktree::WorktreeRef;
use crate::database::{Client, limited};
use crate::ids::Token;
use crate::lease::{Fence, FenceError, FencedTransaction};

/// Who writes to the index.
#[derive(Clone, Copy, Debug)]
pub enum Author<'a> {
    /// A job. Nothing is written once its lease is lost.
    Lease(&'a Fence),
    /// A process that indexes a worktree of its machine.
    Local(&'a LocalRun),
}

impl<'a> From<&'a Fence> for Author<'a> {
    fn from(fence: &'a Fence) -> Self {
        Self::Lease(fence)
    }
}

impl<'a> From<&'a LocalRun> for Author<'a> {
    fn from(run: &'a LocalRun) -> Self {
        Self::Local(run)
    }
}

/// A run over one worktree, without a lease. Its token is of the sequence that leases draw from, so it says
/// which of two runs began first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalRun {
    token: Token,
    worktree: WorktreeRef,
}

impl LocalRun {
    /// Begins a run. Look at the worktree afterwards: who begins later must have looked later.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(client: &Client, worktree: WorktreeRef) -> Result<Self, IndexError> {
        let statement = client.prepare_cached(include_str!("local_run.sql")).await?;
        let row = client.query_one(&statement, &[]).await?;
        Ok(Self {
            token: Token::new(row.get("token")),
            worktree,
        })
    }

    /// The ref that it publishes, and the only one.
    #[must_use]
    pub fn worktree(&self) -> &WorktreeRef {
        &self.worktree
    }

    /// Its place among the runs.
    pub(super) fn token(&self) -> Token {
        self.token
    }
}

/// A transaction that writes to the index. Dropping it rolls it back.
#[must_use = "nothing is written before commit"]
pub(super) enum Writing<'a> {
    Fenced(FencedTransaction<'a>),
    Local(Transaction<'a>),
}

impl Author<'_> {
    /// Opens a transaction; that of a job holds its lease until it ends.
    pub(super) async fn begin<'c>(self, client: &'c mut Client) -> Result<Writing<'c>, FenceError>
    where
        Self: 'c,
    {
        match self {
            Self::Lease(fence) => Ok(Writing::Fenced(fence.begin(client).await?)),
            Self::Local(_) => Ok(Writing::Local(begin_local(client).await?)),
        }
    }
}

/// A transaction with the limits that all have.
pub(super) async fn begin_local(client: &mut Client) -> Result<Transaction<'_>, FenceError> {
    let transaction = client.transaction().await?;
    limited(&transaction, std::future::ready(Ok(()))).await?;
    Ok(transaction)
}

impl<'a> Writing<'a> {
    /// The transaction, for statements.
    pub(super) fn statements(&self) -> &Transaction<'a> {
        match self {
            Self::Fenced(fenced) => fenced.statements(),
            Self::Local(transaction) => transaction,
        }
    }

    /// Notes that a successor need not repeat this, where somebody counts how often a job was begun.
    pub(super) fn mark_durable(&self) {
        if let Self::Fenced(fenced) = self {
            fenced.mark_durable();
        }
    }

    /// Makes the writes visible, all at once.
    pub(super) async fn commit(self) -> Result<(), FenceError> {
        match self {
            Self::Fenced(fenced) => fenced.commit().await,
            Self::Local(transaction) => Ok(transaction.commit().await?),
        }
    }
}
