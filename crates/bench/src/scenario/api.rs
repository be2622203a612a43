//! `POST /v1/jobs` under a fixed rate, against a real process of the HTTP service.
//!
//! The load is open-loop: each request is sent at its time whether or not earlier ones were
//! answered, and its latency counts from that time, so a stall of the service is not hidden. Between
//! every tenth pair of them the service is asked whether it lives: what that takes is the floor, the
//! share of the machine and of the load generator.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cli::Rounds;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::host::Host;
use crate::report::{Bar, Report, Unit, median, percentile};
use crate::server::{self, Server};
use crate::{fill, process};

const REQUESTS_PER_SECOND: usize = 300;
const SECONDS: usize = 30;
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / REQUESTS_PER_SECOND as u64);
/// Fewer than requests, so that a third of them meet an equal job that is queued already.
const REPOSITORIES: usize = 6_000;
const START_LIMIT: Duration = Duration::from_secs(20);

/// Requests from one look at the floor to the next.
const FLOOR_EVERY: usize = 10;

/// What came of a round.
struct Outcome {
    answers: Vec<Answer>,
    floor: Vec<Answer>,
    /// Percent of the processor time that was wanted.
    host_took: f64,
}

/// What came of one request.
struct Answer {
    milliseconds: f64,
    /// What was answered; nothing when the connection broke.
    status: Option<StatusCode>,
}

pub(crate) async fn run(server: &Server, rounds: Rounds) -> Result<(), BenchError> {
    let mut report = Report::new("api");
    report.note(Server::describe());
    report.note(format!(
        "POST /v1/jobs, open loop, {REQUESTS_PER_SECOND} requests/s for {SECONDS} s, \
         {REPOSITORIES} repositories: a third of the requests meet an equal job"
    ));
    for _ in 0..rounds.rounds {
        let Outcome {
            answers,
            floor,
            host_took,
        } = round(server).await?;
        let (times, floor) = (milliseconds(&answers), milliseconds(&floor));
        let refused = answers.iter().map(|answer| answer.status);
        let refused: Vec<_> = refused
            .filter(|status| *status != Some(StatusCode::ACCEPTED))
            .collect();
        report.add("median", Unit::Milliseconds, Bar::None, median(&times));
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
        report.add(
            "p99 of GET /healthz between them",
            Unit::Milliseconds,
            Bar::None,
            percentile(&floor, 99),
        );
        report.add(
            "errors",
            Unit::Count,
            Bar::AtMost(0.0),
            as_f64(refused.len()),
        );
        report.add("the host took", Unit::Percent, Bar::None, host_took);
        if let Some(first) = refused.first() {
            report.note(format!("the first answer that was not 202: {first:?}"));
        }
    }
    Ok(report.print()?)
}

fn milliseconds(answers: &[Answer]) -> Vec<f64> {
    answers.iter().map(|answer| answer.milliseconds).collect()
}

async fn round(server: &Server) -> Result<Outcome, BenchError> {
    let queue = server.queue(1).await?;
    let repositories = fill::repositories(&queue.own, REPOSITORIES).await?;
    server::settle_down(&queue.own).await?;
    let address = free_address()?;
    let service = process::api_service(&queue.url, address, &[])?;
    let client = Client::builder().no_proxy().tcp_nodelay(true).build()?;
    until_ready(&client, address).await?;
    let host = Host::watch()?;
    let first = Instant::now() + Duration::from_millis(100);
    let mut requests = JoinSet::new();
    let mut floors = JoinSet::new();
    for number in 0..REQUESTS_PER_SECOND * SECONDS {
        let due = first + PERIOD * u32::try_from(number).unwrap_or(u32::MAX);
        sleep_until(due).await;
        let body = json!({"repo": repositories[number % REPOSITORIES], "kind": "fetch"});
        let post = client.post(format!("http://{address}/v1/jobs")).json(&body);
        requests.spawn(answer(post, due));
        if number % FLOOR_EVERY == 0 {
            let due = due + PERIOD / 2;
            sleep_until(due).await;
            let get = client.get(format!("http://{address}/healthz"));
            floors.spawn(answer(get, due));
        }
    }
    let (answers, floor) = (requests.join_all().await, floors.join_all().await);
    let host_took = host.stolen()?;
    service.end().await?;
    Ok(Outcome {
        answers,
        floor,
        host_took,
    })
}

async fn answer(request: RequestBuilder, due: Instant) -> Answer {
    let status = match request.send().await {
        Ok(response) => {
            let status = response.status();
            response.bytes().await.ok().map(|_body| status)
        }
        Err(_) => None,
    };
    Answer {
        milliseconds: due.elapsed().as_secs_f64() * 1_000.0,
        status,
    }
}

pub(super) async fn until_ready(client: &Client, address: SocketAddr) -> Result<(), BenchError> {
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline {
        let answer = client.get(format!("http://{address}/readyz")).send().await;
        if answer.is_ok_and(|response| response.status().is_success()) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(BenchError::TooLate {
        what: "readiness",
        seconds: START_LIMIT.as_secs(),
    })
}

/// A port that was free a moment ago.
pub(super) fn free_address() -> Result<SocketAddr, BenchError> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
