//! What a hundred idle workers cost the database server: liveness and polls together.

use std::time::Duration;

use tokio::time::sleep;

use super::silence::plan_of;
use super::world::{Plan, World};
use crate::cli::TakeoverOptions;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::report::{Bar, Report, Unit};
use crate::server::Server;
use crate::tell::{milliseconds, monotonic_nanos};

/// Until statements are prepared and recovery passes are over.
const WARM_UP: Duration = Duration::from_secs(10);
/// How long to count.
const COUNTED: Duration = Duration::from_secs(60);
/// What Linux counts processor time in, as far as programs see it.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) async fn run(server: &Server, options: &TakeoverOptions) -> Result<(), BenchError> {
    let mut report = Report::new("idle workers");
    report.note(Server::describe());
    let plan = Plan {
        workers: options.idle,
        ..Plan::ONE_EACH
    };
    let world = World::open(server, plan_of(plan, options)).await?;
    sleep(WARM_UP).await;
    let (from, before) = (monotonic_nanos(), cpu_ms(server.pid()?)?);
    sleep(COUNTED).await;
    let (to, after) = (monotonic_nanos(), cpu_ms(server.pid()?)?);
    let share = (after - before) / milliseconds(from, to) * 100.0;
    report.add(
        format!("{} idle workers, of one core of the server", options.idle),
        Unit::Percent,
        Bar::AtMost(5.0),
        share,
    );
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

/// Milliseconds of processor that the server and all its processes have used, those that have ended
/// included.
fn cpu_ms(server: u32) -> Result<f64, BenchError> {
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ends meanwhile is counted by its parent.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let Some(usage) = Usage::parse(&stat) else {
            continue;
        };
        if pid == server {
            ticks += usage.own + usage.children;
        } else if usage.parent == server {
            ticks += usage.own;
        }
    }
    let ticks = u32::try_from(ticks).map_or(f64::INFINITY, f64::from);
    Ok(ticks * 1_000.0 / TICKS_PER_SECOND)
}

/// One line of `/proc/PID/stat`, times in clock ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Usage {
    parent: u32,
    own: u64,
    /// Of children that have ended.
    children: u64,
}

impl Usage {
    fn parse(stat: &str) -> Option<Self> {
        // The name stands in parentheses and may hold any character.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            own: number(11)? + number(12)?,
            children: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_the_process_is_called() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 50 6 70 8 20 0 1 0 99 1 1";
        let usage = Usage::parse(stat);
        let expected = Usage {
            parent: 3,
            own: 56,
            children: 78,
        };
        assert_eq!(usage, Some(expected));
    }
}
