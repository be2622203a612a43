//! Which problem each failure of the core becomes.

use leasectl_core::database::DatabaseError;
use leasectl_core::job::{EnqueueError, LookupError};
use leasectl_core::migrations::MigrateError;
use leasectl_core::repository::RegisterError;

use crate::problem::{Code, Problem};
use crate::repo_ref;

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        if error.is_unavailable() {
            Self::unavailable(&error)
        } else {
            Self::internal(&error)
        }
    }
}

impl From<EnqueueError> for Problem {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::UnknownRepository { .. } => repo_ref::unknown(),
            EnqueueError::TooFarAway => Self::invalid(format!("not_before: {error}")),
            EnqueueError::Database(error) => error.into(),
        }
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::BadCursor | LookupError::BadLimit => Self::invalid(error.to_string()),
            LookupError::Database(error) => error.into(),
        }
    }
}

impl From<MigrateError> for Problem {
    fn from(error: MigrateError) -> Self {
        match error {
            _ if error.is_unavailable() => Self::unavailable(&error),
            MigrateError::Database(error) => error.into(),
            MigrateError::Newer { .. } => Self::new(
                Code::MigrationsPending,
                "the database is newer than this program; update this program",
            ),
            MigrateError::Apply(_) => Self::internal(&error),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::NameTaken { ref suggestion, .. } => {
                let suggestion = suggestion.to_string();
                Self::new(Code::NameTaken, error.to_string()).suggesting(suggestion)
            }
            RegisterError::Database(error) => error.into(),
        }
    }
}
