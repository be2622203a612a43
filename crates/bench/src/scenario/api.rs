//! `POST /v1/jobs` under a fixed rate, against a real process of the HTTP service.
//!
//! The load is open-loop: each request is sent at its time whether or not earlier ones were
//! answered, and its latency counts from that time, so a stall of the service is not hidden.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use leasectl_core::ids::RepoId;
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cli::Rounds;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::report::{Bar, Report, Unit, median, percentile};
use crate::server::{self, Server};
use crate::{fill, process};

const REQUESTS_PER_SECOND: usize = 300;
const SECONDS: usize = 30;
/// Fewer than requests, so that a third of them meet an equal job that is queued already.
const REPOSITORIES: usize = 6_000;
const START_LIMIT: Duration = Duration::from_secs(20);

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
        let answers = round(server).await?;
        let times: Vec<f64> = answers.iter().map(|answer| answer.milliseconds).collect();
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
            "errors",
            Unit::Count,
            Bar::AtMost(0.0),
            as_f64(refused.len()),
        );
        if let Some(first) = refused.first() {
            report.note(format!("the first answer that was not 202: {first:?}"));
        }
    }
    Ok(report.print()?)
}

async fn round(server: &Server) -> Result<Vec<Answer>, BenchError> {
    let queue = server.queue(1).await?;
    let repositories = fill::repositories(&queue.own, REPOSITORIES).await?;
    server::settle_down(&queue.own).await?;
    let address = free_address()?;
    let service = process::api_service(&queue.url, address)?;
    let client = Client::builder().no_proxy().tcp_nodelay(true).build()?;
    until_ready(&client, address).await?;
    let first = Instant::now() + Duration::from_millis(100);
    let mut requests = JoinSet::new();
    for number in 0..REQUESTS_PER_SECOND * SECONDS {
        let nanos = number * 1_000_000_000 / REQUESTS_PER_SECOND;
        let due = first + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        sleep_until(due).await;
        let repository = repositories[number % REPOSITORIES];
        requests.spawn(post(client.clone(), address, repository, due));
    }
    let mut answers = Vec::with_capacity(REQUESTS_PER_SECOND * SECONDS);
    while let Some(answer) = requests.join_next().await {
        answers.push(answer.map_err(|error| BenchError::Unexpected(error.to_string()))?);
    }
    service.end().await?;
    Ok(answers)
}

async fn post(client: Client, address: SocketAddr, repository: RepoId, due: Instant) -> Answer {
    let body = json!({"repo": repository, "kind": "fetch"});
    let answer = client
        .post(format!("http://{address}/v1/jobs"))
        .json(&body)
        .send()
        .await;
    let status = match answer {
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

async fn until_ready(client: &Client, address: SocketAddr) -> Result<(), BenchError> {
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
fn free_address() -> Result<SocketAddr, BenchError> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
