//! Ending a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasectl_core::job::PublicState;

use crate::handlers::{Gate, OTHER, WORK, endless, handler, no_op, stopped, wedged};
use crate::metrics::kind;
use crate::world::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_handlers_finish_and_claims_nothing_more() {
    let world = World::new().await;
    let gate = Gate::closed();
    let job = world.one_job().await;
    let worker = world.worker([gate.handler(WORK)]).start();
    until("the handler runs", || gate.entered() == 1).await;
    worker.shutdown.request();
    let late = world.job(world.repository(1).await, &WORK, 0).await;
    let draining = "update leasectl.worker set draining = draining where draining";
    while world.sql(draining).await == 0 {
        assert!(worker.is_alive(), "it ended before its handler");
    }
    gate.open();
    worker.ended().await;
    assert_eq!(world.view(job).await.state, PublicState::Completed);
    assert_eq!(world.view(late).await.state, PublicState::Queued);
    assert_eq!(gate.entered(), 1);
    assert_eq!(world.workers().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_times_out_releases_leases_without_spending_an_attempt() {
    let world = World::new().await;
    let jobs = world.jobs(3).await;
    let told = Arc::new(AtomicUsize::new(0));
    let notes = Arc::clone(&told);
    let noting = handler(WORK, move |context| {
        let told = Arc::clone(&notes);
        async move {
            context.cancel.cancelled().await;
            told.fetch_add(1, Ordering::SeqCst);
            Err(stopped())
        }
    });
    let worker = world
        .worker([noting])
        .with(|settings| settings.drain_timeout = Duration::from_millis(100))
        .start();
    world.until_all(&jobs, PublicState::Running).await;
    worker.drain().await;
    for id in jobs {
        let job = world.view(id).await;
        assert_eq!((job.state, job.attempt), (PublicState::Queued, 0));
        assert_eq!(job.attempts[0].outcome.as_deref(), Some("released"));
        assert_eq!(job.last_error, None);
    }
    // They could have kept what they had: each was asked to stop before it was dropped.
    assert_eq!(told.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_takes_while_the_worker_is_told_to_end_is_handed_back_unstarted() {
    let world = World::new().await;
    // A claim waits here, with the job taken, until the test lets it go.
    world
        .sql(
            "create function wait() returns trigger language plpgsql as \
             $$ begin perform pg_advisory_xact_lock_shared(42); return new; end $$",
        )
        .await;
    world
        .sql(
            "create trigger wait before update on leasectl.job for each row \
             when (old.state = 'ready' and new.state = 'running') execute function wait()",
        )
        .await;
    let mut psql = world.database.client().await.expect("a connection");
    let held = psql.transaction().await.expect("begun");
    held.execute("select pg_advisory_xact_lock(42)", &[])
        .await
        .expect("locked");
    let job = world.one_job().await;
    let gate = Gate::closed();
    let worker = world.worker([gate.handler(WORK)]).start();
    world.until_somebody_waits().await;
    worker.shutdown.request();
    held.rollback().await.expect("rolled back");
    worker.ended().await;
    let job = world.view(job).await;
    assert_eq!((job.state, job.attempt), (PublicState::Queued, 0));
    assert_eq!(job.attempts[0].outcome.as_deref(), Some("released"));
    assert_eq!(gate.entered(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedged_handler_does_not_hold_up_the_drain() {
    let world = World::new().await;
    let job = world.one_job().await;
    let worker = world
        .worker([wedged()])
        .with(|settings| settings.drain_timeout = Duration::from_millis(100))
        .start();
    world.until_state(job, PublicState::Running).await;
    worker.drain().await;
    assert_eq!(world.view(job).await.attempt, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn released_jobs_are_taken_by_others_without_a_poll() {
    let world = World::new().await;
    let jobs = world.jobs(3).await;
    let leaver = world
        .worker([endless()])
        .with(|settings| settings.drain_timeout = Duration::ZERO)
        .start();
    world.until_all(&jobs, PublicState::Running).await;
    let heir = world
        .worker([no_op()])
        .with(|settings| settings.poll_interval = Duration::from_secs(600))
        .start();
    let sign = world.job(world.repository(9).await, &WORK, 0).await;
    world
        .until_job(sign, "both workers run", |job| {
            job.state != PublicState::Queued
        })
        .await;
    leaver.drain().await;
    world.until_all(&jobs, PublicState::Completed).await;
    heir.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn released_jobs_are_announced_before_the_worker_has_ended() {
    let world = World::new().await;
    let job = world.one_job().await;
    let stuck = world.job(world.repository(1).await, &OTHER, 0).await;
    let never = handler(OTHER, |_| std::future::pending());
    let leaver = world
        .worker([endless(), never])
        .with(|settings| {
            // By then nothing but word of it has the heir look.
            settings.drain_timeout = Duration::from_secs(1);
            settings.stop_grace = Duration::from_secs(600);
        })
        .start();
    world.until_all(&[job, stuck], PublicState::Running).await;
    let of_the_heir = kind("inherited");
    let gate = Gate::closed();
    gate.open();
    let heir = world
        .worker([no_op(), gate.handler(of_the_heir)])
        .with(|settings| settings.poll_interval = Duration::from_secs(600))
        .start();
    let sign = world.job(world.repository(9).await, &of_the_heir, 0).await;
    world.until_state(sign, PublicState::Completed).await;
    leaver.shutdown.request();
    world.until_state(job, PublicState::Completed).await;
    assert!(leaver.is_alive());
    leaver.drain().await;
    heir.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_ends_at_once_and_still_hands_the_leases_back() {
    let world = World::new().await;
    let jobs = world.jobs(3).await;
    let worker = world
        .worker([wedged()])
        .with(|settings| {
            settings.drain_timeout = Duration::from_secs(600);
            settings.stop_grace = Duration::from_secs(600);
        })
        .start();
    world.until_all(&jobs, PublicState::Running).await;
    worker.shutdown.request();
    worker.drain().await;
    for id in jobs {
        assert_eq!(world.view(id).await.state, PublicState::Queued);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_ends_at_once() {
    let world = World::new().await;
    let gate = Gate::closed();
    let worker = world
        .worker([no_op(), gate.handler(OTHER)])
        .with(|settings| settings.drain_timeout = Duration::from_secs(600))
        .start();
    let job = world.one_job().await;
    world.until_state(job, PublicState::Completed).await;
    worker.drain().await;
}
