//! SIGTERM of a busy worker: what it hands back runs elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use leasectl_core::ids::JobId;
use leasectl_core::job;

use super::silence::plan_of;
use super::world::{Plan, World};
use super::{Bars, add_none, add_times, report};
use crate::cli::TakeoverOptions;
use crate::error::BenchError;
use crate::process::Signal;
use crate::server::Server;
use crate::tell::{epoch_seconds, wall_seconds};

/// Jobs of one round: with four handlers in each of three workers, the ones of one worker fit into
/// the two that are left.
const JOBS: usize = 8;
/// Shorter than the default, because these handlers never finish by themselves.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest between the release and the start elsewhere.
const LIMIT_MS: f64 = 200.0;

pub(super) async fn run(server: &Server, options: &TakeoverOptions) -> Result<(), BenchError> {
    let mut report = report("takeover after SIGTERM");
    report.note(format!(
        "from the release, by the server's clock; drain time-out {DRAIN_TIMEOUT:?}, {JOBS} jobs in \
         three workers with four handlers each"
    ));
    let plan = Plan {
        concurrency: 4,
        drain_timeout: DRAIN_TIMEOUT,
        ..Plan::ONE_EACH
    };
    let mut world = World::open(server, plan_of(plan, options)).await?;
    let (mut times, mut spent) = (Vec::new(), 0);
    for _ in 0..options.drains {
        let (round, spent_now) = round(&mut world).await?;
        times.extend(round);
        spent += spent_now;
        world.fill_up().await?;
    }
    add_times(&mut report, "released", &times, Bars::every(LIMIT_MS));
    add_none(&mut report, "attempts spent by a release", spent);
    world.close().await?;
    Ok(report.print()?)
}

/// Drains the busiest worker once; answers the milliseconds from each release to the start
/// elsewhere, and how many jobs did not complete in their first attempt.
async fn round(world: &mut World) -> Result<(Vec<f64>, usize), BenchError> {
    world.forget();
    world.remote.drip();
    let packs = world.remote.packs();
    let accepted = world.enqueue(JOBS).await?;
    let mut owned: HashMap<u32, Vec<JobId>> = HashMap::new();
    for (job, _) in &accepted {
        let started = world.started(*job, 0).await?;
        owned.entry(started.pid).or_default().push(*job);
    }
    world.remote.begun(packs + JOBS as u64).await?;
    let busiest = owned.into_iter().max_by_key(|(_, jobs)| jobs.len());
    let (pid, jobs) = busiest.ok_or_else(|| BenchError::Unexpected("nobody works".to_owned()))?;
    world.member(pid)?.process.signal(Signal::TERM)?;
    let mut times = Vec::with_capacity(jobs.len());
    for id in jobs {
        let started = wall_seconds(world.started(id, pid).await?.at);
        let view = job::find(&world.database, id).await?;
        let released = view
            .iter()
            .flat_map(|view| &view.attempts)
            .find(|attempt| attempt.outcome.as_deref() == Some("released"))
            .and_then(|attempt| attempt.finished_at);
        let released = released
            .ok_or_else(|| BenchError::Unexpected(format!("job {id} moved without a release")))?;
        times.push((started - epoch_seconds(released)) * 1_000.0);
    }
    world.take(pid)?.process.ended().await?;
    world.remote.hurry();
    let mut spent = 0;
    for (id, _) in accepted {
        spent += usize::from(world.over(id).await?.attempt != 1);
    }
    Ok((times, spent))
}
