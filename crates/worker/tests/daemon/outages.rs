//! The database goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::job::PublicState;
use leasectl_embedded::Mode;
use leasectl_embedded::scratch::ScratchServer;

use crate::handlers::{Gate, WORK, handler, no_op, stopped};
use crate::world::{World, until};

/// Blocks on the server without blocking the runtime.
async fn server(server: &Arc<ScratchServer>, action: impl FnOnce(&ScratchServer) + Send + 'static) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || action(&server))
        .await
        .expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_run_while_the_database_restarts_are_settled_when_it_is_back() {
    let (world, postgres) = World::with_server().await;
    let gate = Gate::closed();
    let jobs = world.jobs(10).await;
    let worker = world
        .worker([gate.handler(WORK)])
        .lease_ms(200, 60_000, 600_000)
        .start();
    until("the handlers run", || gate.entered() == 10).await;
    server(&postgres, |postgres| {
        postgres.stop(Mode::Immediate).expect("stopped")
    })
    .await;
    // The handlers finish while nobody can write it down.
    gate.open();
    server(&postgres, |postgres| {
        postgres.start_again().expect("started")
    })
    .await;
    for id in &jobs {
        let done = world.until_state(*id, PublicState::Completed).await;
        assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    }
    let next = world.job(world.repository(0).await, &WORK, 1).await;
    world.until_state(next, PublicState::Completed).await;
    assert!(worker.is_alive());
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_trust_window_stops_handlers_and_spends_no_attempt() {
    let (world, postgres) = World::with_server().await;
    let (told, mut hears) = tokio::sync::mpsc::channel(4);
    let listening = handler(WORK, move |context| {
        let told = told.clone();
        async move {
            told.send("runs").await.expect("the test listens");
            tokio::time::timeout(Duration::from_secs(10), context.cancel.cancelled())
                .await
                .ok();
            told.send("stopped").await.expect("the test listens");
            Err(stopped())
        }
    });
    let job = world.one_job().await;
    let worker = world
        .worker([listening])
        .lease_ms(100, 1_000, 60_000)
        .start();
    assert_eq!(hears.recv().await, Some("runs"));
    server(&postgres, |postgres| {
        postgres.stop(Mode::Immediate).expect("stopped")
    })
    .await;
    // Told to stop although no database said so.
    assert_eq!(hears.recv().await, Some("stopped"));
    server(&postgres, |postgres| {
        postgres.start_again().expect("started")
    })
    .await;
    // Handed back as soon as the database is there again, and claimed anew.
    assert_eq!(hears.recv().await, Some("runs"));
    let again = world
        .until_job(job, "the second lease", |job| job.attempts.len() == 2)
        .await;
    assert_eq!(again.attempts[0].outcome.as_deref(), Some("released"));
    assert_eq!(again.attempt, 1);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_a_database_that_comes_later() {
    let (world, postgres) = World::with_server().await;
    let job = world.one_job().await;
    server(&postgres, |postgres| {
        postgres.stop(Mode::Fast).expect("stopped")
    })
    .await;
    let worker = world.worker([no_op()]).start();
    tokio::time::timeout(
        Duration::from_millis(300),
        until("it ends", || !worker.is_alive()),
    )
    .await
    .expect_err("it waits");
    server(&postgres, |postgres| {
        postgres.start_again().expect("started")
    })
    .await;
    world.until_state(job, PublicState::Completed).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_waits_for_the_database_can_be_ended() {
    let (world, postgres) = World::with_server().await;
    server(&postgres, |postgres| {
        postgres.stop(Mode::Fast).expect("stopped")
    })
    .await;
    let worker = world.worker([no_op()]).start();
    worker.drain().await;
}
