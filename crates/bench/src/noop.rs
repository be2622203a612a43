//! The kind that does nothing, which only the benchmark registers, and the worker that runs it.
//!
//! The worker is the real one: `leasectl_worker::daemon::run` in a process of its own, with
//! heartbeats, sweeps, wakeups and fenced settlements. Only the handler is empty.

use std::sync::Arc;

use async_trait::async_trait;
use leasectl_core::database::DatabaseUrl;
use leasectl_core::failure::JobError;
use leasectl_core::ids::Owner;
use leasectl_core::kind::{KindSpec, Kinds, Lane};
use leasectl_core::lease::LeaseSettings;
use leasectl_worker::daemon::{
    Concurrency, Handler, Handlers, JobContext, Pipeline, Shutdown, WorkerSettings,
    run as run_daemon,
};
use serde_json::{Value, json};

use crate::cli::NoopWorker;
use crate::error::BenchError;
use crate::server;
use crate::tell::{Event, Teller};

/// The kind that does nothing.
pub(crate) const SPEC: KindSpec = KindSpec {
    name: "noop",
    lane: Lane::Fetch,
    args: &[],
};

/// The standard kinds and the one that does nothing.
pub(crate) fn kinds() -> Kinds {
    Kinds::standard().with(SPEC)
}

struct Noop {
    tell: Option<Teller>,
}

#[async_trait]
impl Handler for Noop {
    fn spec(&self) -> KindSpec {
        SPEC
    }

    async fn run(&self, context: JobContext) -> Result<Value, JobError> {
        if let Some(teller) = &self.tell {
            teller.tell(Event::Started, context.job.id);
        }
        Ok(json!({}))
    }
}

/// Runs the worker until it is asked to end.
pub(crate) async fn run(arguments: NoopWorker) -> Result<(), BenchError> {
    let shutdown = Shutdown::on_signals()?;
    let pipeline = arguments.pipeline;
    let concurrency = Concurrency::none().with(SPEC.lane, pipeline.concurrency);
    let mut settings = WorkerSettings::new(
        Owner::of_this_process(),
        LeaseSettings::default(),
        concurrency,
    );
    settings.pipeline = Pipeline {
        batch: pipeline.batch,
        settlers: pipeline.settlers,
    };
    let tell = arguments.tell.as_deref().map(Teller::connect).transpose()?;
    // One that claims, those that settle, and two for sweeps and registration.
    let database = server::open(&arguments.url, pipeline.settlers + 3)?;
    let direct = DatabaseUrl::parse(&arguments.url)?;
    let handlers = Handlers::new().with(Arc::new(Noop { tell }));
    Ok(run_daemon(settings, database, direct, handlers, shutdown).await?)
}
