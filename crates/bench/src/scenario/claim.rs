//! One claim in an almost empty queue, in a huge one, beside a crowded lane, and under an old
//! snapshot.

use std::time::Instant;

use leasectl_core::ids::Owner;
use leasectl_core::kind::Lane;
use leasectl_core::lease::{
    ClaimCursor, ClaimRequest, LeaseSettings, Settled, claim_onward, settle,
};
use serde_json::json;

use crate::cli::Rounds;
use crate::error::BenchError;
use crate::noop;
use crate::report::{Bar, Report, Unit, median};
use crate::server::{self, Queue, Server};

/// Claims of one round; a round's number is their median.
const CLAIMS: usize = 200;
/// Leases of one claim.
const BATCH: usize = 10;
const MILLION: i64 = 1_000_000;
/// Jobs that wait for one lane.
const CROWD: i64 = 100_000;
/// Claims that were settled while an old snapshot was open, each of [`BATCH`] jobs.
const UNDER_SNAPSHOT: usize = 2_000;

const READY: &str = include_str!("claim/ready.sql");
const FINISHED: &str = include_str!("claim/finished.sql");
const WAITING: &str = include_str!("claim/waiting.sql");

pub(crate) async fn run(server: &Server, rounds: Rounds) -> Result<(), BenchError> {
    let mut report = Report::new("claim");
    report.note(Server::describe());
    report.note(format!(
        "{CLAIMS} claims of {BATCH} leases in a round, each settled afterwards"
    ));
    let small = server.queue(1).await?;
    let huge = server.queue(1).await?;
    huge.own.execute(READY, &[&MILLION]).await?;
    huge.own.execute(FINISHED, &[&MILLION]).await?;
    server::settle_down(&huge.own).await?;
    let crowded = server.queue(1).await?;
    crowded.own.execute(WAITING, &[&CROWD]).await?;
    server::settle_down(&crowded.own).await?;
    for queue in [&small, &huge, &crowded] {
        measure(queue, Start::Head, CLAIMS).await?;
    }
    for _ in 0..rounds.rounds {
        let base = measure(&small, Start::Head, CLAIMS).await?;
        report.add("almost empty", Unit::Milliseconds, Bar::None, base);
        compare(
            &mut report,
            "1 million queued, 1 million finished",
            &huge,
            base,
        )
        .await?;
        compare(&mut report, "100,000 waiting in one lane", &crowded, base).await?;
    }
    for _ in 0..rounds.rounds {
        under_snapshot(server, &mut report).await?;
    }
    Ok(report.print()?)
}

async fn compare(
    report: &mut Report,
    name: &str,
    queue: &Queue,
    base: f64,
) -> Result<(), BenchError> {
    let time = measure(queue, Start::Head, CLAIMS).await?;
    report.add(name, Unit::Milliseconds, Bar::None, time);
    report.add(
        format!("{name} ÷ almost empty"),
        Unit::Ratio,
        Bar::AtMost(1.5),
        time / base,
    );
    Ok(())
}

/// What a claim takes after 20,000 jobs came and went while a snapshot was held open.
async fn under_snapshot(server: &Server, report: &mut Report) -> Result<(), BenchError> {
    let queue = server.queue(1).await?;
    queue.own.execute(READY, &[&MILLION]).await?;
    server::settle_down(&queue.own).await?;
    let base = measure(&queue, Start::Head, CLAIMS).await?;
    let reader = server::connect(&queue.url).await?;
    reader
        .batch_execute("begin isolation level repeatable read; select count(*) from leasectl.kind")
        .await?;
    measure(&queue, Start::Onward, UNDER_SNAPSHOT).await?;
    for (start, name) in [
        (Start::Onward, "under an old snapshot, 20,000 jobs later"),
        (Start::Head, "the same, but each claim from the head"),
    ] {
        let time = measure(&queue, start, CLAIMS).await?;
        report.add(name, Unit::Milliseconds, Bar::None, time);
        let ratio = format!("{name} ÷ before");
        report.add(ratio, Unit::Ratio, Bar::None, time / base);
    }
    Ok(())
}

/// Where a claim begins to look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// At the head of the lane, as after each poll.
    Head,
    /// Where the last one ended, as the worker does between polls.
    Onward,
}

/// The median claim in milliseconds; the queue is as full afterwards as before, or fuller.
async fn measure(queue: &Queue, start: Start, claims: usize) -> Result<f64, BenchError> {
    let jobs = i64::try_from(claims * BATCH).unwrap_or(i64::MAX);
    queue.own.execute(READY, &[&jobs]).await?;
    let client = queue.database.client().await?;
    let owner = Owner::of_this_process();
    let request = ClaimRequest {
        slots: &[(Lane::Fetch, BATCH)],
        kinds: &[noop::SPEC.name],
    };
    let mut times = Vec::with_capacity(claims);
    let mut cursor = ClaimCursor::default();
    for _ in 0..claims {
        if start == Start::Head {
            cursor.rewind();
        }
        let started = Instant::now();
        let settings = LeaseSettings::default();
        let leases = claim_onward(&client, &owner, &settings, &request, &mut cursor).await?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        if leases.len() != BATCH {
            return Err(BenchError::Unexpected(format!(
                "a claim got {} leases",
                leases.len()
            )));
        }
        let settlements: Vec<_> = leases
            .into_iter()
            .map(|lease| lease.complete(json!({})))
            .collect();
        let settled = settle(&client, &settlements).await?;
        if let Some(lost) = settled
            .iter()
            .position(|s| !matches!(s, Settled::Applied { .. }))
        {
            return Err(BenchError::LeaseLost(settlements[lost].repo_id));
        }
    }
    Ok(median(&times))
}
