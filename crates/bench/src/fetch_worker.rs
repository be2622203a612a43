//! A worker process that fetches for real and tells when its handlers start and end.
//!
//! The worker is `leasectl_worker::daemon::run` with the handler of the program `worker`; only the
//! telling is added around it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasectl_core::database::DatabaseUrl;
use leasectl_core::failure::JobError;
use leasectl_core::ids::{JobId, Owner};
use leasectl_core::kind::{FETCH, KindSpec};
use leasectl_core::lease::LeaseSettings;
use leasectl_remote::Locality;
use leasectl_worker::daemon::{
    Concurrency, Handler, Handlers, JobContext, Shutdown, WorkerSettings, run as run_daemon,
};
use leasectl_worker::kinds::fetch::FetchHandler;
use serde_json::Value;

use crate::cli::FetchWorker;
use crate::error::BenchError;
use crate::scenario::clone_cache;
use crate::server;
use crate::tell::{Event, Teller};

struct Heard {
    inner: FetchHandler,
    teller: Arc<Teller>,
}

/// Tells the end of a handler, however it ends.
struct Ending {
    teller: Arc<Teller>,
    job: JobId,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.teller.tell(Event::Ended, self.job);
    }
}

#[async_trait]
impl Handler for Heard {
    fn spec(&self) -> KindSpec {
        self.inner.spec()
    }

    async fn run(&self, context: JobContext) -> Result<Value, JobError> {
        let job = context.job.id;
        self.teller.tell(Event::Started, job);
        let _ending = Ending {
            teller: Arc::clone(&self.teller),
            job,
        };
        let stop = context.cancel.clone();
        let mut running = self.inner.run(context);
        tokio::select! {
            // First, or the moment told would be after whatever the handler does about it at once.
            biased;
            () = stop.cancelled() => self.teller.tell(Event::Stopped, job),
            result = &mut running => return result,
        }
        running.await
    }
}

/// Runs the worker until it is asked to end.
pub(crate) async fn run(arguments: FetchWorker) -> Result<(), BenchError> {
    let shutdown = Shutdown::on_signals()?;
    let concurrency = Concurrency::none().with(FETCH.lane, arguments.concurrency);
    let mut settings = WorkerSettings::new(
        Owner::of_this_process(),
        LeaseSettings::default(),
        concurrency,
    );
    if arguments.no_death_signal {
        settings.death_grace = None;
    }
    settings.drain_timeout = Duration::from_millis(arguments.drain_timeout_ms);
    // As in the program: claims, sweeps and settlers, and some for handlers that write.
    let pool = settings.pipeline.settlers + 3 + arguments.concurrency.div_ceil(2).min(13);
    let database = server::open_as(&arguments.url, pool, &arguments.name)?;
    let direct = DatabaseUrl::parse(&arguments.url)?;
    let inner = FetchHandler::new(clone_cache(&arguments.folder)?, Locality::AllowLocal, None);
    let teller = Arc::new(Teller::connect(&arguments.tell)?);
    let handlers = Handlers::new().with(Arc::new(Heard { inner, teller }));
    Ok(run_daemon(settings, database, direct, handlers, shutdown).await?)
}
