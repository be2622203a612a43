//! From the call that enqueues to the start of the handler, in a worker process that is idle.
//!
//! Counted from before the call, so the commit is in it. Both processes read the machine's
//! monotonic clock.

use std::time::Duration;

use leasectl_core::job::enqueue;
use leasectl_core::kind::Lane;
use leasectl_core::wakeup;
use tokio::time::timeout;

use super::PIPELINE;
use crate::cli::Rounds;
use crate::error::BenchError;
use crate::report::{Bar, Report, Unit, median, percentile};
use crate::server::Server;
use crate::tell::{Ear, milliseconds, monotonic_nanos};
use crate::{fill, process};

/// Jobs of one round.
const JOBS: usize = 500;
/// Jobs before that, until connections and statements are prepared.
const WARM_UP: usize = 20;
/// How long the worker is idle between two jobs.
const IDLE: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn run(server: &Server, rounds: Rounds) -> Result<(), BenchError> {
    let mut report = Report::new("latency");
    report.note(Server::describe());
    report.note(format!(
        "{JOBS} jobs one after the other, {} ms apart",
        IDLE.as_millis()
    ));
    for _ in 0..rounds.rounds {
        let times = round(server).await?;
        report.add(
            "median",
            Unit::Milliseconds,
            Bar::AtMost(4.0),
            median(&times),
        );
        report.add(
            "p99",
            Unit::Milliseconds,
            Bar::AtMost(15.0),
            percentile(&times, 99),
        );
        report.add(
            "longest",
            Unit::Milliseconds,
            Bar::None,
            percentile(&times, 100),
        );
    }
    Ok(report.print()?)
}

/// Milliseconds of each job.
async fn round(server: &Server) -> Result<Vec<f64>, BenchError> {
    let queue = server.queue(2).await?;
    let repositories = fill::repositories(&queue.own, WARM_UP + JOBS).await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("handlers");
    let ear = Ear::bind(&path)?;
    let worker = process::noop_worker(&queue.url, PIPELINE, Some(&path))?;
    let mut times = Vec::with_capacity(JOBS);
    for (number, request) in fill::requests(&repositories)?.iter().enumerate() {
        let before = monotonic_nanos();
        enqueue(&queue.database, std::slice::from_ref(request)).await?;
        wakeup::announce(&queue.database.client().await?, &[Lane::Fetch]).await?;
        let heard = timeout(LIMIT, ear.hear()).await;
        let started = heard.map_err(|_elapsed| BenchError::TooLate {
            what: "the start of a handler",
            seconds: LIMIT.as_secs(),
        })??;
        if number >= WARM_UP {
            times.push(milliseconds(before, started.at));
        }
        tokio::time::sleep(IDLE).await;
    }
    worker.end().await?;
    Ok(times)
}
