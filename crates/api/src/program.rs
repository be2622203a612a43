//! The whole program between its settings and its end.

use std::io;
use std::net::SocketAddr;

use leasectl_core::database::{Database, DatabaseError, PoolOptions};
use leasectl_core::kind::Kinds;
use leasectl_core::{job, webhook};
use leasectl_service::{
    LogError, MetricsError, OpenError, OpenOptions, Schema, Use, init_logging, install_metrics,
    open_database,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{ConfigError, Settings};
use crate::router::router;
use crate::server::{Limits, serve};
use crate::service::Service;
use crate::service_manager;

/// Connections to the database. Requests are short; more would only queue inside the server.
const POOL_SIZE: usize = 16;

/// Why the program ended.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logs cannot be written as asked.
    #[error("cannot set up the log")]
    Log(#[from] LogError),
    /// Nothing can be measured.
    #[error("cannot set up the measurements")]
    Metrics(#[from] MetricsError),
    /// There is no database to work with.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The process cannot hear signals.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
}

impl ProgramError {
    /// The exit code of the contract: 1 failed, 2 usage, 4 database unavailable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Log(_) => 2,
            Self::Database(error) => error.exit_code(),
            Self::Metrics(_) | Self::Bind { .. } | Self::Signals(_) => 1,
        }
    }
}

/// Serves until SIGTERM or SIGINT, then finishes what is under way; a second signal ends at once.
///
/// # Errors
/// When the service cannot start.
pub async fn run(settings: Settings) -> Result<(), ProgramError> {
    init_logging(&settings.log, "info")?;
    settings.access.warn_about_short_tokens();
    settings.webhooks.warn_about_short_secrets();
    let mut signals = Signals::hear().map_err(ProgramError::Signals)?;
    let kinds = Kinds::standard();
    let metrics = install_metrics(&kinds)?;
    let options = OpenOptions {
        usage: Use::EmbeddedOnlyIfFlag,
        schema: Schema::Migrate,
        kinds,
        pool: PoolOptions {
            max_size: POOL_SIZE,
            application_name: "leasectl-api".to_owned(),
        },
    };
    let open = tokio::select! {
        open = open_database(&settings.database, options) => open?,
        () = signals.next() => return Ok(()),
    };
    if let Err(error) = warm_up_for(&open.database, &settings).await {
        tracing::warn!(%error, "not every connection could be opened ahead; the first requests may be slow");
    }
    let unbound = |source| ProgramError::Bind {
        address: settings.listen,
        source,
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(unbound)?;
    let address = listener.local_addr().map_err(unbound)?;

    let stopping = CancellationToken::new();
    let service = Service::new(
        open.database.clone(),
        settings.locality,
        settings.webhooks,
        metrics,
        stopping.clone(),
    );
    let serving = serve(
        listener,
        router(service, settings.access),
        Limits::default(),
        stopping.clone(),
    );
    let watchdog = tokio::spawn(service_manager::keep_watchdog_quiet());
    tracing::info!("leasectl-api ready listen={address}");
    service_manager::ready();

    let end = async {
        signals.next().await;
        tracing::info!("stopping: requests under way are finished first");
        service_manager::stopping();
        stopping.cancel();
        signals.next().await;
        tracing::warn!("a second signal: ending at once");
    };
    tokio::select! {
        () = serving => {}
        () = end => {}
    }
    watchdog.abort();
    if let Err(error) = open.close().await {
        tracing::warn!(%error, "the database was not left cleanly");
    }
    Ok(())
}

/// Has the first requests find connections that are ready for them.
async fn warm_up_for(database: &Database, settings: &Settings) -> Result<(), DatabaseError> {
    job::warm_up(database, POOL_SIZE).await?;
    if settings.webhooks.are_any_set() {
        webhook::warm_up(database, POOL_SIZE).await?;
    }
    Ok(())
}

/// The signals that end the program.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn hear() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
