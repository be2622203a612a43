//! What can go wrong while the index is written or read.

use thiserror::Error;
use tokio_postgres::error::SqlState;

use crate::database::DatabaseError;
use crate::lease::FenceError;

/// How often a transaction is run again that lost a deadlock, or a race with the collector.
pub(super) const TRIES: u32 = 5;

/// The index could not be written or read.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The lease is lost; nothing was written.
    #[error("the lease is lost; nothing was written")]
    LeaseLost,
    /// Something that was to be built upon is not there, or not whole: it was collected since it was
    /// looked up. A run that walks the tree again finds out what, and stores it again.
    #[error("a part of the index that was known before is gone; the run must look again")]
    Gone,
    /// A statement took longer than statements may: the tree is too large for it, or the server too busy.
    #[error("a question about the index took the database longer than it may")]
    TooSlow,
    /// A tree has more paths than are indexed.
    #[error("the tree has more than 5,000,000 paths")]
    TreeTooLarge,
    /// The ruleset lacks the extractor of the text, or names one twice.
    #[error("a ruleset names each extractor once, and `trigram` among them")]
    BadRuleset,
    /// A job was to publish the ref of a worktree, which only who reads that worktree does.
    #[error("refs/worktrees/ is for worktrees that `worker index` reads; index another ref")]
    ForWorktrees,
    /// The database is away.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl IndexError {
    /// Whether the same transaction may succeed when it is run again.
    pub(super) fn is_lost_race(&self) -> bool {
        match self {
            Self::Database(error) => error.is_deadlock(),
            Self::LeaseLost
            | Self::Gone
            | Self::TooSlow
            | Self::TreeTooLarge
            | Self::BadRuleset
            | Self::ForWorktrees => false,
        }
    }
}

impl From<tokio_postgres::Error> for IndexError {
    fn from(error: tokio_postgres::Error) -> Self {
        DatabaseError::from(error).into_index_error()
    }
}

impl From<FenceError> for IndexError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::LeaseLost => Self::LeaseLost,
            FenceError::Database(error) => error.into_index_error(),
        }
    }
}

impl DatabaseError {
    fn into_index_error(self) -> IndexError {
        if self.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) {
            return IndexError::Gone;
        }
        if self.code() == Some(&SqlState::QUERY_CANCELED) {
            return IndexError::TooSlow;
        }
        let constraint = match &self {
            Self::Statement(error) => error.as_db_error().and_then(|error| error.constraint()),
            Self::ConnectTimeout | Self::NoAnswer | Self::Connect(_) | Self::UnknownValue(_) => {
                None
            }
        };
        if constraint == Some("index_dir_paths_bounded") {
            return IndexError::TreeTooLarge;
        }
        IndexError::Database(self)
    }
}
