//! What happens to running jobs when their owner dies, freezes, is cut off, drains, or when the
//! database restarts: how long until the handler of the same job starts in another process.
//!
//! Real worker processes with the production's default timing, a real server and a real Git remote
//! that drips in the middle of a pack. Handlers tell their starts themselves (see `tell`), so every
//! time is measured between two readings of one clock.

mod audit;
mod cut_off;
mod drain;
mod idle;
mod kill;
mod remote;
mod restart;
mod silence;
mod world;

use std::time::Duration;

use leasectl_core::lease::LeaseSettings;
use tokio::time::sleep;

use crate::cli::{TakeoverCase, TakeoverOptions};
use crate::error::BenchError;
use crate::report::{Bar, Report, Unit, median, percentile};
use crate::server::{self, Server};

/// The server must have run this long before an absent lock means anything (see the death signal).
const SETTLED: Duration = Duration::from_secs(16);
/// A hundred idle workers need about five connections each.
const CONNECTIONS: (&str, &str) = ("max_connections", "1000");

/// Runs the cases on a server of their own, and prints each report as soon as it is there.
pub(crate) async fn run(options: &TakeoverOptions) -> Result<(), BenchError> {
    let server = Server::start_with(&[CONNECTIONS])?;
    settle(&server).await?;
    for case in &options.cases {
        match case {
            TakeoverCase::Killed => kill::run(&server, options).await?,
            TakeoverCase::WithoutSignal => silence::without_signal(&server, options).await?,
            TakeoverCase::Frozen => silence::frozen(&server, options).await?,
            TakeoverCase::Blackholed => silence::blackholed(&server, options).await?,
            TakeoverCase::CutOff => cut_off::run(&server, options).await?,
            TakeoverCase::Drained => drain::run(&server, options).await?,
            TakeoverCase::Idle => idle::run(&server, options).await?,
            TakeoverCase::Restarted => restart::run(&server, options).await?,
        }
    }
    Ok(())
}

/// Waits until the server has run for long enough.
async fn settle(server: &Server) -> Result<(), BenchError> {
    let client = server::connect(&server.empty_database()?).await?;
    let row = client
        .query_one(
            "select extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8",
            &[],
        )
        .await?;
    let uptime = Duration::from_secs_f64(row.get::<_, f64>(0).max(0.0));
    sleep(SETTLED.saturating_sub(uptime)).await;
    Ok(())
}

/// A report that says what every case has in common.
fn report(scenario: &'static str) -> Report {
    let mut report = Report::new(scenario);
    report.note(Server::describe());
    report.note(
        "three worker processes with default timing; from the event to the start of the same job's \
         handler in another process",
    );
    report
}

/// The longest takeover that heartbeats allow: stale-after and one poll, which comes up to a tenth
/// late.
fn by_heartbeats() -> f64 {
    let poll = Duration::from_millis(1_100);
    (LeaseSettings::default().stale_after() + poll).as_secs_f64() * 1_000.0
}

/// What the times of one event have to reach, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Bars {
    median: Bar,
    p99: Bar,
    longest: Bar,
}

impl Bars {
    const NONE: Self = Self {
        median: Bar::None,
        p99: Bar::None,
        longest: Bar::None,
    };

    /// A bar that every single time has to meet.
    fn every(limit_ms: f64) -> Self {
        Self {
            longest: Bar::AtMost(limit_ms),
            ..Self::NONE
        }
    }
}

/// Adds the times of one event, in milliseconds, under that name.
fn add_times(report: &mut Report, name: &str, times: &[f64], bars: Bars) {
    let ms = Unit::Milliseconds;
    let note = format!("{name}: {} times", times.len());
    report.note(note);
    report.add(format!("{name}: p50"), ms, bars.median, median(times));
    report.add(format!("{name}: p90"), ms, Bar::None, percentile(times, 90));
    report.add(format!("{name}: p99"), ms, bars.p99, percentile(times, 99));
    report.add(
        format!("{name}: longest"),
        ms,
        bars.longest,
        percentile(times, 100),
    );
}

/// Adds a number that must be zero.
fn add_none(report: &mut Report, name: &str, count: usize) {
    let count = crate::floor::as_f64(count);
    report.add(name, Unit::Count, Bar::AtMost(0.0), count);
}
