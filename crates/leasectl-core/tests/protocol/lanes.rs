//! P3: one live lease per lane, and every lane with work in it moves.

use std::time::Duration;

use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::job::{self, NotBefore, PublicState};
use leasectl_core::kind::Lane;
use leasectl_core::lease;

use crate::fixture::{FETCH, Fixture, INDEX, STACK, done, owner, urgent};

#[tokio::test]
async fn a_second_job_of_a_lane_waits_until_the_first_is_settled() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let first = fixture.enqueue(repo, &FETCH, "1").await;
    let second = fixture.enqueue(repo, &FETCH, "2").await;
    assert_eq!(
        (first.state, second.state),
        (PublicState::Queued, PublicState::Waiting)
    );

    let me = owner("me");
    let mut leases = fixture.claim(&me, Lane::Fetch, 10).await;
    assert_eq!(leases.len(), 1);
    fixture.settle(leases.remove(0).complete(done())).await;
    assert_eq!(
        fixture.claim_one(&me, Lane::Fetch).await.job().id,
        second.job_id
    );
}

#[tokio::test]
async fn lanes_of_one_repository_do_not_wait_for_each_other() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "").await;
    fixture.enqueue(repo, &INDEX, "").await;
    let me = owner("me");
    assert_eq!(fixture.claim(&me, Lane::Fetch, 1).await.len(), 1);
    assert_eq!(fixture.claim(&me, Lane::Index, 1).await.len(), 1);
}

#[tokio::test]
async fn the_schema_refuses_a_second_holder_of_a_lane() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "1").await;
    let second = fixture.enqueue(repo, &FETCH, "2").await;
    let forced = fixture
        .client()
        .await
        .execute(
            "update leasectl.job set state = 'ready' where id = $1",
            &[&second.job_id.as_uuid()],
        )
        .await
        .unwrap_err();
    assert_eq!(
        forced.as_db_error().unwrap().constraint(),
        Some("job_one_per_lane")
    );
}

#[tokio::test]
async fn a_more_urgent_newcomer_swaps_with_the_ready_job() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let calm = fixture.enqueue(repo, &FETCH, "calm").await;
    let urgent_job = fixture
        .enqueue_as(fixture.request(repo, &FETCH, "urgent").priority(urgent(10)))
        .await;
    assert_eq!(urgent_job.state, PublicState::Queued);
    assert_eq!(fixture.job(calm.job_id).await.state, PublicState::Waiting);
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    assert_eq!(lease.job().id, urgent_job.job_id);
}

#[tokio::test]
async fn a_running_job_is_not_swapped_out() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let running = fixture.enqueue(repo, &FETCH, "1").await;
    let _lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let late = fixture
        .enqueue_as(fixture.request(repo, &FETCH, "2").priority(urgent(100)))
        .await;
    assert_eq!(late.state, PublicState::Waiting);
    assert_eq!(
        fixture.job(running.job_id).await.state,
        PublicState::Running
    );
}

#[tokio::test]
async fn a_backing_off_job_does_not_hold_up_its_lane() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let failing = fixture.enqueue(repo, &FETCH, "1").await;
    let next = fixture.enqueue(repo, &FETCH, "2").await;
    let me = owner("me");
    let error = JobError::retryable(ErrorCode::RemoteTimeout, "silent");
    fixture
        .settle(fixture.claim_one(&me, Lane::Fetch).await.fail(error))
        .await;
    assert_eq!(fixture.stored_state(failing.job_id).await, "scheduled");
    assert_eq!(
        fixture.claim_one(&me, Lane::Fetch).await.job().id,
        next.job_id
    );
}

#[tokio::test]
async fn a_delayed_job_does_not_hold_up_its_lane_and_starts_when_due() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let later = NotBefore::In(Duration::from_secs(3600));
    let delayed = fixture
        .enqueue_as(fixture.request(repo, &FETCH, "1").not_before(later))
        .await;
    assert_eq!(delayed.state, PublicState::Queued);
    let now = fixture.enqueue(repo, &FETCH, "2").await;
    let me = owner("me");
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    assert_eq!(lease.job().id, now.job_id);

    fixture
        .execute(
            "update leasectl.job set not_before = now() where state = 'scheduled'",
            &[],
        )
        .await;
    let swept = lease::sweep(&fixture.client().await).await.unwrap();
    assert_eq!(
        (swept.due, swept.promoted.len()),
        (1, 0),
        "the lane is held"
    );
    fixture.settle(lease.complete(done())).await;
    assert_eq!(
        fixture.claim_one(&me, Lane::Fetch).await.job().id,
        delayed.job_id
    );
}

#[tokio::test]
async fn stack_jobs_run_in_the_order_of_acceptance_whatever_their_priority() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut ids = Vec::new();
    for (note, priority) in [("1", 0), ("2", 50), ("3", -50), ("4", 100)] {
        let request = fixture
            .request(repo, &STACK, note)
            .priority(urgent(priority));
        ids.push(fixture.enqueue_as(request).await.job_id);
    }
    let me = owner("me");
    for id in ids {
        let lease = fixture.claim_one(&me, Lane::Stack).await;
        assert_eq!(lease.job().id, id);
        fixture.settle(lease.complete(done())).await;
    }
}

#[tokio::test]
async fn a_backing_off_stack_job_holds_its_lane() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let head = fixture.enqueue(repo, &STACK, "1").await;
    let next = fixture.enqueue(repo, &STACK, "2").await;
    let me = owner("me");
    let error = JobError::retryable(ErrorCode::RemoteTimeout, "silent");
    fixture
        .settle(fixture.claim_one(&me, Lane::Stack).await.fail(error))
        .await;

    lease::sweep(&fixture.client().await).await.unwrap();
    assert!(fixture.claim(&me, Lane::Stack, 5).await.is_empty());
    let third = fixture.enqueue(repo, &STACK, "3").await;
    assert_eq!(third.state, PublicState::Waiting);

    fixture
        .execute(
            "update leasectl.job set not_before = now() where state = 'scheduled'",
            &[],
        )
        .await;
    lease::sweep(&fixture.client().await).await.unwrap();
    for id in [head.job_id, next.job_id, third.job_id] {
        let lease = fixture.claim_one(&me, Lane::Stack).await;
        assert_eq!(lease.job().id, id);
        fixture.settle(lease.complete(done())).await;
    }
}

#[tokio::test]
async fn a_delayed_stack_job_holds_back_the_ones_after_it() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let later = NotBefore::In(Duration::from_secs(3600));
    fixture
        .enqueue_as(fixture.request(repo, &STACK, "1").not_before(later))
        .await;
    let second = fixture.enqueue(repo, &STACK, "2").await;
    assert_eq!(second.state, PublicState::Waiting);
    lease::sweep(&fixture.client().await).await.unwrap();
    assert!(fixture.claim(&owner("me"), Lane::Stack, 5).await.is_empty());
}

#[tokio::test]
async fn an_enqueue_that_saw_the_lane_held_is_promoted_by_the_sweep() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "1").await;
    let me = owner("me");
    let running = fixture.claim_one(&me, Lane::Fetch).await;

    // The enqueue sees "running", inserts a waiting job, and commits after the settlement.
    let mut enqueuer = fixture.client().await;
    let transaction = enqueuer.transaction().await.unwrap();
    transaction
        .execute(
            "insert into leasectl.job (id, repo_id, kind, lane, args, state) \
             values (leasectl.uuid_v7(), $1, 't_fetch', 'fetch', '{\"note\": \"2\"}', 'waiting')",
            &[&repo.as_uuid()],
        )
        .await
        .unwrap();
    fixture.settle(running.complete(done())).await;
    transaction.commit().await.unwrap();

    assert!(
        fixture.claim(&me, Lane::Fetch, 1).await.is_empty(),
        "settling could not see it"
    );
    let swept = lease::sweep(&fixture.client().await).await.unwrap();
    assert_eq!(swept.promoted, vec![Lane::Fetch]);
    assert_eq!(fixture.claim(&me, Lane::Fetch, 1).await.len(), 1);
}

#[tokio::test]
async fn promotions_that_collide_leave_one_holder_and_no_error() {
    let fixture = Fixture::new().await;
    let mut repos = Vec::new();
    for n in 0..20 {
        let repo = fixture.repository(&format!("r{n}")).await;
        for note in 0..5 {
            fixture.enqueue(repo, &FETCH, &note.to_string()).await;
        }
        repos.push((repo, Lane::Fetch));
    }
    fixture
        .execute(
            "update leasectl.job set state = 'waiting' where state = 'ready'",
            &[],
        )
        .await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let database = fixture.database.clone();
        let mut lanes = repos.clone();
        lanes.reverse();
        racers.spawn(async move {
            lease::promote(&database.client().await.unwrap(), &lanes)
                .await
                .map(drop)
        });
    }
    while let Some(raced) = racers.join_next().await {
        raced.unwrap().unwrap();
    }
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.job where state = 'ready'")
            .await,
        20
    );
}

#[tokio::test]
async fn a_batch_of_one_lane_keeps_its_order() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let requests: Vec<_> = (0..30)
        .map(|n| fixture.request(repo, &STACK, &n.to_string()))
        .collect();
    let accepted = job::enqueue(&fixture.database, &requests).await.unwrap();
    let me = owner("me");
    for enqueued in accepted {
        let lease = fixture.claim_one(&me, Lane::Stack).await;
        assert_eq!(lease.job().id, enqueued.job_id);
        fixture.settle(lease.complete(done())).await;
    }
}

#[tokio::test]
async fn a_sweep_that_finds_little_sends_each_of_its_statements_once() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    // A connection over which nothing else was sent.
    let client = fixture.client().await;
    fixture.enqueue(repo, &FETCH, "1").await;
    fixture.enqueue(repo, &FETCH, "2").await;
    let swept = lease::sweep(&client).await.unwrap();
    assert_eq!(swept, lease::Swept::default(), "the lane is held");
    let sent = "select array_agg(generic_plans + custom_plans) from pg_prepared_statements";
    let sent: Vec<i64> = client.query_one(sent, &[]).await.unwrap().get(0);
    assert!(sent.len() >= 3, "{sent:?}");
    assert!(sent.iter().all(|times| *times <= 1), "{sent:?}");
}
