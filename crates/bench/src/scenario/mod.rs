//! One file for each thing that is measured.

mod api;
mod changes;
mod claim;
mod clone;
mod drain;
mod enqueue;
mod heartbeat;
mod index;
mod latency;
mod takeover;
mod warm;
mod webhooks;

pub(crate) use self::clone::cache as clone_cache;

use crate::cli::{
    AllOptions, ChangesOptions, CloneOptions, DrainOptions, EnqueueOptions, PipelineOptions,
    Scenarios, TakeoverOptions,
};
use crate::error::BenchError;
use crate::server::Server;

/// How a worker claims and settles when a scenario does not say otherwise.
pub(crate) const PIPELINE: PipelineOptions = PipelineOptions {
    concurrency: 2_000,
    batch: 1_000,
    settlers: 2,
};

/// Runs what was asked for and prints each report as soon as it is there.
pub(crate) async fn run(scenario: &Scenarios) -> Result<(), BenchError> {
    let server = Server::start()?;
    match scenario {
        Scenarios::All(options) => all(&server, options).await,
        Scenarios::Drain(options) => drain::run(&server, options).await,
        Scenarios::Enqueue(options) => enqueue::run(&server, options).await,
        Scenarios::Latency(rounds) => latency::run(&server, *rounds).await,
        Scenarios::Api(rounds) => api::run(&server, *rounds).await,
        Scenarios::Webhooks(rounds) => webhooks::run(&server, *rounds).await,
        Scenarios::Heartbeat(rounds) => heartbeat::run(&server, *rounds).await,
        Scenarios::Claim(rounds) => claim::run(&server, *rounds).await,
        Scenarios::Warm(rounds) => warm::run(*rounds).await,
        Scenarios::Clone(options) => clone::run(options).await,
        Scenarios::Index(options) => index::run(&server, options).await,
        Scenarios::Changes(options) => changes::run(&server, options).await,
        Scenarios::Takeover(options) => takeover::run(options).await,
    }
}

async fn all(server: &Server, options: &AllOptions) -> Result<(), BenchError> {
    let rounds = options.rounds;
    let drain = DrainOptions {
        rounds,
        jobs: 100_000,
        processes: vec![1, 4],
        pipeline: PIPELINE,
    };
    drain::run(server, &drain).await?;
    let enqueue = EnqueueOptions {
        rounds,
        jobs: 100_000,
        batch: 1_000,
        connections: 2,
    };
    enqueue::run(server, &enqueue).await?;
    latency::run(server, rounds).await?;
    api::run(server, rounds).await?;
    webhooks::run(server, rounds).await?;
    heartbeat::run(server, rounds).await?;
    claim::run(server, rounds).await?;
    warm::run(rounds).await?;
    takeover::run(&TakeoverOptions::default()).await?;
    if let Some(bundle) = options.bundle.clone() {
        clone::run(&CloneOptions {
            rounds,
            bundle: bundle.clone(),
        })
        .await?;
        changes::run(server, &ChangesOptions { rounds, bundle }).await?;
    }
    Ok(())
}
