//! Handlers that keep their thread and never come back to an await.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use leasectl_core::database::{Database, PoolOptions};
use leasectl_core::failure::ErrorCode;
use leasectl_core::job::{self, PublicState};
use leasectl_worker::daemon::Handler;
use serde_json::json;

use crate::handlers::{Gate, OTHER, WORK, handler, no_op};
use crate::world::{World, until};

/// What handlers block at, thread and all, until the test is over.
#[derive(Clone, Default)]
struct Jam {
    state: Arc<(Mutex<(usize, bool)>, Condvar)>,
}

impl Jam {
    fn handler(&self) -> Arc<dyn Handler> {
        let jam = self.clone();
        handler(WORK, move |_| {
            let jam = jam.clone();
            async move {
                jam.block();
                Ok(json!({}))
            }
        })
    }

    fn block(&self) {
        let (state, cleared) = &*self.state;
        let mut inside = state.lock().expect("no panic");
        inside.0 += 1;
        drop(cleared.wait_while(inside, |(_, is_clear)| !*is_clear));
    }

    fn inside(&self) -> usize {
        self.state.0.lock().expect("no panic").0
    }
}

impl Drop for Jam {
    /// Only the test's own is dropped while handlers wait.
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.0.lock() {
            state.1 = true;
        }
        self.state.1.notify_all();
    }
}

/// As many as there are threads for handlers.
fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .max(4)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_blocks_its_thread_stops_neither_heartbeats_nor_others_nor_the_drain() {
    let world = World::new().await;
    let jam = Jam::default();
    let stuck = world.one_job().await;
    let other = handler(OTHER, |_| async { Ok(json!({})) });
    let worker = world
        .worker([jam.handler(), other])
        .with(|settings| {
            settings.drain_timeout = Duration::from_millis(300);
            // One thread of several: nobody is given up, however long it takes.
            settings.blocked_after = Duration::from_millis(500);
        })
        .lease_ms(100, 1_500, 60_000)
        .start();
    until("the handler blocks", || jam.inside() == 1).await;
    let before = world.view(stuck).await.lease.expect("a lease").heartbeat_at;
    world
        .until_job(stuck, "beats past stale-after", |job| {
            let lease = job.lease.as_ref().expect("a lease");
            before.until(lease.heartbeat_at) > Duration::from_millis(1_500)
        })
        .await;
    let next = world.job(world.repository(7).await, &OTHER, 0).await;
    world.until_state(next, PublicState::Completed).await;
    worker.drain().await;
    let handed_back = world.view(stuck).await;
    assert_eq!(handed_back.state, PublicState::Queued);
    assert_eq!(handed_back.attempts[0].outcome.as_deref(), Some("released"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_blocks_its_thread_is_cancelled_without_it() {
    let world = World::new().await;
    let jam = Jam::default();
    let stuck = world.one_job().await;
    let worker = world.worker([jam.handler()]).start();
    until("the handler blocks", || jam.inside() == 1).await;
    job::cancel(&world.database, stuck).await.expect("asked");
    world.until_state(stuck, PublicState::Cancelled).await;
    assert!(worker.is_alive());
    worker.shutdown.request();
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_handlers_block_every_thread_gives_itself_up() {
    let world = World::new().await;
    let jam = Jam::default();
    let jobs = world.jobs(threads() + 2).await;
    let worker = world
        .worker([jam.handler()])
        .with(|settings| settings.blocked_after = Duration::from_millis(300))
        .lease_ms(100, 1_500, 60_000)
        .start();
    until("every thread is kept", || jam.inside() == threads()).await;
    let why = worker.broken().await;
    assert!(why.contains("threads for handlers"), "{why}");
    let mut failed = 0;
    for id in &jobs {
        let job = world.view(*id).await;
        assert_eq!((job.state, job.attempts.len()), (PublicState::Queued, 1));
        let attempt = &job.attempts[0];
        match attempt.outcome.as_deref() {
            // What kept a thread has spent an attempt, what never ran has not.
            Some("failed") => {
                let error = attempt.error.as_ref().expect("an error");
                assert_eq!(error.code, ErrorCode::NoProgress);
                failed += 1;
            }
            outcome => assert_eq!(outcome, Some("released")),
        }
    }
    assert_eq!(failed, threads());
}

/// On one thread, which the test then blocks.
#[tokio::test]
async fn a_worker_whose_own_threads_stand_still_stops_beating_and_others_take_over() {
    let world = World::new().await;
    let gate = Gate::closed();
    let job = world.one_job().await;
    let worker = world
        .worker([gate.handler(WORK)])
        .with(|settings| settings.blocked_after = Duration::from_millis(200))
        .lease_ms(100, 1_500, 60_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    let url = world.url.clone();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let options = PoolOptions {
                max_size: 4,
                application_name: "elsewhere".into(),
            };
            let database = Database::connect(&url, options).await.expect("a database");
            let there = World { database, url };
            let rival = there.worker([no_op()]).start();
            let done = there.until_state(job, PublicState::Completed).await;
            rival.drain().await;
            done
        })
    });
    let done = elsewhere.join().expect("no panic");
    assert_eq!(done.attempts[0].outcome.as_deref(), Some("lost"));
    let why = worker.broken().await;
    assert!(why.contains("heartbeat"), "{why}");
}
