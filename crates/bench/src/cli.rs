//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures leasectl against floors and peers in one run.
#[derive(Parser, Debug)]
#[command(name = "leasectl-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A scenario by its name, or one of the processes that scenarios start.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run one scenario, or all of them.
    #[command(flatten)]
    Scenario(Scenarios),
    /// A worker process with a handler that does nothing.
    #[command(hide = true)]
    NoopWorker(NoopWorker),
    /// The HTTP service, as its own program runs it.
    #[command(hide = true)]
    ApiService(leasectl_api::config::Arguments),
}

/// What can be measured.
#[derive(Subcommand, Debug)]
pub(crate) enum Scenarios {
    /// Every scenario; those that need a bundle only when one is given.
    All(AllOptions),
    /// No-op jobs through one worker process and through four, beside the floor.
    Drain(DrainOptions),
    /// Bulk enqueue through the batch path, beside COPY.
    Enqueue(EnqueueOptions),
    /// From enqueueing to the start of the handler, with an idle worker.
    Latency(Rounds),
    /// POST /v1/jobs under a fixed rate, against the real service.
    Api(Rounds),
    /// One tick for 10,000 leases.
    Heartbeat(Rounds),
    /// One claim in a small, in a large and in a lopsided queue.
    Claim(Rounds),
    /// `ensure_clone` of a clone that is there.
    Warm(Rounds),
    /// Cold clone and nothing-new fetch, beside git.
    Clone(CloneOptions),
}

/// How often to measure.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// Rounds; the median of them is what counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=25))]
    pub(crate) rounds: u8,
}

/// How to drain.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrainOptions {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// Jobs, each in a lane of its own.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) jobs: usize,
    /// How many processes to measure with.
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    pub(crate) processes: Vec<usize>,
    #[command(flatten)]
    pub(crate) pipeline: PipelineOptions,
}

/// How the worker claims and settles.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PipelineOptions {
    /// Handlers at once in one process.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) concurrency: usize,
    /// Leases of one claim and of one settling statement.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) batch: usize,
    /// Connections that settle.
    #[arg(long, default_value_t = 2)]
    pub(crate) settlers: usize,
}

/// How to enqueue.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct EnqueueOptions {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// Jobs, each in a lane of its own.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) jobs: usize,
    /// Jobs of one call.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) batch: usize,
    /// Connections.
    #[arg(long, default_value_t = 2)]
    pub(crate) connections: usize,
}

/// What to clone.
#[derive(Args, Clone, Debug)]
pub(crate) struct CloneOptions {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// A Git bundle of a real repository.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
}

/// What every scenario is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct AllOptions {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// A Git bundle of a real repository; without it the clone scenario is left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
}

/// The settings of a no-op worker process.
#[derive(Args, Clone, Debug)]
pub(crate) struct NoopWorker {
    /// The database.
    #[arg(long)]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) pipeline: PipelineOptions,
    /// A datagram socket that is told when each handler starts.
    #[arg(long)]
    pub(crate) tell: Option<PathBuf>,
}
