//! The owner's connections to the database break and cannot be made again.

use super::kill::{finish, owned_by};
use super::silence::{plan_of, set_way};
use super::world::{Plan, World};
use super::{Bars, add_none, add_times, report};
use crate::cli::TakeoverOptions;
use crate::error::BenchError;
use crate::proxy::Way;
use crate::server::Server;
use crate::tell::{Event, milliseconds, monotonic_nanos};

/// The longest that handlers run on (I11): the grace less 100 ms to hold the lock again, and 10 ms.
const STOP_LIMIT_MS: f64 = 300.0 - 100.0 + 10.0;

pub(super) async fn run(server: &Server, options: &TakeoverOptions) -> Result<(), BenchError> {
    let mut report = report("takeover from a worker that was cut off");
    let plan = Plan {
        proxied: true,
        ..Plan::ONE_EACH
    };
    let mut world = World::open(server, plan_of(plan, options)).await?;
    let (mut takeovers, mut stops, mut unfinished) = (Vec::new(), Vec::new(), 0);
    for _ in 0..options.cuts {
        let detector = world.some_detector().await?;
        let victim = owned_by(&mut world, |pid| pid != detector).await?;
        let at = monotonic_nanos();
        set_way(&world, victim.pid, Way::Cut)?;
        let stopped = world.told(Event::Stopped, victim.job, victim.pid).await?;
        let heir = world.started(victim.job, victim.pid).await?;
        unfinished += usize::from(!finish(&world, &victim).await?);
        stops.push(milliseconds(at, stopped.at));
        takeovers.push(milliseconds(at, heir.at));
        world.take(victim.pid)?.process.kill().await?;
        world.fill_up().await?;
    }
    add_times(
        &mut report,
        "cut off, its own handler stopped",
        &stops,
        Bars::every(STOP_LIMIT_MS),
    );
    add_times(&mut report, "cut off", &takeovers, Bars::NONE);
    add_none(
        &mut report,
        "jobs that did not complete in their second attempt",
        unfinished,
    );
    world.close().await?;
    Ok(report.print()?)
}
