//! P2: at most one applied settlement per lease.

use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::job::{self, CancelOutcome, PublicState, RetryOutcome};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Settled};

use crate::fixture::{FETCH, Fixture, done, owner};

fn silent() -> JobError {
    JobError::retryable(ErrorCode::RemoteTimeout, "the remote was silent")
}

#[tokio::test]
async fn a_completed_job_leaves_the_hot_table_with_its_result() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let token = lease.key().token.get();
    let settled = fixture.settle(lease.complete(done())).await;
    assert_eq!(
        settled,
        Settled::Applied {
            state: PublicState::Completed,
            lane_waits: false,
        }
    );
    assert_eq!(fixture.count("select count(*) from leasectl.job").await, 0);
    let job = fixture.job(id).await;
    assert_eq!(
        (job.state, job.result, job.lease),
        (PublicState::Completed, Some(done()), None)
    );
    assert_eq!(job.attempts.len(), 1);
    assert_eq!(job.attempts[0].token, token);
    assert_eq!(job.attempts[0].outcome.as_deref(), Some("completed"));
}

#[tokio::test]
async fn settling_again_after_a_lost_answer_says_already_applied() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let me = owner("me");
    fixture.enqueue(repo, &FETCH, "").await;
    let completed = fixture.claim_one(&me, Lane::Fetch).await.complete(done());
    let client = fixture.client().await;
    let batch = [completed];
    assert!(matches!(
        lease::settle(&client, &batch).await.unwrap()[0],
        Settled::Applied { .. }
    ));
    assert_eq!(
        lease::settle(&client, &batch).await.unwrap(),
        [Settled::AlreadyApplied]
    );

    fixture.enqueue(repo, &FETCH, "2").await;
    let failed = [fixture.claim_one(&me, Lane::Fetch).await.fail(silent())];
    assert!(matches!(
        lease::settle(&client, &failed).await.unwrap()[0],
        Settled::Applied { .. }
    ));
    assert_eq!(
        lease::settle(&client, &failed).await.unwrap(),
        [Settled::AlreadyApplied]
    );
}

#[tokio::test]
async fn one_lost_lease_does_not_keep_the_rest_of_a_batch_from_settling() {
    let fixture = Fixture::new().await;
    let me = owner("me");
    for name in ["a", "b", "c"] {
        let repo = fixture.repository(name).await;
        fixture.enqueue(repo, &FETCH, "").await;
    }
    let leases = fixture.claim(&me, Lane::Fetch, 3).await;
    let robbed = leases[1].job().id;
    fixture
        .execute(
            "update leasectl.job set lease_token = nextval('leasectl.lease_token') where id = $1",
            &[&robbed.as_uuid()],
        )
        .await;
    let batch: Vec<_> = leases
        .into_iter()
        .map(|lease| lease.complete(done()))
        .collect();
    let settled = lease::settle(&fixture.client().await, &batch)
        .await
        .unwrap();
    assert_eq!(settled[1], Settled::LeaseLost);
    assert!(matches!(settled[0], Settled::Applied { .. }));
    assert!(matches!(settled[2], Settled::Applied { .. }));
    assert_eq!(fixture.job(robbed).await.state, PublicState::Running);
}

#[tokio::test]
async fn a_retryable_failure_backs_off_and_keeps_its_error() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    fixture
        .settle(
            fixture
                .claim_one(&owner("me"), Lane::Fetch)
                .await
                .fail(silent()),
        )
        .await;
    let job = fixture.job(id).await;
    assert_eq!((job.state, job.attempt), (PublicState::Queued, 1));
    assert!(job.not_before.is_some());
    assert_eq!(job.last_error.unwrap().code, ErrorCode::RemoteTimeout);
}

#[tokio::test]
async fn the_fifth_failure_ends_in_attempts_exhausted_with_its_cause() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let me = owner("me");
    for _ in 0..5 {
        let wake = "update leasectl.job set not_before = now() where state = 'scheduled'";
        fixture.execute(wake, &[]).await;
        lease::sweep(&fixture.client().await).await.unwrap();
        fixture
            .settle(fixture.claim_one(&me, Lane::Fetch).await.fail(silent()))
            .await;
    }
    let job = fixture.job(id).await;
    assert_eq!((job.state, job.attempt), (PublicState::Error, 5));
    let error = job.last_error.unwrap();
    assert_eq!(error.code, ErrorCode::AttemptsExhausted);
    assert_eq!(error.details["cause"]["code"], "remote_timeout");
    assert_eq!(job.attempts.len(), 5);
}

#[tokio::test]
async fn a_permanent_failure_ends_at_once() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let error = JobError::permanent(ErrorCode::RemoteNotFound, "there is no such repository");
    fixture
        .settle(
            fixture
                .claim_one(&owner("me"), Lane::Fetch)
                .await
                .fail(error.clone()),
        )
        .await;
    let job = fixture.job(id).await;
    assert_eq!(
        (job.state, job.last_error),
        (PublicState::Error, Some(error))
    );
}

#[tokio::test]
async fn a_release_spends_no_attempt_and_makes_the_job_ready_at_once() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    fixture
        .settle(
            fixture
                .claim_one(&owner("one"), Lane::Fetch)
                .await
                .release(),
        )
        .await;
    let job = fixture.job(id).await;
    assert_eq!((job.state, job.attempt), (PublicState::Queued, 0));
    let lease = fixture.claim_one(&owner("two"), Lane::Fetch).await;
    assert_eq!(lease.job().attempt, 1);
    assert_eq!(
        fixture.job(id).await.attempts[0].outcome.as_deref(),
        Some("released")
    );
}

#[tokio::test]
async fn a_job_can_be_released_any_number_of_times() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let me = owner("me");
    for _ in 0..60 {
        fixture
            .settle(fixture.claim_one(&me, Lane::Fetch).await.release())
            .await;
    }
    assert_eq!(fixture.job(id).await.attempts.len(), 50);
}

#[tokio::test]
async fn cancelling_a_queued_job_ends_it_and_frees_its_lane() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let first = fixture.enqueue(repo, &FETCH, "1").await.job_id;
    let second = fixture.enqueue(repo, &FETCH, "2").await.job_id;
    assert_eq!(
        job::cancel(&fixture.database, first).await.unwrap(),
        CancelOutcome::Cancelled
    );
    assert_eq!(fixture.job(first).await.state, PublicState::Cancelled);
    assert_eq!(fixture.job(second).await.state, PublicState::Queued);
    let again = job::cancel(&fixture.database, first).await.unwrap();
    assert_eq!(
        again,
        CancelOutcome::AlreadyFinished(PublicState::Cancelled)
    );
}

#[tokio::test]
async fn a_running_job_that_was_cancelled_ends_cancelled_unless_it_completed() {
    let fixture = Fixture::new().await;
    let me = owner("me");
    for (name, completes) in [("a", false), ("b", true)] {
        let repo = fixture.repository(name).await;
        let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
        let lease = fixture.claim_one(&me, Lane::Fetch).await;
        assert_eq!(
            job::cancel(&fixture.database, id).await.unwrap(),
            CancelOutcome::Requested
        );
        let looked = lease::look(&fixture.client().await, &me).await;
        assert_eq!(looked.unwrap().cancelled, [id]);
        let settlement = if completes {
            lease.complete(done())
        } else {
            lease.fail(silent())
        };
        fixture.settle(settlement).await;
        let expected = if completes {
            PublicState::Completed
        } else {
            PublicState::Cancelled
        };
        assert_eq!(fixture.job(id).await.state, expected);
    }
}

#[tokio::test]
async fn a_finished_job_can_be_run_again_under_its_own_id() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let not_yet = job::retry(&fixture.database, id).await.unwrap();
    assert_eq!(not_yet, RetryOutcome::NotFinished(PublicState::Queued));
    let me = owner("me");
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    let first_token = lease.key().token;
    fixture.settle(lease.complete(done())).await;
    assert_eq!(
        job::retry(&fixture.database, id).await.unwrap(),
        RetryOutcome::Accepted
    );
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    assert_eq!(lease.job().id, id);
    assert!(lease.key().token > first_token);
    fixture.settle(lease.complete(done())).await;
    assert_eq!(fixture.job(id).await.attempts.len(), 2);
}
