//! `graphile_worker` (Rust), the fastest peer: the same number of no-op jobs on the same server.
//!
//! Behind the feature `peers`, which is off by default because it brings a second database client. The
//! worker is a process of its own, like ours, set up for throughput as its own benchmark is: a local
//! queue of 500, 500 handlers at once, completions gathered for 5 ms.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext,
    WorkerOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::error::BenchError;
use crate::floor::as_f64;
use crate::process;
use crate::server::{self, Server};
use crate::tell::{Ear, Event, Teller};

/// Jobs that its worker holds locally.
const LOCAL_QUEUE: usize = 500;
/// Handlers at once.
const CONCURRENCY: usize = 500;
/// Between two polls, and how long completions are gathered.
const SHORT: Duration = Duration::from_millis(5);
/// Jobs of one call that enqueues.
const BATCH: usize = 5_000;
/// How long a drain may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The settings of its worker process.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PeerWorker {
    /// The database.
    #[arg(long)]
    pub(crate) url: String,
    /// How many jobs there are.
    #[arg(long)]
    pub(crate) jobs: usize,
    /// A datagram socket that is told when every handler has run.
    #[arg(long)]
    pub(crate) tell: PathBuf,
}

/// The job that does nothing.
#[derive(Serialize, Deserialize)]
struct Noop {}

/// Handlers that have yet to run.
#[derive(Clone, Debug)]
struct Left {
    jobs: Arc<AtomicUsize>,
    teller: Arc<Teller>,
}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(left) = context.get_ext::<Left>()
            && left.jobs.fetch_sub(1, Ordering::Relaxed) == 1
        {
            left.teller.tell(Event::Ended, Uuid::nil().into());
        }
    }
}

fn options(url: &str) -> WorkerOptions {
    WorkerOptions::default()
        .database_url(url)
        .concurrency(CONCURRENCY)
        .poll_interval(SHORT)
        .complete_job_batch_delay(SHORT)
        .local_queue(LocalQueueConfig::default().with_size(LOCAL_QUEUE))
        .define_job::<Noop>()
}

/// Runs its worker until it is asked to end.
pub(crate) async fn run(arguments: PeerWorker) -> Result<(), BenchError> {
    let left = Left {
        jobs: Arc::new(AtomicUsize::new(arguments.jobs)),
        teller: Arc::new(Teller::connect(&arguments.tell)?),
    };
    let worker = options(&arguments.url).add_extension(left).init().await;
    worker.map_err(failed)?.run().await.map_err(failed)
}

/// Drains that many jobs from a new database; answers jobs a second, by the server's clock, from the
/// first claim to the moment at which no job is left, as for ours.
pub(crate) async fn drain(server: &Server, jobs: usize) -> Result<f64, BenchError> {
    let url = server.empty_database()?;
    fill(&url, jobs).await?;
    let client = server::connect(&url).await?;
    server::settle_down(&client).await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("handlers");
    let ear = Ear::bind(&path)?;
    let worker = process::peer_worker(&url, jobs, &path)?;
    let seconds = until_drained(&client, &ear).await?;
    worker.end().await?;
    Ok(as_f64(jobs) / seconds)
}

async fn fill(url: &str, jobs: usize) -> Result<(), BenchError> {
    let worker = options(url).init().await.map_err(failed)?;
    let utilities = worker.create_utils();
    let job = || RawJobSpec {
        identifier: Noop::IDENTIFIER.to_owned(),
        payload: json!({}),
        spec: JobSpec::default(),
    };
    let all: Vec<RawJobSpec> = std::iter::repeat_with(job).take(jobs).collect();
    for batch in all.chunks(BATCH) {
        utilities.add_raw_jobs(batch).await.map_err(failed)?;
    }
    Ok(())
}

async fn until_drained(client: &tokio_postgres::Client, ear: &Ear) -> Result<f64, BenchError> {
    let deadline = Instant::now() + LIMIT;
    let too_late = || BenchError::TooLate {
        what: "draining by the peer",
        seconds: LIMIT.as_secs(),
    };
    let began = loop {
        let row = client
            .query_one(
                "select min(locked_at)::text from graphile_worker._private_jobs where locked_at is not null",
                &[],
            )
            .await?;
        if let Some(began) = row.get::<_, Option<String>>(0) {
            break began;
        }
        if Instant::now() > deadline {
            return Err(too_late());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    // The table is not touched while it is measured: the last handler tells.
    let told = timeout(LIMIT, ear.hear()).await;
    told.map_err(|_elapsed| too_late())??;
    loop {
        let row = client
            .query_one(
                "select not exists (select from graphile_worker._private_jobs), \
                        extract(epoch from clock_timestamp() - $1::text::timestamptz)::float8",
                &[&began],
            )
            .await?;
        if row.get(0) {
            return Ok(row.get(1));
        }
        if Instant::now() > deadline {
            return Err(too_late());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn failed(error: impl std::fmt::Display) -> BenchError {
    BenchError::Unexpected(format!("graphile_worker: {error}"))
}

/// What a report must say about it.
pub(crate) fn describe() -> String {
    format!(
        "graphile_worker (Rust): local queue {LOCAL_QUEUE}, {CONCURRENCY} handlers at once, \
         completions gathered for {} ms; jobs without a queue name",
        SHORT.as_millis()
    )
}
