//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// A worker process that fetches, and tells when its handlers start and end.
    #[command(hide = true)]
    FetchWorker(FetchWorker),
    /// A worker process that fetches, indexes and backfills.
    #[command(hide = true)]
    IndexWorker(IndexWorker),
    /// A worker process of the peer.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    PeerWorker(crate::peer::PeerWorker),
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
    /// A storm of webhooks for one repository, against the real service.
    Webhooks(Rounds),
    /// One tick for 10,000 leases.
    Heartbeat(Rounds),
    /// One claim in a small, in a large and in a lopsided queue.
    Claim(Rounds),
    /// `ensure_clone` of a clone that is there.
    Warm(Rounds),
    /// Cold clone and nothing-new fetch, beside git.
    Clone(CloneOptions),
    /// Indexing and searching a repository of real source files.
    Index(IndexOptions),
    /// Studying the changes of a real repository, beside git.
    Changes(ChangesOptions),
    /// What becomes of running jobs when their worker or the database is gone.
    Takeover(TakeoverOptions),
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

/// Whose changes to study.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChangesOptions {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// A Git bundle of a real repository with its change refs.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
}

/// What to index.
#[derive(Args, Clone, Debug)]
pub(crate) struct IndexOptions {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// A folder of source files, such as that of cargo's registry: a folder in it counts as a package.
    #[arg(long, value_name = "DIR")]
    pub(crate) corpus: PathBuf,
    /// Bytes of it that are indexed.
    #[arg(long, default_value_t = 20_000_000)]
    pub(crate) bytes: usize,
    /// Branches that differ from each other by one file in a hundred.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) branches: usize,
    /// What to measure; everything unless given.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = IndexCase::ALL)]
    pub(crate) cases: Vec<IndexCase>,
}

/// What can be measured of the index.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IndexCase {
    /// A repository that nobody indexed, and then a little of it changed.
    First,
    /// Queries in a warm process, and a shard that was lost.
    Search,
    /// Many branches of one repository.
    Branches,
    /// Content that means harm.
    Hostile,
}

impl IndexCase {
    const ALL: [Self; 4] = [Self::First, Self::Search, Self::Branches, Self::Hostile];
}

/// What to do to workers, and how often.
#[derive(Args, Clone, Debug)]
pub(crate) struct TakeoverOptions {
    /// What to do; everything unless given.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = TakeoverCase::ALL)]
    pub(crate) cases: Vec<TakeoverCase>,
    /// Kills of each sort with the death signal on.
    #[arg(long, default_value_t = 100)]
    pub(crate) kills: usize,
    /// Worlds in which heartbeats decide: each takes longer than stale-after, all run at once.
    #[arg(long, default_value_t = 5)]
    pub(crate) slow: usize,
    /// Workers that are cut off.
    #[arg(long, default_value_t = 20)]
    pub(crate) cuts: usize,
    /// Workers that are drained.
    #[arg(long, default_value_t = 10)]
    pub(crate) drains: usize,
    /// Workers that idle.
    #[arg(long, default_value_t = 100)]
    pub(crate) idle: usize,
    /// Let heartbeats alone decide, to see what the death signal costs and brings.
    #[arg(long)]
    no_death_signal: bool,
}

impl TakeoverOptions {
    /// Whether the workers hold a liveness session.
    pub(crate) fn death_signal(&self) -> bool {
        !self.no_death_signal
    }
}

impl Default for TakeoverOptions {
    fn default() -> Self {
        Self {
            cases: TakeoverCase::ALL.to_vec(),
            kills: 100,
            slow: 5,
            cuts: 20,
            drains: 10,
            idle: 100,
            no_death_signal: false,
        }
    }
}

/// What to do to workers.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TakeoverCase {
    /// SIGKILL of the owner, alone and with the detector.
    Killed,
    /// SIGKILL with the death signal off.
    WithoutSignal,
    /// SIGSTOP, then SIGCONT.
    Frozen,
    /// A connection that swallows everything.
    Blackholed,
    /// Connections that break and cannot be made again.
    CutOff,
    /// SIGTERM.
    Drained,
    /// A hundred workers without work.
    Idle,
    /// A restart of the database.
    Restarted,
}

impl TakeoverCase {
    const ALL: [Self; 8] = [
        Self::Killed,
        Self::WithoutSignal,
        Self::Frozen,
        Self::Blackholed,
        Self::CutOff,
        Self::Drained,
        Self::Idle,
        Self::Restarted,
    ];
}

/// What every scenario is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct AllOptions {
    #[command(flatten)]
    pub(crate) rounds: Rounds,
    /// A Git bundle of a real repository; without it the clone and changes scenarios are left out.
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

/// The settings of an indexing worker process.
#[derive(Args, Clone, Debug)]
pub(crate) struct IndexWorker {
    /// The database.
    #[arg(long)]
    pub(crate) url: String,
    /// Where its clones are.
    #[arg(long)]
    pub(crate) folder: PathBuf,
}

/// The settings of a fetching worker process.
#[derive(Args, Clone, Debug)]
pub(crate) struct FetchWorker {
    /// The database.
    #[arg(long)]
    pub(crate) url: String,
    /// Where its clones are.
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// What its connections are called.
    #[arg(long)]
    pub(crate) name: String,
    /// A datagram socket that is told when each handler starts and ends.
    #[arg(long)]
    pub(crate) tell: PathBuf,
    /// Handlers at once.
    #[arg(long)]
    pub(crate) concurrency: usize,
    /// How long handlers may finish after SIGTERM, in milliseconds.
    #[arg(long)]
    pub(crate) drain_timeout_ms: u64,
    /// Let heartbeats alone decide.
    #[arg(long)]
    pub(crate) no_death_signal: bool,
}
