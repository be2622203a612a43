//! The fence: a transaction that commits only while its lease is held.
//!
//! A plain check of the token before a write lets a stale write through at every isolation level.
//! What holds is a `FOR KEY SHARE` on the job's row until COMMIT, against the `FOR UPDATE` that
//! everything takes that ends or moves a lease.

use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Transaction;
use thiserror::Error;

use super::LeaseKey;
use crate::database::{Client, DatabaseError, limited};
use crate::ids::{JobId, Owner, Token};

/// Opens fenced transactions for one lease. It carries no right to settle.
#[derive(Clone, Debug)]
pub struct Fence {
    key: LeaseKey,
    owner: Owner,
}

/// A fenced transaction could not be opened or committed.
#[derive(Debug, Error)]
pub enum FenceError {
    /// The lease is lost; nothing was written.
    #[error("the lease is lost; nothing was written")]
    LeaseLost,
    /// The database is away.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<tokio_postgres::Error> for FenceError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A transaction that holds the lease until it ends. Dropping it rolls it back.
#[must_use = "nothing is written before commit"]
pub struct FencedTransaction<'a> {
    transaction: Transaction<'a>,
    key: LeaseKey,
    owner: &'a Owner,
    durable: AtomicBool,
}

impl Fence {
    pub(super) fn new(key: LeaseKey, owner: Owner) -> Self {
        Self { key, owner }
    }

    /// Opens a transaction in which the lease cannot be taken away.
    ///
    /// # Errors
    /// [`FenceError::LeaseLost`] when it has been, else when the database is away.
    pub async fn begin<'a>(
        &'a self,
        client: &'a mut Client,
    ) -> Result<FencedTransaction<'a>, FenceError> {
        let transaction = client.transaction().await?;
        let statement = transaction
            .prepare_cached(include_str!("fence.sql"))
            .await?;
        let (id, owner, token) = (
            self.key.job_id.as_uuid(),
            self.owner.as_str(),
            self.key.token.get(),
        );
        let held = limited(
            &transaction,
            transaction.query_opt(&statement, &[&id, &owner, &token]),
        )
        .await?;
        match held {
            Some(_) => Ok(FencedTransaction {
                transaction,
                key: self.key,
                owner: &self.owner,
                durable: AtomicBool::new(false),
            }),
            None => Err(FenceError::LeaseLost),
        }
    }
}

impl<'a> FencedTransaction<'a> {
    /// The transaction, for the handler's own statements.
    #[must_use]
    pub fn statements(&self) -> &Transaction<'a> {
        &self.transaction
    }

    /// The job for which this transaction writes.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.key.job_id
    }

    /// The token of the lease under which this transaction writes.
    #[must_use]
    pub fn token(&self) -> Token {
        self.key.token
    }

    /// Notes that this transaction commits progress which a successor need not repeat: losing the
    /// worker after it is not counted against the job.
    ///
    /// It is written by [`FencedTransaction::commit`]. Written earlier, its row lock would hold up
    /// the heartbeat of every lease of this worker until the transaction ends.
    pub fn mark_durable(&self) {
        self.durable.store(true, Ordering::Relaxed);
    }

    /// Makes the writes visible, all at once.
    ///
    /// # Errors
    /// When the database is away; whether the commit happened is then unknown, so what a handler
    /// writes must bear being written again.
    pub async fn commit(self) -> Result<(), FenceError> {
        if self.durable.load(Ordering::Relaxed) {
            self.write_durable().await?;
        }
        Ok(self.transaction.commit().await?)
    }

    async fn write_durable(&self) -> Result<(), FenceError> {
        let statement = self
            .transaction
            .prepare_cached(include_str!("durable.sql"))
            .await?;
        let updated = self
            .transaction
            .execute(
                &statement,
                &[
                    &self.key.job_id.as_uuid(),
                    &self.owner.as_str(),
                    &self.key.token.get(),
                ],
            )
            .await?;
        if updated == 1 {
            Ok(())
        } else {
            Err(FenceError::LeaseLost)
        }
    }
}
