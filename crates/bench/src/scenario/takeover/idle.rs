//! What a hundred idle workers cost the database server: liveness and polls together.

use std::time::Duration;

use tokio::time::sleep;

use super::silence::plan_of;
use super::world::{Plan, World};
use crate::cli::TakeoverOptions;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::host::{Host, cpu_ms_of_family};
use crate::report::{Bar, Report, Unit};
use crate::server::Server;
use crate::tell::{milliseconds, monotonic_nanos};

/// Until statements are prepared and recovery passes are over.
const WARM_UP: Duration = Duration::from_secs(10);
/// How long to count.
const COUNTED: Duration = Duration::from_secs(60);

pub(super) async fn run(server: &Server, options: &TakeoverOptions) -> Result<(), BenchError> {
    let mut report = Report::new("idle workers");
    report.note(Server::describe());
    let plan = Plan {
        workers: options.idle,
        ..Plan::ONE_EACH
    };
    let world = World::open(server, plan_of(plan, options)).await?;
    sleep(WARM_UP).await;
    let host = Host::watch()?;
    let (from, before) = (monotonic_nanos(), cpu_ms_of_family(server.pid()?)?);
    sleep(COUNTED).await;
    let (to, after) = (monotonic_nanos(), cpu_ms_of_family(server.pid()?)?);
    let share = (after - before) / milliseconds(from, to) * 100.0;
    report.add(
        format!("{} idle workers, of one core of the server", options.idle),
        Unit::Percent,
        Bar::AtMost(5.0),
        share,
    );
    report.add("the host took", Unit::Percent, Bar::None, host.stolen()?);
    let client = world.database.client().await?;
    let connections: i64 = client
        .query_one(
            "select count(*) from pg_stat_activity where client_port is not null",
            &[],
        )
        .await?
        .get(0);
    report.add(
        "connections",
        Unit::Count,
        Bar::None,
        as_f64(usize::try_from(connections).unwrap_or(0)),
    );
    drop(client);
    world.close().await?;
    Ok(report.print()?)
}
