//! Opening the database: the one that is configured, or the embedded one.
//!
//! **Invariant:** a program that was not told so never puts jobs on the embedded database: a
//! forgotten `DATABASE_URL` in a container must be an error, not work that vanishes with its disk.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use leasectl_core::database::{ConnectError, Database, DatabaseUrl, DatabaseUrlError, PoolOptions};
use leasectl_core::kind::Kinds;
use leasectl_core::migrations::{self, MigrateError};
use leasectl_embedded::{Embedded, EmbeddedError};
use tokio::task::{JoinError, JoinHandle};

use crate::config::{DataDirError, DatabaseArgs, SecretUrl};

/// How often the embedded server is looked after: a look takes microseconds.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// When a program may use the embedded database, if no URL is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Without being told: `demo` and the operator's commands. They start it if need be.
    MayStartEmbedded,
    /// Only with `--embedded`: `run` and the HTTP service.
    EmbeddedOnlyIfFlag,
    /// Only while somebody else runs it: `status` and `doctor` create and start nothing.
    NeverStart,
}

/// What happens to the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Pending migrations are applied, or refused with `--auto-migrate=false`.
    Migrate,
    /// Pending migrations are an error; nothing is changed.
    MustBeCurrent,
    /// Nothing is looked at.
    Ignore,
}

/// How a program opens its database.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// When the embedded database may be used.
    pub usage: Use,
    /// What happens to the schema.
    pub schema: Schema,
    /// The kinds of jobs that the program knows.
    pub kinds: Kinds,
    /// The pool.
    pub pool: PoolOptions,
}

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Neither a URL nor leave to use the embedded database.
    #[error(
        "no database is configured: set DATABASE_URL, or pass --embedded (LEASECTL_EMBEDDED=1) to keep everything in a private PostgreSQL in {}",
        data_dir.display()
    )]
    NotConfigured {
        /// Where the embedded database would be.
        data_dir: PathBuf,
    },
    /// No URL is given, and nobody runs the embedded database.
    #[error(
        "no database is running in {}; set DATABASE_URL, or start something that uses the embedded database, such as `worker demo`",
        data_dir.display()
    )]
    NotRunning {
        /// Where it would be.
        data_dir: PathBuf,
    },
    /// There is no data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A URL cannot be read.
    #[error("{variable} cannot be used")]
    Url {
        /// The variable, or the flag of the same name.
        variable: &'static str,
        /// What is wrong. It does not repeat the URL.
        #[source]
        source: DatabaseUrlError,
    },
    /// The database cannot be reached, or must not be used.
    #[error("cannot use the database at {url}")]
    Connect {
        /// The database, without its password.
        url: String,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The embedded database did not start.
    #[error("the embedded database is not available: {0}")]
    Embedded(#[source] EmbeddedError),
    /// The schema could not be read or brought up to date.
    #[error("the database's schema cannot be used")]
    Migrate(#[from] MigrateError),
    /// Migrations are pending and may not be applied here.
    #[error("the database lacks {} (first: {first}); run `worker migrate`", migrations(*count))]
    Pending {
        /// How many.
        count: usize,
        /// The oldest.
        first: String,
    },
    /// The database was left by a newer release.
    #[error("the database has schema version {found}, newer than this program; update it")]
    Newer {
        /// The database's version.
        found: i32,
    },
    /// The program is stopping.
    #[error("opening the database was interrupted")]
    Interrupted(#[from] JoinError),
}

fn migrations(count: usize) -> String {
    if count == 1 {
        "1 migration".to_owned()
    } else {
        format!("{count} migrations")
    }
}

impl OpenError {
    /// The exit code of the contract: 1 failed, 2 usage, 4 unavailable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotConfigured { .. } | Self::DataDir(_) | Self::Url { .. } => 2,
            Self::NotRunning { .. } | Self::Embedded(_) => 4,
            Self::Connect { source, .. } if source.is_unavailable() => 4,
            Self::Migrate(error) if error.is_unavailable() => 4,
            Self::Connect { .. }
            | Self::Migrate(_)
            | Self::Pending { .. }
            | Self::Newer { .. }
            | Self::Interrupted(_) => 1,
        }
    }
}

/// An open database; while it lives, an embedded server keeps running.
#[derive(Debug)]
pub struct OpenDatabase {
    /// The pool.
    pub database: Database,
    /// Where the database is.
    pub url: DatabaseUrl,
    /// The same database without a pooler in between, for liveness and wakeups.
    pub direct_url: DatabaseUrl,
    embedded: Option<Kept>,
}

impl OpenDatabase {
    /// The database in words, without its password.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.embedded {
            Some(kept) => format!("embedded PostgreSQL in {}", kept.data_dir.display()),
            None => self.url.to_string(),
        }
    }

    /// Whether it is the embedded database.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Leaves; an embedded server that nobody else uses is stopped.
    ///
    /// Dropping does the same, but blocks the runtime's thread meanwhile.
    ///
    /// # Errors
    /// When the embedded server does not stop.
    pub async fn close(self) -> Result<(), OpenError> {
        let Self {
            database, embedded, ..
        } = self;
        drop(database);
        let Some(kept) = embedded else { return Ok(()) };
        kept.leave().await
    }
}

/// A share of the embedded server, and the task that starts it again should it die.
#[derive(Debug)]
struct Kept {
    data_dir: PathBuf,
    share: Arc<Embedded>,
    keeper: JoinHandle<()>,
}

impl Kept {
    fn new(data_dir: PathBuf, share: Embedded) -> Self {
        let share = Arc::new(share);
        let keeper = tokio::spawn(look_after(Arc::downgrade(&share)));
        Self {
            data_dir,
            share,
            keeper,
        }
    }

    async fn leave(self) -> Result<(), OpenError> {
        self.keeper.abort();
        // Its last look may still be going on.
        drop(self.keeper.await);
        let Some(share) = Arc::into_inner(self.share) else {
            return Ok(());
        };
        tokio::task::spawn_blocking(|| share.stop_if_last())
            .await?
            .map(|_left| ())
            .map_err(OpenError::Embedded)
    }
}

async fn look_after(share: Weak<Embedded>) {
    let mut turns = tokio::time::interval(LOOK_AFTER);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let Some(share) = share.upgrade() else { return };
        if share.is_alive() {
            continue;
        }
        tracing::warn!("the embedded database has died; starting it again");
        match tokio::task::spawn_blocking(move || share.ensure_running()).await {
            Ok(Ok(())) => tracing::info!("the embedded database is back"),
            Ok(Err(error)) => tracing::error!(%error, "the embedded database does not start"),
            Err(_interrupted) => return,
        }
    }
}

/// Opens the database that the settings name, and brings its schema up to date.
///
/// # Errors
/// When there is none, it cannot be reached, or its schema cannot be used.
pub async fn open_database(
    args: &DatabaseArgs,
    options: OpenOptions,
) -> Result<OpenDatabase, OpenError> {
    let direct = args
        .database_direct_url()
        .map(|url| read_url(url, "DATABASE_DIRECT_URL"))
        .transpose()?;
    let (url, embedded) = match args.database_url() {
        Some(url) => (read_url(url, "DATABASE_URL")?, None),
        None => embedded(args, options.usage).await?,
    };
    // A direct URL belongs to a configured database, not to the embedded one.
    let direct_url = direct
        .filter(|_| embedded.is_none())
        .unwrap_or_else(|| url.clone());
    let database = Database::connect(&url, options.pool)
        .await
        .map_err(|source| OpenError::Connect {
            url: url.to_string(),
            source,
        })?;
    match options.schema {
        Schema::Ignore => {}
        Schema::Migrate if args.auto_migrate() => {
            let done = migrations::apply(&database, &options.kinds).await?;
            if !done.applied.is_empty() {
                tracing::info!(applied = ?done.applied, "the database's schema is up to date");
            }
        }
        Schema::Migrate | Schema::MustBeCurrent => check_schema(&database).await?,
    }
    Ok(OpenDatabase {
        database,
        url,
        direct_url,
        embedded,
    })
}

fn read_url(url: &SecretUrl, variable: &'static str) -> Result<DatabaseUrl, OpenError> {
    DatabaseUrl::parse(url.expose().trim()).map_err(|source| OpenError::Url { variable, source })
}

async fn embedded(
    args: &DatabaseArgs,
    usage: Use,
) -> Result<(DatabaseUrl, Option<Kept>), OpenError> {
    let data_dir = args.data_dir()?;
    match usage {
        Use::EmbeddedOnlyIfFlag if !args.embedded() => Err(OpenError::NotConfigured { data_dir }),
        Use::NeverStart => {
            let folder = data_dir.clone();
            let url = tokio::task::spawn_blocking(move || Embedded::running(&folder))
                .await?
                .ok_or(OpenError::NotRunning { data_dir })?;
            Ok((embedded_url(&url)?, None))
        }
        Use::MayStartEmbedded | Use::EmbeddedOnlyIfFlag => {
            let (folder, options) = (data_dir.clone(), args.embedded_options());
            let share = tokio::task::spawn_blocking(move || Embedded::open(&folder, options))
                .await?
                .map_err(OpenError::Embedded)?;
            Ok((embedded_url(share.url())?, Some(Kept::new(data_dir, share))))
        }
    }
}

fn embedded_url(url: &str) -> Result<DatabaseUrl, OpenError> {
    DatabaseUrl::parse(url).map_err(|source| OpenError::Url {
        variable: "the embedded database's URL",
        source,
    })
}

async fn check_schema(database: &Database) -> Result<(), OpenError> {
    let state = migrations::pending(database).await?;
    if let Some(found) = state.newer {
        return Err(OpenError::Newer { found });
    }
    match state.pending.first() {
        None => Ok(()),
        Some(first) => Err(OpenError::Pending {
            count: state.pending.len(),
            first: first.clone(),
        }),
    }
}
