//! A worker process that fetches, indexes and backfills, as the program `worker` does.

use std::sync::Arc;

use leasectl_core::database::DatabaseUrl;
use leasectl_core::ids::Owner;
use leasectl_core::kind::{BACKFILL, FETCH, INDEX};
use leasectl_core::lease::LeaseSettings;
use leasectl_remote::Locality;
use leasectl_worker::daemon::{Concurrency, Handlers, Shutdown, WorkerSettings, run as run_daemon};
use leasectl_worker::kinds::backfill::BackfillHandler;
use leasectl_worker::kinds::fetch::FetchHandler;
use leasectl_worker::kinds::index::IndexHandler;

use crate::cli::IndexWorker;
use crate::error::BenchError;
use crate::scenario::clone_cache;
use crate::server;

/// Connections of the pool.
const CONNECTIONS: usize = 8;

/// Runs the worker until it is asked to end.
pub(crate) async fn run(arguments: IndexWorker) -> Result<(), BenchError> {
    let shutdown = Shutdown::on_signals()?;
    let concurrency = Concurrency::none()
        .with(FETCH.lane, 1)
        .with(INDEX.lane, 1)
        .with(BACKFILL.lane, 1);
    let settings = WorkerSettings::new(
        Owner::of_this_process(),
        LeaseSettings::default(),
        concurrency,
    );
    let database = server::open(&arguments.url, CONNECTIONS)?;
    let direct = DatabaseUrl::parse(&arguments.url)?;
    let cache = clone_cache(&arguments.folder)?;
    let locality = Locality::AllowLocal;
    let handlers = Handlers::new()
        .with(Arc::new(FetchHandler::new(cache.clone(), locality, None)))
        .with(Arc::new(IndexHandler::new(cache.clone(), locality)))
        .with(Arc::new(BackfillHandler::new(cache, locality)));
    Ok(run_daemon(settings, database, direct, handlers, shutdown).await?)
}
