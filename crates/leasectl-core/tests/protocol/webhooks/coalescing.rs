//! What a storm of deliveries becomes.

use std::time::Duration;

use futures::future::join_all;
use leasectl_core::database::{Database, PoolOptions};
use leasectl_core::ids::JobId;
use leasectl_core::job::{self, EnqueueRequest, JobFilter, NotBefore, PublicState};
use leasectl_core::kind::{CanonicalArgs, FETCH, KindSpec, Lane};
use leasectl_core::lease::{self, ClaimRequest, Lease};
use leasectl_core::webhook::{self, Deliveries, Delivery, Received};

use crate::fixture::{Fixture, done, owner};

use super::{
    accepted, alive, claim_fetch, claim_fetches, fetched, push, receive, status,
    wait_out_the_spacing,
};

const BACKFILL: KindSpec = KindSpec {
    name: "t_backfill",
    lane: Lane::Backfill,
    args: &[],
};

#[tokio::test]
async fn what_is_delivered_while_a_fetch_runs_is_fetched_after_it() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    accepted(&fixture, &push("1", "a")).await;
    let running = claim_fetch(&fixture).await;
    let second = accepted(&fixture, &push("2", "a")).await;
    assert!(!second.deduplicated && second.job_id != running.job().id);
    for id in ["3", "4", "5"] {
        let later = accepted(&fixture, &push(id, "a")).await;
        assert_eq!((later.job_id, later.deduplicated), (second.job_id, true));
    }
    assert_eq!(alive(&fixture, repo).await, 2);
    let asked_at = fixture.job(second.job_id).await.created_at;
    fetched(&fixture, running, true).await;
    let still = status(&fixture, "a").await;
    assert_eq!(
        (still.dirty, still.dirty_since),
        (Some(true), Some(asked_at))
    );
    wait_out_the_spacing(&fixture).await;
    let lease = claim_fetch(&fixture).await;
    assert_eq!(lease.job().id, second.job_id);
    fetched(&fixture, lease, false).await;
    assert_eq!(status(&fixture, "a").await.dirty, Some(false));
}

#[tokio::test]
async fn connections_opened_ahead_have_all_that_the_first_delivery_takes_and_note_none() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    let options = PoolOptions {
        max_size: 1,
        application_name: "warm".to_owned(),
    };
    let warm = Database::open(&fixture.url, options).unwrap();
    webhook::warm_up(&warm, 1).await.unwrap();
    let count = "select (select count(*) from leasectl.job) + (select count(*) from leasectl.webhook_delivery)";
    let client = fixture.client().await;
    let noted = client.query_one(count, &[]).await.unwrap();
    assert_eq!(noted.get::<_, i64>(0), 0);
    let prepared = async || {
        let sql = "select count(*), count(*) filter (where generic_plans = 0) from pg_prepared_statements";
        let client = warm.client().await.unwrap();
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let (ready, unplanned) = prepared().await;
    // Noting is no plan to speak of.
    assert_eq!(unplanned, 1);
    let process = Deliveries::over(warm.clone());
    let received = process.receive(&push("1", "a")).await.unwrap();
    assert!(matches!(received, Received::Accepted(_)), "{received:?}");
    assert_eq!(prepared().await, (ready, 0));
}

#[tokio::test]
async fn fetches_of_a_storm_are_spaced_and_none_is_pushed_back_by_later_deliveries() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    accepted(&fixture, &push("1", "a")).await;
    let lease = claim_fetch(&fixture).await;
    fetched(&fixture, lease, true).await;
    let next = accepted(&fixture, &push("2", "a")).await;
    let planned = fixture.job(next.job_id).await;
    let starts = planned
        .not_before
        .expect("it is spaced from the one before");
    let ahead = planned.created_at.until(starts);
    assert!(
        ahead > Duration::ZERO && ahead <= webhook::SPACING,
        "{ahead:?}"
    );
    for number in 3..20 {
        accepted(&fixture, &push(&number.to_string(), "a")).await;
    }
    assert_eq!(fixture.job(next.job_id).await.not_before, Some(starts));
    // A fetch that was cancelled does not push the next one back either.
    job::cancel(&fixture.database, next.job_id).await.unwrap();
    let another = accepted(&fixture, &push("20", "a")).await;
    let planned = fixture.job(another.job_id).await;
    let ahead = planned.created_at.until(planned.not_before.unwrap());
    assert!(ahead <= webhook::SPACING, "{ahead:?}");
    // After a pause the first delivery starts a fetch at once again.
    job::cancel(&fixture.database, another.job_id)
        .await
        .unwrap();
    fixture
        .execute(
            "update leasectl.repository set fetch_spaced_until = now() - interval '1 second'",
            &[],
        )
        .await;
    let fresh = accepted(&fixture, &push("21", "a")).await;
    assert_eq!(fixture.stored_state(fresh.job_id).await, "ready");
}

#[tokio::test]
async fn a_fetch_that_waits_for_its_next_attempt_answers_deliveries_too() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let first = accepted(&fixture, &push("1", "a")).await;
    let lease = claim_fetch(&fixture).await;
    let silent = leasectl_core::failure::JobError::retryable(
        leasectl_core::failure::ErrorCode::RemoteTimeout,
        "silent",
    );
    fixture.settle(lease.fail(silent)).await;
    for id in ["2", "3", "4"] {
        let later = accepted(&fixture, &push(id, "a")).await;
        assert_eq!((later.job_id, later.deduplicated), (first.job_id, true));
    }
    assert_eq!(alive(&fixture, repo).await, 1);
    assert_eq!(status(&fixture, "a").await.dirty, Some(true));
}

#[tokio::test]
async fn a_fetch_that_is_planned_for_later_or_is_less_urgent_is_brought_forward() {
    let fixture = Fixture::new().await;
    for (name, request) in [("later", 0), ("less", -50)] {
        let repo = fixture.repository(name).await;
        let mut planned = EnqueueRequest::new(repo, &FETCH, CanonicalArgs::none());
        planned = if request == 0 {
            planned.not_before(NotBefore::In(Duration::from_secs(86_400)))
        } else {
            planned.priority(crate::fixture::urgent(request))
        };
        let planned = fixture.enqueue_as(planned).await.job_id;
        let asked = accepted(&fixture, &push(name, name)).await;
        assert_eq!(
            (asked.job_id, asked.deduplicated),
            (planned, true),
            "{name}"
        );
        let job = fixture.job(planned).await;
        assert_eq!((job.priority, job.not_before), (0, None), "{name}");
        assert_eq!(fixture.stored_state(planned).await, "ready", "{name}");
    }
}

#[tokio::test]
async fn a_fetch_of_some_refs_answers_no_delivery() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let args = serde_json::json!({"refspecs": ["+refs/heads/x:refs/heads/x"]});
    let args = fixture.kinds.canonical_args("fetch", &args).unwrap();
    fixture
        .enqueue_as(EnqueueRequest::new(repo, &FETCH, args))
        .await;
    let asked = accepted(&fixture, &push("1", "a")).await;
    assert!(!asked.deduplicated);
    assert_eq!(fixture.stored_state(asked.job_id).await, "waiting");
}

#[tokio::test]
async fn a_storm_keeps_one_fetch_running_and_one_queued_and_starves_nobody() {
    let fixture = Fixture::new().await;
    let busy = fixture.repository("busy").await;
    let quiet = fixture.repository("quiet").await;
    let mut fetches = 0;
    let mut running: Vec<Lease> = Vec::new();
    let mut asked_quiet: Option<JobId> = None;
    for wave in 0..12 {
        let deliveries: Vec<Delivery> = (0..24)
            // Every third is a redelivery.
            .map(|number| push(&format!("{wave}-{}", number - number % 3 / 2), "busy"))
            .collect();
        let received = join_all(deliveries.iter().map(|d| receive(&fixture, d))).await;
        let duplicates = received
            .iter()
            .filter(|r| **r == Received::Duplicate)
            .count();
        assert_eq!(duplicates, 8, "wave {wave}");
        assert!(alive(&fixture, busy).await <= 2, "wave {wave}");
        if wave == 5 {
            asked_quiet = Some(accepted(&fixture, &push("quiet", "quiet")).await.job_id);
            let request = EnqueueRequest::new(busy, &BACKFILL, CanonicalArgs::none());
            fixture.enqueue_as(request).await;
        }
        for lease in running.drain(..) {
            fetched(&fixture, lease, true).await;
        }
        wait_out_the_spacing(&fixture).await;
        // One slot: whoever was asked for first is next.
        running = claim_fetches(&fixture, 1).await;
        fetches += running.len();
        if wave == 5 {
            let next = claim_fetches(&fixture, 1)
                .await
                .pop()
                .expect("the other one");
            let both = [running[0].job().repo_id, next.job().repo_id];
            assert!(both.contains(&quiet) && both.contains(&busy), "{both:?}");
            running.push(next);
            let request = ClaimRequest {
                slots: &[(Lane::Backfill, 1)],
                kinds: &[BACKFILL.name],
            };
            let client = fixture.client().await;
            let lanes = lease::claim(&client, &owner("me"), &fixture.settings, &request).await;
            let backfill = lanes
                .unwrap()
                .pop()
                .expect("a fetch does not hold its lane");
            drop(client);
            fixture.settle(backfill.complete(done())).await;
        }
    }
    assert_eq!(fetches, 12, "each wave has its fetch");
    for lease in running.drain(..) {
        fetched(&fixture, lease, true).await;
    }
    let filter = JobFilter {
        repo_id: Some(busy),
        ..JobFilter::default()
    };
    let jobs = job::list(&fixture.database, &filter, 200, None)
        .await
        .unwrap()
        .items;
    let fetches = jobs.iter().filter(|job| job.kind == FETCH.name).count();
    assert!(fetches <= 13, "{fetches} fetches for 12 waves");
    let quiet = fixture.job(asked_quiet.unwrap()).await;
    assert_eq!(quiet.state, PublicState::Completed);
}
