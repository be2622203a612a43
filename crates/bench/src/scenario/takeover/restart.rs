//! The database restarts while fifty jobs run: nobody is robbed, nothing is lost, work goes on.

use std::time::Duration;

use leasectl_core::ids::JobId;
use leasectl_core::job::{JobView, PublicState};
use leasectl_embedded::Mode;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::kill::outcomes;
use super::remote::Remote;
use super::silence::plan_of;
use super::world::{Plan, World};
use super::{add_none, report, settle};
use crate::cli::TakeoverOptions;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::report::{Bar, Report, Unit};
use crate::server::{self, Server};
use crate::tell::{epoch_seconds, milliseconds, monotonic_nanos, wall_seconds};

/// Jobs that run when the server stops.
const JOBS: usize = 50;
/// How long the server is away; what half of the jobs wait for comes meanwhile.
const AWAY: Duration = Duration::from_secs(1);
/// How long the other half is watched: until a detector may judge again, and some polls.
const WATCHED: Duration = Duration::from_secs(20);
/// Until work has to go on.
const LIMIT_MS: f64 = 3_000.0;

pub(super) async fn run(server: &Server, options: &TakeoverOptions) -> Result<(), BenchError> {
    let mut report = report("restart of the database");
    report.note(format!(
        "{JOBS} jobs run; the server is away for {AWAY:?}, in which half of them finish their work; \
         the others are watched for {WATCHED:?} before they finish"
    ));
    for (name, mode) in [("fast", Mode::Fast), ("immediate", Mode::Immediate)] {
        round(server, options, &mut report, name, mode).await?;
    }
    Ok(report.print()?)
}

async fn round(
    server: &Server,
    options: &TakeoverOptions,
    report: &mut Report,
    name: &str,
    mode: Mode,
) -> Result<(), BenchError> {
    let plan = Plan {
        concurrency: JOBS.div_ceil(2),
        ..Plan::ONE_EACH
    };
    settle(server).await?;
    let mut world = World::open(server, plan_of(plan, options)).await?;
    let slow_remote = Remote::start().await?;
    let quick = running(&mut world, None).await?;
    let slow = running(&mut world, Some(&slow_remote)).await?;

    block_in_place(|| server.stop(mode))?;
    world.remote.hurry();
    sleep(AWAY).await;
    let answer = tokio::spawn(first_answer(world.url.clone()));
    block_in_place(|| server.start_again())?;
    let returned = answer
        .await
        .map_err(|error| BenchError::Unexpected(error.to_string()))?;
    let fresh = world.start_job().await?;
    let fresh = world.started(fresh.job, 0).await?;
    let mut settled = f64::INFINITY;
    let mut views = Vec::with_capacity(JOBS);
    for job in &quick {
        let view = world.over(*job).await?;
        settled = settled.min(view.finished_at.map_or(f64::INFINITY, epoch_seconds));
        views.push(view);
    }
    sleep(WATCHED).await;
    slow_remote.hurry();
    for job in &slow {
        views.push(world.over(*job).await?);
    }
    // Every worker is watched again.
    world.fill_up().await?;
    world.close().await?;

    let ms = Unit::Milliseconds;
    let bar = Bar::AtMost(LIMIT_MS);
    let settled = (settled - wall_seconds(returned)) * 1_000.0;
    report.add(
        format!("{name}: until the first settlement"),
        ms,
        bar,
        settled,
    );
    let started = milliseconds(returned, fresh.at);
    report.add(format!("{name}: until a new job starts"), ms, bar, started);
    add_fates(report, name, &views);
    Ok(())
}

/// Whether anybody took a live worker's job, and whether every job was done.
fn add_fates(report: &mut Report, name: &str, jobs: &[JobView]) {
    let count = |is_so: &dyn Fn(&JobView) -> bool| jobs.iter().filter(|job| is_so(job)).count();
    let robbed = count(&|job| outcomes(job).contains(&"lost"));
    add_none(report, &format!("{name}: jobs that were robbed"), robbed);
    let lost = count(&|job| job.state != PublicState::Completed);
    add_none(report, &format!("{name}: jobs that did not complete"), lost);
    let again = as_f64(count(&|job| job.attempts.len() > 1));
    let again_name = format!("{name}: jobs that ran again");
    report.add(again_name, Unit::Count, Bar::None, again);
}

/// Half of the jobs, in the middle of fetching from that remote, or from the world's own.
async fn running(world: &mut World, remote: Option<&Remote>) -> Result<Vec<JobId>, BenchError> {
    let remote = remote.unwrap_or(&world.remote);
    let packs = remote.packs();
    let accepted = world.enqueue_from(remote, JOBS / 2).await?;
    remote.begun(packs + (JOBS / 2) as u64).await?;
    let jobs: Vec<_> = accepted.into_iter().map(|(job, _)| job).collect();
    for job in &jobs {
        world.started(*job, 0).await?;
    }
    Ok(jobs)
}

/// The moment of the monotonic clock at which the database answers.
async fn first_answer(url: String) -> u64 {
    loop {
        if let Ok(client) = server::connect(&url).await
            && client.batch_execute("select 1").await.is_ok()
        {
            return monotonic_nanos();
        }
        sleep(Duration::from_millis(2)).await;
    }
}
