//! A storm of webhooks for one repository, against a real process of the HTTP service.
//!
//! The load is open-loop, as in the scenario `api`. A tenth of the deliveries are sent a second time. Beside it runs
//! what a worker does with the fetches: it claims them, takes a while, records them, and ends them. Another connection
//! counts the fetches that are alive.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use leasectl_core::ids::{Owner, RepoId};
use leasectl_core::kind::{FETCH, Lane};
use leasectl_core::lease::{ClaimRequest, Lease, LeaseSettings, claim, settle, sweep};
use leasectl_core::repository::{FetchRecord, record_fetch};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::api::{free_address, until_ready};
use crate::cli::Rounds;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::host::Host;
use crate::report::{Bar, Report, Unit, median, percentile};
use crate::server::{self, Queue, Server};
use crate::{fill, process};

const DELIVERIES: usize = 10_000;
const SECONDS: usize = 10;
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 * SECONDS as u64 / DELIVERIES as u64);
/// Every so manieth delivery is one that was sent before.
const REPEATED_EVERY: usize = 10;
/// Repositories beside the one that the storm is for.
const REPOSITORIES: usize = 1_000;
/// About what a push of a few commits is on GitHub.
const BODY_BYTES: usize = 8_000;
const SECRET: &str = "a-secret-of-the-benchmark";
/// How long a fetch takes.
const FETCH_TIME: Duration = Duration::from_millis(300);
/// Between two looks of what stands for a worker, and of the counter.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What came of one delivery.
struct Answer {
    /// When it was due, in seconds since the first one was.
    due_s: f64,
    milliseconds: f64,
    /// What was answered; nothing when it was no 202.
    outcome: Option<String>,
}

/// What came of a round.
struct Outcome {
    answers: Vec<Answer>,
    most_alive: i64,
    fetches: usize,
    host_took: f64,
}

pub(crate) async fn run(server: &Server, rounds: Rounds) -> Result<(), BenchError> {
    let mut report = Report::new("webhooks");
    report.note(Server::describe());
    report.note(format!(
        "{DELIVERIES} signed pushes of {BODY_BYTES} bytes for one of {REPOSITORIES} repositories in {SECONDS} s, \
         open loop, every {REPEATED_EVERY}th sent before; a fetch takes {} ms",
        FETCH_TIME.as_millis()
    ));
    for _ in 0..rounds.rounds {
        add(&mut report, &round(server).await?);
    }
    Ok(report.print()?)
}

fn add(report: &mut Report, round: &Outcome) {
    let times: Vec<f64> = round
        .answers
        .iter()
        .map(|answer| answer.milliseconds)
        .collect();
    let of = |wanted: Option<&str>| {
        let same = |answer: &&Answer| answer.outcome.as_deref() == wanted;
        as_f64(round.answers.iter().filter(same).count())
    };
    let repeated = as_f64(DELIVERIES / REPEATED_EVERY);
    let milliseconds = Unit::Milliseconds;
    report.add("median", milliseconds, Bar::None, median(&times));
    report.add(
        "p99",
        milliseconds,
        Bar::AtMost(20.0),
        percentile(&times, 99),
    );
    report.add("longest", milliseconds, Bar::None, percentile(&times, 100));
    let longest = round
        .answers
        .iter()
        .max_by(|a, b| a.milliseconds.total_cmp(&b.milliseconds));
    let due_s = longest.map_or(0.0, |answer| answer.due_s);
    report.add("… was due after", Unit::Seconds, Bar::None, due_s);
    report.add("errors", Unit::Count, Bar::AtMost(0.0), of(None));
    let alive = f64::from(i32::try_from(round.most_alive).unwrap_or(i32::MAX));
    report.add(
        "fetches alive, at most",
        Unit::Count,
        Bar::AtMost(2.0),
        alive,
    );
    report.add(
        "fetches in all",
        Unit::Count,
        Bar::None,
        as_f64(round.fetches),
    );
    let missed = (repeated - of(Some("duplicate"))).abs();
    report.add(
        "duplicates not seen as such",
        Unit::Count,
        Bar::AtMost(0.0),
        missed,
    );
    report.add("the host took", Unit::Percent, Bar::None, round.host_took);
}

async fn round(server: &Server) -> Result<Outcome, BenchError> {
    let queue = server.queue(4).await?;
    let repositories = fill::repositories(&queue.own, REPOSITORIES).await?;
    server::settle_down(&queue.own).await?;
    let address = free_address()?;
    let secret = ("LEASECTL_WEBHOOK_SECRET_GITHUB", SECRET);
    let service = process::api_service(&queue.url, address, &[secret])?;
    let client = Client::builder().no_proxy().tcp_nodelay(true).build()?;
    until_ready(&client, address).await?;
    let over = CancellationToken::new();
    let counter = server::connect(&queue.url).await?;
    let counting = tokio::spawn(count_alive(counter, repositories[0], over.clone()));
    let host = Host::watch()?;
    let url = format!("http://{address}/v1/webhooks/github");
    let storm = storm(&client, &url, &over);
    let (answers, fetches) = tokio::join!(storm, fetch_until(&queue, &over));
    let host_took = host.stolen()?;
    let most_alive = counting
        .await
        .map_err(|error| BenchError::Unexpected(error.to_string()))??;
    service.end().await?;
    Ok(Outcome {
        answers,
        most_alive,
        fetches: fetches?,
        host_took,
    })
}

/// Sends every delivery at its time; then it is over.
async fn storm(client: &Client, url: &str, over: &CancellationToken) -> Vec<Answer> {
    let body = push();
    let signature = signature(&body);
    let first = Instant::now() + Duration::from_millis(100);
    let mut requests = JoinSet::new();
    for number in 0..DELIVERIES {
        let due = first + PERIOD * u32::try_from(number).unwrap_or(u32::MAX);
        sleep_until(due).await;
        // A repeated one is half a second old, and was answered.
        let is_repeated = number % REPEATED_EVERY == REPEATED_EVERY - 1;
        let id = match (is_repeated, number.checked_sub(DELIVERIES / SECONDS / 2)) {
            (true, Some(before)) => before - 1,
            (true, None) => number.saturating_sub(1),
            (false, _) => number,
        };
        let post = client
            .post(url)
            .header("x-github-event", "push")
            .header("x-github-delivery", format!("delivery-{id}"))
            .header("x-hub-signature-256", &signature)
            .header("content-type", "application/json")
            .body(body.clone());
        requests.spawn(answer(post, first, due));
    }
    let answers = requests.join_all().await;
    over.cancel();
    answers
}

async fn answer(request: RequestBuilder, first: Instant, due: Instant) -> Answer {
    let answered = match request.send().await {
        Ok(response) if response.status() == StatusCode::ACCEPTED => response.json().await.ok(),
        Ok(_) | Err(_) => None,
    };
    let outcome = answered.and_then(|body: Value| Some(body["outcome"].as_str()?.to_owned()));
    Answer {
        due_s: (due - first).as_secs_f64(),
        milliseconds: due.elapsed().as_secs_f64() * 1_000.0,
        outcome,
    }
}

/// What stands for a worker; answers how many fetches it made.
async fn fetch_until(queue: &Queue, over: &CancellationToken) -> Result<usize, BenchError> {
    let (owner, settings) = (Owner::of_this_process(), LeaseSettings::default());
    let request = ClaimRequest {
        slots: &[(Lane::Fetch, 4)],
        kinds: &[FETCH.name],
    };
    let mut fetches = 0;
    while !over.is_cancelled() {
        let client = queue.database.client().await?;
        sweep(&client).await?;
        let leases = claim(&client, &owner, &settings, &request).await?;
        drop(client);
        fetches += leases.len();
        for lease in leases {
            sleep(FETCH_TIME).await;
            fetched(queue, lease).await?;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(fetches)
}

async fn fetched(queue: &Queue, lease: Lease) -> Result<(), BenchError> {
    let repo = lease.job().repo_id;
    let lost = |_error| BenchError::LeaseLost(repo);
    let mut client = queue.database.client().await?;
    let fence = lease.fence();
    let fenced = fence.begin(&mut client).await.map_err(lost)?;
    let record = FetchRecord {
        is_whole: true,
        branches: vec![("main".to_owned(), "0".repeat(40))],
        default_branch: Some("main".to_owned()),
        head: Some("0".repeat(40)),
        changed: true,
    };
    record_fetch(&fenced, repo, &record).await.map_err(lost)?;
    fenced.commit().await.map_err(lost)?;
    settle(&client, &[lease.complete(json!({}))]).await?;
    Ok(())
}

/// The most fetches of a repository that were alive at once.
async fn count_alive(
    client: tokio_postgres::Client,
    repo: RepoId,
    over: CancellationToken,
) -> Result<i64, BenchError> {
    let count = "select count(*) from leasectl.job where repo_id = $1 and lane = 'fetch'";
    let count = client.prepare(count).await?;
    let mut most = 0;
    while !over.is_cancelled() {
        let row = client.query_one(&count, &[&repo.as_uuid()]).await?;
        most = most.max(row.get(0));
        sleep(LOOK_EVERY).await;
    }
    Ok(most)
}

fn push() -> String {
    let mut push = json!({
        "ref": "refs/heads/main",
        "repository": {"full_name": "bench/r1", "clone_url": "https://bench.example/r1.git"},
        "commits": [],
    });
    let rest = BODY_BYTES.saturating_sub(push.to_string().len());
    push["padding"] = "x".repeat(rest).into();
    push.to_string()
}

fn signature(body: &str) -> String {
    let mut key = [0; 64];
    key[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    let mut mac = Hmac::<Sha256>::new(&key.into());
    mac.update(body.as_bytes());
    let tag = mac.finalize().into_bytes();
    tag.iter().fold("sha256=".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}
