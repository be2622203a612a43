//! No-op jobs through real worker processes, each job in a lane of its own, beside the floor.

use std::time::{Duration, Instant};

use crate::cli::{DrainOptions, PipelineOptions};
use crate::error::BenchError;
use crate::floor::{self, as_f64};
use crate::report::{Bar, Report, Unit};
use crate::server::{self, Server};
use crate::{fill, process};

/// How long one drain may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How often to look whether it is over, once every job was claimed.
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(crate) async fn run(server: &Server, options: &DrainOptions) -> Result<(), BenchError> {
    let mut report = Report::new("drain");
    report.note(Server::describe());
    report.note(format!(
        "{} jobs of as many lanes; worker: concurrency {}, batches of {}, {} settling connections",
        options.jobs,
        options.pipeline.concurrency,
        options.pipeline.batch,
        options.pipeline.settlers
    ));
    for _ in 0..options.rounds.rounds {
        let floor = floor::drain(server, options.jobs).await?;
        report.note(format!(
            "floor: one client, batches of 100, driven by {}",
            floor.driver
        ));
        report.add(
            "floor",
            Unit::JobsPerSecond,
            Bar::None,
            floor.jobs_per_second,
        );
        let mut one = None;
        for processes in &options.processes {
            let rate = drain(server, options.jobs, *processes, options.pipeline).await?;
            report.add(name(*processes), Unit::JobsPerSecond, Bar::None, rate);
            if *processes == 1 {
                one = Some(rate);
                let ratio = rate / floor.jobs_per_second;
                report.add("one process ÷ floor", Unit::Ratio, Bar::AtLeast(0.8), ratio);
            } else if let Some(one) = one {
                let name = format!("{} ÷ one process", name(*processes));
                report.add(name, Unit::Ratio, Bar::AtLeast(0.9), rate / one);
            }
        }
        #[cfg(feature = "peers")]
        beside_peer(server, options.jobs, one, &mut report).await?;
    }
    Ok(report.print()?)
}

/// What a peer does with as many jobs on the same server.
#[cfg(feature = "peers")]
async fn beside_peer(
    server: &Server,
    jobs: usize,
    one: Option<f64>,
    report: &mut Report,
) -> Result<(), BenchError> {
    report.note(crate::peer::describe());
    let peer = crate::peer::drain(server, jobs).await?;
    let name = "graphile_worker, one process";
    report.add(name, Unit::JobsPerSecond, Bar::None, peer);
    if let Some(one) = one {
        report.add(
            "one process ÷ graphile_worker",
            Unit::Ratio,
            Bar::None,
            one / peer,
        );
    }
    Ok(())
}

fn name(processes: usize) -> String {
    match processes {
        1 => "one process".to_owned(),
        many => format!("{many} processes"),
    }
}

/// Drains a new queue with that many processes; answers jobs a second, by the server's clock, from
/// the first claim to the moment at which no job is left.
async fn drain(
    server: &Server,
    jobs: usize,
    processes: usize,
    pipeline: PipelineOptions,
) -> Result<f64, BenchError> {
    let queue = server.queue(2).await?;
    let repositories = fill::repositories(&queue.own, jobs).await?;
    fill::jobs(&queue.database, &repositories).await?;
    server::settle_down(&queue.own).await?;
    let workers: Vec<_> = (0..processes)
        .map(|_| process::noop_worker(&queue.url, pipeline, None))
        .collect::<Result<_, _>>()?;
    let seconds = until_drained(&queue.own, jobs).await?;
    for worker in workers {
        worker.end().await?;
    }
    check(&queue.own, jobs).await?;
    Ok(as_f64(jobs) / seconds)
}

async fn until_drained(client: &tokio_postgres::Client, jobs: usize) -> Result<f64, BenchError> {
    let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
    let deadline = Instant::now() + LIMIT;
    let too_late = || BenchError::TooLate {
        what: "draining",
        seconds: LIMIT.as_secs(),
    };
    // A sequence is read without touching the table that is being measured.
    let claimed = client
        .prepare("select last_value from leasectl.lease_token")
        .await?;
    while client.query_one(&claimed, &[]).await?.get::<_, i64>(0) < jobs {
        if Instant::now() > deadline {
            return Err(too_late());
        }
        tokio::time::sleep(LOOK_EVERY * 10).await;
    }
    let over = client
        .prepare("select not exists (select from leasectl.job where state = 'running'), clock_timestamp()::text")
        .await?;
    loop {
        let row = client.query_one(&over, &[]).await?;
        if row.get(0) {
            let end: String = row.get(1);
            let seconds = client
                .query_one(
                    "select extract(epoch from $1::text::timestamptz - min(started_at))::float8 \
                       from leasectl.job_history",
                    &[&end],
                )
                .await?;
            return Ok(seconds.get(0));
        }
        if Instant::now() > deadline {
            return Err(too_late());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A rate counts only if every job was done, exactly once.
async fn check(client: &tokio_postgres::Client, jobs: usize) -> Result<(), BenchError> {
    let row = client
        .query_one(
            "select (select count(*) from leasectl.job), count(*), \
                    count(*) filter (where state = 'completed' and attempt = 1) \
               from leasectl.job_history",
            &[],
        )
        .await?;
    let (left, finished, once): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    if left == 0 && usize::try_from(finished) == Ok(jobs) && finished == once {
        return Ok(());
    }
    Err(BenchError::Unexpected(format!(
        "{left} jobs are left, {finished} finished, {once} of them at the first attempt"
    )))
}
