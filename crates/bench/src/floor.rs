//! The floor: what a plain table with one partial index does, without lease, fence or history.
//!
//! One client claims and completes batches of 100 with two hand-written statements. It is driven by
//! `pgbench` where that is installed, and else by an equivalent loop here.

use std::io::Write;
use std::time::Instant;

use futures::SinkExt;
use tokio_postgres::Client;

use crate::error::BenchError;
use crate::process;
use crate::server::{self, Server};

const SCHEMA: &str = include_str!("floor/schema.sql");
const CLAIM: &str = include_str!("floor/claim.sql");
const COMPLETE: &str = include_str!("floor/complete.sql");
const PGBENCH: &str = include_str!("floor/pgbench.sql");

/// Jobs of one claim.
const BATCH: usize = 100;

/// How fast the floor was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) jobs_per_second: f64,
    /// What drove it.
    pub(crate) driver: &'static str,
}

/// Drains that many jobs from a new database.
pub(crate) async fn drain(server: &Server, jobs: usize) -> Result<Floor, BenchError> {
    let url = server.empty_database()?;
    let client = server::connect(&url).await?;
    client.batch_execute(SCHEMA).await?;
    let count = i64::try_from(jobs).unwrap_or(i64::MAX);
    client
        .execute(
            "insert into floor_job (kind) select 'noop' from generate_series(1, $1::bigint)",
            &[&count],
        )
        .await?;
    server::settle_down(&client).await?;
    let transactions = jobs / BATCH;
    if let Some(rate) = with_pgbench(server, &url, transactions).await? {
        return Ok(Floor {
            jobs_per_second: rate,
            driver: "pgbench",
        });
    }
    let rate = with_own_loop(&client, transactions).await?;
    Ok(Floor {
        jobs_per_second: rate,
        driver: "own loop",
    })
}

async fn with_pgbench(
    server: &Server,
    url: &str,
    transactions: usize,
) -> Result<Option<f64>, BenchError> {
    let mut script = tempfile::NamedTempFile::new()?;
    script.write_all(PGBENCH.as_bytes())?;
    let mut arguments: Vec<String> = ["-n", "-M", "prepared", "-c", "1"]
        .map(str::to_owned)
        .to_vec();
    arguments.extend(["-t".to_owned(), transactions.to_string()]);
    arguments.extend(["-D".to_owned(), format!("bs={BATCH}")]);
    arguments.extend(["-f".to_owned(), script.path().display().to_string()]);
    arguments.extend(server.program_arguments(url));
    let Some(output) = process::output("pgbench", arguments).await? else {
        return Ok(None);
    };
    let tps: Option<f64> = output
        .lines()
        .filter_map(|line| line.strip_prefix("tps = "))
        .filter_map(|rest| rest.split(' ').next())
        .find_map(|number| number.parse().ok());
    let tps = tps.ok_or_else(|| BenchError::Unexpected(format!("pgbench said: {output}")))?;
    Ok(Some(tps * as_f64(BATCH)))
}

async fn with_own_loop(client: &Client, transactions: usize) -> Result<f64, BenchError> {
    let claim = client.prepare(CLAIM).await?;
    let complete = client.prepare(COMPLETE).await?;
    let batch = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let started = Instant::now();
    for _ in 0..transactions {
        let rows = client.query(&claim, &[&batch]).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        client.execute(&complete, &[&ids]).await?;
    }
    Ok(as_f64(transactions * BATCH) / started.elapsed().as_secs_f64())
}

/// Copies that many jobs into a new floor table; answers rows a second.
pub(crate) async fn copy(server: &Server, jobs: usize) -> Result<f64, BenchError> {
    let url = server.empty_database()?;
    let client = server::connect(&url).await?;
    client.batch_execute(SCHEMA).await?;
    server::settle_down(&client).await?;
    let mut rows = String::new();
    for _ in 0..jobs {
        rows.push_str("noop\t{}\n");
    }
    let started = Instant::now();
    let sink = client
        .copy_in("copy floor_job (kind, payload) from stdin")
        .await?;
    futures::pin_mut!(sink);
    sink.send(std::io::Cursor::new(rows.into_bytes())).await?;
    let copied = sink.finish().await?;
    let seconds = started.elapsed().as_secs_f64();
    if usize::try_from(copied) != Ok(jobs) {
        return Err(BenchError::Unexpected(format!("COPY took {copied} rows")));
    }
    Ok(as_f64(jobs) / seconds)
}

/// A count as a number to divide.
pub(crate) fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
