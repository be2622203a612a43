//! One tick for 10,000 leases, and what it writes, by the server's own statistics.

use std::time::{Duration, Instant};

use leasectl_core::ids::Owner;
use leasectl_core::kind::Lane;
use leasectl_core::lease::{Beat, ClaimRequest, Lease, LeaseSettings, Progress, claim, heartbeat};
use tokio_postgres::Client;

use crate::cli::Rounds;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::report::{Bar, Report, Unit, median};
use crate::server::{self, Queue, Server};
use crate::{fill, noop};

const LEASES: usize = 10_000;
/// Ticks of one round; a round's number is their median.
const TICKS: usize = 9;
/// The server publishes its statistics about once a second.
const STATISTICS_LIMIT: Duration = Duration::from_secs(20);

/// What the server says of the table of jobs.
struct Written {
    updates: i64,
    heap_only: i64,
    index_bytes: i64,
    log_bytes: f64,
}

pub(crate) async fn run(server: &Server, rounds: Rounds) -> Result<(), BenchError> {
    let mut report = Report::new("heartbeat");
    report.note(Server::describe());
    report.note(format!(
        "{LEASES} leases of one owner, {TICKS} ticks of each sort in a round"
    ));
    for _ in 0..rounds.rounds {
        round(server, &mut report).await?;
    }
    Ok(report.print()?)
}

async fn round(server: &Server, report: &mut Report) -> Result<(), BenchError> {
    let queue = server.queue(1).await?;
    let owner = Owner::of_this_process();
    let leases = claimed(&queue, &owner).await?;
    server::settle_down(&queue.own).await?;
    // Each claim was one update.
    let before = written(&queue.own, LEASES).await?;
    let quiet = tick(&queue, &owner, &leases, None).await?;
    let loud = tick(&queue, &owner, &leases, Some("objects")).await?;
    let after = written(&queue.own, LEASES + 2 * TICKS * LEASES).await?;
    report.add(
        "one tick",
        Unit::Milliseconds,
        Bar::AtMost(150.0),
        median(&quiet),
    );
    report.add(
        "one tick, every lease with progress",
        Unit::Milliseconds,
        Bar::None,
        median(&loud),
    );
    let not_heap_only = (after.updates - after.heap_only) - (before.updates - before.heap_only);
    report.add(
        "updates that wrote an index",
        Unit::Count,
        Bar::AtMost(0.0),
        whole(not_heap_only),
    );
    let grown = after.index_bytes - before.index_bytes;
    report.add(
        "growth of all indexes",
        Unit::Bytes,
        Bar::AtMost(0.0),
        whole(grown),
    );
    let log = (after.log_bytes - before.log_bytes) / as_f64(2 * TICKS);
    report.add("write-ahead log of one tick", Unit::Bytes, Bar::None, log);
    drop(leases);
    Ok(())
}

/// Claims a full table of jobs for one owner.
async fn claimed(queue: &Queue, owner: &Owner) -> Result<Vec<Lease>, BenchError> {
    let repositories = fill::repositories(&queue.own, LEASES).await?;
    fill::jobs(&queue.database, &repositories).await?;
    let client = queue.database.client().await?;
    let request = ClaimRequest {
        slots: &[(Lane::Fetch, 500)],
        kinds: &[noop::SPEC.name],
    };
    let mut leases = Vec::with_capacity(LEASES);
    while leases.len() < LEASES {
        let more = claim(&client, owner, &LeaseSettings::default(), &request).await?;
        if more.is_empty() {
            return Err(BenchError::Unexpected(
                "the queue was empty too soon".to_owned(),
            ));
        }
        leases.extend(more);
    }
    Ok(leases)
}

/// Milliseconds of each tick.
async fn tick(
    queue: &Queue,
    owner: &Owner,
    leases: &[Lease],
    unit: Option<&str>,
) -> Result<Vec<f64>, BenchError> {
    let client = queue.database.client().await?;
    let mut times = Vec::with_capacity(TICKS);
    for number in 0..TICKS {
        let beats: Vec<Beat> = leases
            .iter()
            .map(|lease| Beat {
                key: lease.key(),
                advanced: unit.is_some(),
                progress: unit.map(|unit| Progress {
                    done: u64::try_from(number).unwrap_or(0),
                    total: Some(1_000),
                    unit: unit.to_owned(),
                }),
                message: None,
            })
            .collect();
        let started = Instant::now();
        let answers = heartbeat(&client, owner, &LeaseSettings::default(), &beats).await?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        if answers.len() != leases.len() {
            return Err(BenchError::Unexpected(format!(
                "{} leases answered",
                answers.len()
            )));
        }
    }
    Ok(times)
}

/// Reads the statistics, once they count at least that many updates.
async fn written(client: &Client, updates: usize) -> Result<Written, BenchError> {
    let updates = i64::try_from(updates).unwrap_or(i64::MAX);
    let deadline = Instant::now() + STATISTICS_LIMIT;
    loop {
        let row = client
            .query_one(
                "select n_tup_upd, n_tup_hot_upd, pg_indexes_size(relid), \
                        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 \
                   from pg_stat_user_tables where relid = 'leasectl.job'::regclass",
                &[],
            )
            .await?;
        let seen = Written {
            updates: row.get(0),
            heap_only: row.get(1),
            index_bytes: row.get(2),
            log_bytes: row.get(3),
        };
        if seen.updates >= updates {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            return Err(BenchError::TooLate {
                what: "the server's statistics",
                seconds: STATISTICS_LIMIT.as_secs(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A count of rows or bytes as a number to report.
fn whole(count: i64) -> f64 {
    u32::try_from(count.unsigned_abs()).map_or(f64::INFINITY, f64::from)
}
