//! What can go wrong between this process and PostgreSQL.

use deadpool_postgres::{HookError, PoolError};
use thiserror::Error;
use tokio_postgres::error::SqlState;

use super::url::DatabaseUrlError;

/// A statement could not be carried out.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// No connection became free, or could be made, in time.
    #[error("the database did not give a connection in time")]
    ConnectTimeout,
    /// A connection stayed silent for longer than any statement may take.
    #[error("the database gave no answer in time")]
    NoAnswer,
    /// The pool could not make a connection.
    #[error("cannot connect to the database")]
    Connect(#[source] tokio_postgres::Error),
    /// The server refused a statement or the connection broke.
    #[error("the database refused a statement or the connection broke")]
    Statement(#[source] tokio_postgres::Error),
    /// A row held something that this release does not know, such as a state of a newer one.
    #[error("the database holds a value that this release does not know: {0}")]
    UnknownValue(String),
}

impl DatabaseError {
    /// Whether the database is away, rather than the statement wrong: waiting may cure it.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::ConnectTimeout | Self::NoAnswer | Self::Connect(_) => true,
            Self::Statement(error) => Self::is_outage(error),
            Self::UnknownValue(_) => false,
        }
    }

    /// Whether a statement failed because the database is away, rather than the statement wrong.
    pub(crate) fn is_outage(error: &tokio_postgres::Error) -> bool {
        error.is_closed() || is_passing(error.code())
    }

    /// The server's error code, if it answered with one.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Connect(error) | Self::Statement(error) => error.code(),
            Self::ConnectTimeout | Self::NoAnswer | Self::UnknownValue(_) => None,
        }
    }

    /// Whether a statement waited for a lock as long as its session waits for one.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether the same transaction may succeed when it is run again.
    pub(crate) fn is_deadlock(&self) -> bool {
        match self {
            Self::Statement(error) => {
                error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED)
                    || error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
            }
            Self::ConnectTimeout | Self::NoAnswer | Self::Connect(_) | Self::UnknownValue(_) => {
                false
            }
        }
    }
}

/// No code means that the connection broke before the server could answer.
fn is_passing(code: Option<&SqlState>) -> bool {
    code.is_none_or(|code| {
        matches!(&code.code()[..2], "08" | "53" | "57" | "58")
            || *code == SqlState::LOCK_NOT_AVAILABLE
            || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
    })
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Statement(error)
    }
}

impl From<PoolError> for DatabaseError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::Connect(error)
            }
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Self::ConnectTimeout,
        }
    }
}

/// A database cannot be used.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The URL is not one.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The server cannot be reached.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The certificates named in the URL cannot be used.
    #[error("cannot use the certificates in {path}")]
    RootCertificates {
        /// The file of `sslrootcert`.
        path: String,
        /// What is wrong with it.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The server is older than what is supported.
    #[error("the server runs PostgreSQL {found}; version {oldest} or newer is needed")]
    ServerTooOld {
        /// Its major version.
        found: i32,
        /// The oldest supported.
        oldest: i32,
    },
    /// Commits are not durable.
    #[error(
        "the database runs with synchronous_commit = off and may lose accepted jobs; \
         set it to on for this role or database"
    )]
    CommitsMayBeLost,
}

impl ConnectError {
    /// Whether waiting may cure it.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_unavailable())
    }
}
