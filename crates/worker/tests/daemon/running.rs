//! Claiming, running and settling.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::job::{JobFilter, PublicState, list};
use leasectl_core::kind::{FETCH, Lane};
use leasectl_worker::daemon::Concurrency;
use serde_json::json;

use crate::handlers::{Gate, OTHER, WORK, handler, no_op};
use crate::world::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_many_repositories_complete() {
    let world = World::new().await;
    let jobs = world.jobs(60).await;
    let worker = world.worker([no_op()]).start();
    world.until_all(&jobs, PublicState::Completed).await;
    for id in jobs {
        let job = world.view(id).await;
        assert_eq!(job.attempt, 1);
        assert_eq!(job.result, Some(json!({})));
        assert_eq!(job.attempts[0].owner, worker.owner.as_str());
    }
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_comes_to_an_idle_worker_starts_without_a_poll() {
    let world = World::new().await;
    let repo = world.repository(0).await;
    let worker = world
        .worker([no_op()])
        .with(|settings| settings.poll_interval = Duration::from_secs(600))
        .start();
    for number in 0..5 {
        let job = world.job(repo, &WORK, number).await;
        // Long before the poll.
        world.until_state(job, PublicState::Completed).await;
    }
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_found_by_polling_when_no_wakeup_comes_through() {
    let world = World::new().await;
    let worker = world.worker([no_op()]).deaf().start();
    let first = world.one_job().await;
    world.until_state(first, PublicState::Completed).await;
    let second = world.job(world.repository(0).await, &WORK, 1).await;
    world.until_state(second, PublicState::Completed).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lane_runs_more_handlers_than_it_has_slots() {
    let world = World::new().await;
    let jobs = world.jobs(9).await;
    let gate = Gate::closed();
    let other_gate = Gate::closed();
    let other = world.job(world.repository(0).await, &OTHER, 0).await;
    let worker = world
        .worker([gate.handler(WORK), other_gate.handler(OTHER)])
        .with(|settings| {
            settings.concurrency = Concurrency::none()
                .with(Lane::Fetch, 3)
                .with(Lane::Index, 1);
            // A full claim says that there is more: whoever is done asks again at once.
            settings.poll_interval = Duration::from_secs(600);
        })
        .start();
    until("three handlers run", || gate.entered() == 3).await;
    until("the other lane has its own slots", || {
        other_gate.entered() == 1
    })
    .await;
    gate.open();
    other_gate.open();
    world.until_all(&jobs, PublicState::Completed).await;
    world.until_state(other, PublicState::Completed).await;
    assert_eq!(gate.most_inside(), 3);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_got_all_it_asked_for_is_followed_by_another_at_once() {
    let world = World::new().await;
    let jobs = world.jobs(6).await;
    let gate = Gate::closed();
    let worker = world
        .worker([gate.handler(WORK)])
        .with(|settings| {
            settings.pipeline.batch = 2;
            settings.poll_interval = Duration::from_secs(600);
        })
        .deaf()
        .start();
    // Nobody is done, no wakeup comes, and the next poll is far away.
    until("six handlers run", || gate.entered() == 6).await;
    gate.open();
    world.until_all(&jobs, PublicState::Completed).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_switched_off_is_left_to_others() {
    let world = World::new().await;
    let repo = world.repository(0).await;
    let off = world.job(repo, &WORK, 0).await;
    let on = world.job(repo, &OTHER, 0).await;
    let gate = Gate::closed();
    gate.open();
    let worker = world
        .worker([no_op(), gate.handler(OTHER)])
        .with(|settings| settings.concurrency = Concurrency::none().with(Lane::Index, 1))
        .start();
    world.until_state(on, PublicState::Completed).await;
    worker.drain().await;
    assert_eq!(world.view(off).await.state, PublicState::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_lane_run_one_at_a_time_and_follow_each_other_without_a_poll() {
    let world = World::new().await;
    let repo = world.repository(0).await;
    let mut jobs = Vec::new();
    for number in 0..8 {
        jobs.push(world.job(repo, &WORK, number).await);
    }
    let gate = Gate::closed();
    gate.open();
    let worker = world
        .worker([gate.handler(WORK)])
        .with(|settings| settings.poll_interval = Duration::from_secs(600))
        .start();
    world.until_all(&jobs, PublicState::Completed).await;
    assert_eq!(gate.most_inside(), 1);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failed_attempt_and_hurts_nobody_else() {
    let world = World::new().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let panicking = handler(WORK, move |_| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(run > 0, "the first attempt goes wrong");
            Ok(json!({}))
        }
    });
    let job = world.one_job().await;
    let worker = world.worker([panicking]).start();
    let done = world.until_state(job, PublicState::Completed).await;
    assert_eq!(done.attempt, 2);
    let error = done.attempts[0].error.as_ref().expect("an error");
    assert_eq!(error.code, ErrorCode::HandlerPanicked);
    assert!(
        error.message.contains("the first attempt goes wrong"),
        "{}",
        error.message
    );
    assert!(worker.is_alive());
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_always_fails_ends_in_error_after_its_attempts() {
    let world = World::new().await;
    let failing = handler(WORK, |_| async {
        Err(JobError::retryable(
            ErrorCode::RemoteTimeout,
            "the remote is silent",
        ))
    });
    let job = world.one_job().await;
    let worker = world.worker([failing]).start();
    for attempt in 1..5 {
        let failed = |job: &leasectl_core::job::JobView| {
            job.attempt == attempt && job.state == PublicState::Queued
        };
        world.until_job(job, "a failed attempt", failed).await;
        // Nobody wants to wait for the backoff.
        world
            .sql("update leasectl.job set not_before = now() where state = 'scheduled'")
            .await;
    }
    let ended = world.until_state(job, PublicState::Error).await;
    assert_eq!(ended.attempt, 5);
    let error = ended.last_error.expect("an error");
    assert_eq!(error.code, ErrorCode::AttemptsExhausted);
    assert_eq!(error.details["cause"]["code"], "remote_timeout");
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_failure_is_not_tried_again() {
    let world = World::new().await;
    let failing = handler(WORK, |_| async {
        Err(JobError::permanent(
            ErrorCode::RemoteNotFound,
            "there is no such repository",
        ))
    });
    let job = world.one_job().await;
    let worker = world.worker([failing]).start();
    let ended = world.until_state(job, PublicState::Error).await;
    assert_eq!(ended.attempt, 1);
    assert_eq!(
        ended.last_error.expect("an error").code,
        ErrorCode::RemoteNotFound
    );
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_the_database_cannot_hold_does_not_hold_up_the_others() {
    let world = World::new().await;
    let odd = handler(WORK, |context| async move {
        let nul = if context.job.args["n"] == 0 { "\0" } else { "" };
        Ok(json!({"text": format!("x{nul}y")}))
    });
    let mut jobs = Vec::new();
    for number in 0..6 {
        jobs.push(
            world
                .job(world.repository(number).await, &WORK, number)
                .await,
        );
    }
    let worker = world.worker([odd]).start();
    world.until_all(&jobs, PublicState::Completed).await;
    assert_eq!(
        world.view(jobs[0]).await.result,
        Some(json!({"text": "xy"}))
    );
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_fetched_unasked_at_their_own_interval() {
    let world = World::new().await;
    let gate = Gate::closed();
    gate.open();
    let (repo, other) = (world.repository(0).await, world.repository(1).await);
    world
        .sql(&format!(
            "update leasectl.repository set fetch_every = '1 hour' where id = '{repo}'"
        ))
        .await;
    let worker = world.worker([gate.handler(FETCH)]).start();
    until("the first fetch", || gate.entered() == 1).await;
    let filter = |repo| JobFilter {
        repo_id: Some(repo),
        ..JobFilter::default()
    };
    let jobs = list(&world.database, &filter(repo), 10, None).await;
    let jobs = jobs.expect("an answer").items;
    assert_eq!(jobs.len(), 1);
    let first = world.until_state(jobs[0].id, PublicState::Completed).await;
    assert_eq!(first.args, json!({}));
    worker.drain().await;
    // As if an hour had passed; a new worker looks at once.
    let aged = "update leasectl.repository set fetch_due_at = fetch_due_at - interval '1 hour' \
                 where fetch_every is not null and fetch_due_at > now() + interval '50 minutes'";
    assert_eq!(world.sql(aged).await, 1);
    let worker = world.worker([gate.handler(FETCH)]).start();
    until("the second fetch", || gate.entered() == 2).await;
    worker.drain().await;
    let others = list(&world.database, &filter(other), 10, None).await;
    assert!(others.expect("an answer").items.is_empty());
}
