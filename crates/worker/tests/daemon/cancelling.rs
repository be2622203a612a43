//! Cancelling jobs that run.

use std::time::Duration;

use leasectl_core::job::{CancelOutcome, PublicState, cancel};
use serde_json::json;

use crate::handlers::{Gate, WORK, endless, handler, wedged};
use crate::world::{NewWorker, World, until};

/// A worker that hears of a cancel by no heartbeat: it beats once, when it starts, and no liveness session has it
/// write its row again.
fn hardly_beating(worker: NewWorker) -> NewWorker {
    worker
        .lease_ms(3_600_000, 3 * 3_600_000, 10 * 3_600_000)
        .with(|settings| settings.death_grace = None)
}

/// Nor by a poll: only by wakeup.
fn listening_only(worker: NewWorker) -> NewWorker {
    let hour = Duration::from_secs(3_600);
    hardly_beating(worker).with(|settings| settings.poll_interval = hour)
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_running_job_stops_its_handler_at_once() {
    let world = World::new().await;
    let gate = Gate::closed();
    let worker = listening_only(world.worker([gate.handler(WORK)])).start();
    let job = world.one_job().await;
    until("the handler runs", || gate.entered() == 1).await;
    world.until_listening(1).await;
    let outcome = cancel(&world.database, job).await.expect("an answer");
    assert!(matches!(outcome, CancelOutcome::Requested), "{outcome:?}");
    let ended = world.until_state(job, PublicState::Cancelled).await;
    assert_eq!(ended.attempts[0].outcome.as_deref(), Some("cancelled"));
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_found_by_polling_when_no_wakeup_comes_through() {
    let world = World::new().await;
    let worker = hardly_beating(world.worker([endless()])).deaf().start();
    let job = world.one_job().await;
    world.until_state(job, PublicState::Running).await;
    cancel(&world.database, job).await.expect("an answer");
    world.until_state(job, PublicState::Cancelled).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_listen_is_dropped_after_a_grace() {
    let world = World::new().await;
    let worker = world.worker([wedged()]).start();
    let job = world.one_job().await;
    world.until_state(job, PublicState::Running).await;
    cancel(&world.database, job).await.expect("an answer");
    world.until_state(job, PublicState::Cancelled).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_needs_a_part_of_its_grace_settles_its_own_work() {
    let world = World::new().await;
    let slow = handler(WORK, |context| async move {
        context.cancel.cancelled().await;
        // Many looks of the worker at what is overdue.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(json!({"late": true}))
    });
    let worker = world
        .worker([slow])
        .with(|settings| settings.stop_grace = Duration::from_secs(30))
        .start();
    let job = world.one_job().await;
    world.until_state(job, PublicState::Running).await;
    cancel(&world.database, job).await.expect("an answer");
    let ended = world.until_state(job, PublicState::Completed).await;
    assert_eq!(ended.result, Some(json!({"late": true})));
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_was_done_before_it_could_stop_is_kept() {
    let world = World::new().await;
    let gate = Gate::closed();
    let entered = gate.clone();
    let finishing = handler(WORK, move |context| {
        let gate = entered.clone();
        async move {
            let run = gate.handler(WORK).run(context).await;
            // Told to stop, it had everything done already.
            run.or_else(|_| Ok(json!({"done": true})))
        }
    });
    let worker = world.worker([finishing]).start();
    let job = world.one_job().await;
    until("the handler runs", || gate.entered() == 1).await;
    cancel(&world.database, job).await.expect("an answer");
    let ended = world.until_state(job, PublicState::Completed).await;
    assert_eq!(ended.result, Some(json!({"done": true})));
    worker.drain().await;
}
