//! Bulk enqueue through the batch path, beside COPY into the floor's table.

use std::sync::Arc;
use std::time::Instant;

use leasectl_core::job::{EnqueueRequest, enqueue};
use tokio::task::JoinSet;

use crate::cli::EnqueueOptions;
use crate::error::BenchError;
use crate::fill;
use crate::floor::{self, as_f64};
use crate::report::{Bar, Report, Unit};
use crate::server::{self, Server};

/// Jobs a second that are enough, whatever COPY does.
const ENOUGH: f64 = 60_000.0;
/// The share of COPY that is enough, however slow the machine.
const ENOUGH_OF_COPY: f64 = 0.25;

pub(crate) async fn run(server: &Server, options: &EnqueueOptions) -> Result<(), BenchError> {
    let mut report = Report::new("enqueue");
    report.note(Server::describe());
    report.note(format!(
        "{} jobs of as many lanes, calls of {} jobs, {} connections; enough is 60,000/s or 0.25 × COPY",
        options.jobs, options.batch, options.connections
    ));
    for _ in 0..options.rounds.rounds {
        let copy = floor::copy(server, options.jobs).await?;
        let rate = fill_queue(server, options).await?;
        let least = ENOUGH.min(ENOUGH_OF_COPY * copy);
        report.add(
            "COPY into the floor's table",
            Unit::JobsPerSecond,
            Bar::None,
            copy,
        );
        report.add("enqueue", Unit::JobsPerSecond, Bar::None, rate);
        report.add("enqueue ÷ COPY", Unit::Ratio, Bar::None, rate / copy);
        report.add(
            "enqueue ÷ what is enough",
            Unit::Ratio,
            Bar::AtLeast(1.0),
            rate / least,
        );
    }
    Ok(report.print()?)
}

/// Enqueues into a new queue; answers jobs a second.
async fn fill_queue(server: &Server, options: &EnqueueOptions) -> Result<f64, BenchError> {
    let queue = server.queue(options.connections).await?;
    let repositories = fill::repositories(&queue.own, options.jobs).await?;
    server::settle_down(&queue.own).await?;
    let requests: Arc<[EnqueueRequest]> = fill::requests(&repositories)?.into();
    // Statements are prepared once for each connection, not once for each batch.
    let batch = options.batch.max(1);
    let share = requests.len().div_ceil(options.connections.max(1)).max(1);
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for connection in 0..options.connections {
        let (database, requests) = (queue.database.clone(), Arc::clone(&requests));
        tasks.spawn(async move {
            let mine = requests.chunks(share).nth(connection).unwrap_or_default();
            for jobs in mine.chunks(batch) {
                enqueue(&database, jobs).await?;
            }
            Ok::<_, BenchError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| BenchError::Unexpected(error.to_string()))??;
    }
    let seconds = started.elapsed().as_secs_f64();
    let row = queue
        .own
        .query_one(
            "select count(*) from leasectl.job where state = 'ready'",
            &[],
        )
        .await?;
    if usize::try_from(row.get::<_, i64>(0)) != Ok(options.jobs) {
        return Err(BenchError::Unexpected(
            "not every job became ready".to_owned(),
        ));
    }
    Ok(as_f64(options.jobs) / seconds)
}
