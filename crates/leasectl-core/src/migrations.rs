//! The schema's history: forward-only files in `migrations/`, applied by refinery.

use std::error::Error;

use refinery::Runner;
use tokio_postgres::types::Json;

use crate::database::{Database, DatabaseError};
use crate::kind::Kinds;

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Serialises programs that migrate the same database at once (`pg_advisory_lock`).
const MIGRATION_LOCK: i64 = 0x6c65_6173_6563_746c;

/// A migration behind a long reader must not make every statement queue behind it.
const LOCK_TIMEOUT: &str = "set lock_timeout = '3s'";

/// Where a database stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Migrations that this program knows and the database lacks, oldest first.
    pub pending: Vec<String>,
    /// The database's version when it is newer than this program.
    pub newer: Option<i32>,
}

/// What [`apply`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The migrations that were applied now, oldest first.
    pub applied: Vec<String>,
}

/// Why a database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database is away.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A newer release was here before.
    #[error(
        "the database has schema version {found}, this program knows {known}; update this program"
    )]
    Newer {
        /// The database's version.
        found: i32,
        /// This program's.
        known: i32,
    },
    /// A migration failed; nothing of it remains.
    #[error("cannot apply the migrations")]
    Apply(#[source] Box<refinery::Error>),
}

impl MigrateError {
    /// Whether the database is away, or went away meanwhile: waiting may cure it.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Database(error) => error.is_unavailable(),
            Self::Apply(error) => {
                let mut cause: Option<&(dyn Error + 'static)> = Some(&**error);
                while let Some(error) = cause {
                    if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
                        return DatabaseError::is_outage(error);
                    }
                    cause = error.source();
                }
                false
            }
            Self::Newer { .. } => false,
        }
    }
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Which migrations are missing. Changes nothing.
///
/// # Errors
/// When the database is away.
pub async fn pending(database: &Database) -> Result<Pending, MigrateError> {
    let client = database.client().await?;
    let exists: bool = client
        .query_one(
            "select to_regclass('leasectl.schema_history') is not null",
            &[],
        )
        .await?
        .get(0);
    let found: i32 = if exists {
        client
            .query_one(
                "select coalesce(max(version), 0) from leasectl.schema_history",
                &[],
            )
            .await?
            .get(0)
    } else {
        0
    };
    let runner = runner();
    let known = known_version(&runner);
    let pending = runner
        .get_migrations()
        .iter()
        .filter(|migration| migration.version() > found)
        .map(ToString::to_string)
        .collect();
    Ok(Pending {
        pending,
        newer: (found > known).then_some(found),
    })
}

/// Applies what is missing and writes the kinds that this program knows.
///
/// # Errors
/// When the database is away or newer than this program, or a migration fails.
pub async fn apply(database: &Database, kinds: &Kinds) -> Result<Applied, MigrateError> {
    let mut client = database.client().await?;
    client
        .batch_execute("set lock_timeout = '60s'; set statement_timeout = '10min'")
        .await?;
    client
        .execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await?;
    client.batch_execute(LOCK_TIMEOUT).await?;
    let outcome = apply_locked(&mut client, database, kinds).await;
    // The session's settings and lock go with the connection.
    let _closed = deadpool_postgres::Object::take(client);
    outcome
}

async fn apply_locked(
    client: &mut deadpool_postgres::Client,
    database: &Database,
    kinds: &Kinds,
) -> Result<Applied, MigrateError> {
    let runner = runner();
    let state = pending(database).await?;
    if let Some(found) = state.newer {
        return Err(MigrateError::Newer {
            found,
            known: known_version(&runner),
        });
    }
    client
        .batch_execute("create schema if not exists leasectl")
        .await?;
    let raw: &mut tokio_postgres::Client = client;
    let report = runner
        .run_async(raw)
        .await
        .map_err(|error| MigrateError::Apply(Box::new(error)))?;
    for kind in kinds.iter() {
        client
            .execute(
                include_str!("kind/register.sql"),
                &[&kind.name, &kind.lane.as_str(), &Json(kind.args_as_json())],
            )
            .await?;
    }
    Ok(Applied {
        applied: report
            .applied_migrations()
            .iter()
            .map(ToString::to_string)
            .collect(),
    })
}

fn runner() -> Runner {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name("leasectl.schema_history");
    runner
}

fn known_version(runner: &Runner) -> i32 {
    runner
        .get_migrations()
        .iter()
        .map(|migration| migration.version())
        .max()
        .unwrap_or(0)
}
