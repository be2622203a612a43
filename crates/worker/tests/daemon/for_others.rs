//! What a worker sees and cannot take itself, it tells the others of: they may not look for a while.

use std::time::Duration;

use leasectl_core::ids::JobId;
use leasectl_core::job::{CancelOutcome, PublicState, cancel};
use leasectl_core::kind::Lane;
use leasectl_worker::daemon::Concurrency;
use uuid::Uuid;

use crate::handlers::{Gate, OTHER, WORK, endless, no_op};
use crate::metrics::kind;
use crate::world::{NewWorker, Worker, World};

/// Looks once, at its start, and hears wakeups.
fn hardly_looking(worker: NewWorker) -> NewWorker {
    worker.with(|settings| settings.poll_interval = Duration::from_secs(600))
}

/// A worker beside so many others that has looked, and from now on only hears wakeups.
async fn heir(world: &World, others: i64) -> Worker {
    let own = kind("inherited");
    let open = Gate::closed();
    open.open();
    let heir = hardly_looking(world.worker([no_op(), open.handler(own)])).start();
    world.until_listening(others + 1).await;
    let sign = world.job(world.repository(2).await, &own, 0).await;
    world.until_state(sign, PublicState::Completed).await;
    heir
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_the_last_job_of_a_worker_that_drains_is_taken_by_another() {
    let world = World::new().await;
    let repo = world.repository(0).await;
    let (gate, stays) = (Gate::closed(), Gate::closed());
    let leaver = world.worker([gate.handler(WORK), stays.handler(OTHER)]);
    let leaver = hardly_looking(leaver)
        .with(|settings| settings.drain_timeout = Duration::from_secs(600))
        // Long enough for a machine that stands still for seconds.
        .lease_ms(10_000, 120_000, 900_000)
        .start();
    let last = world.job(repo, &WORK, 0).await;
    let busy = world.job(world.repository(1).await, &OTHER, 0).await;
    for held in [last, busy] {
        world.until_state(held, PublicState::Running).await;
    }
    let next = world.job(repo, &WORK, 1).await;
    let heir = heir(&world, 1).await;
    leaver.shutdown.request();
    gate.open();
    world.until_state(next, PublicState::Completed).await;
    stays.open();
    leaver.ended().await;
    heir.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_job_of_a_worker_that_is_full_again_is_taken_by_another() {
    let world = World::new().await;
    let repo = world.repository(0).await;
    let (gate, stays) = (Gate::closed(), Gate::closed());
    let other = kind("stays");
    let full = world.worker([gate.handler(WORK), stays.handler(other)]);
    let full = hardly_looking(full)
        .with(|settings| settings.concurrency = Concurrency::none().with(Lane::Fetch, 1))
        .lease_ms(10_000, 120_000, 900_000)
        .start();
    let first = world.job(repo, &WORK, 0).await;
    world.until_state(first, PublicState::Running).await;
    let next = world.job(repo, &WORK, 1).await;
    let heir = heir(&world, 1).await;
    // The settlement waits, so the slot is taken again before the lane is free.
    let mut client = world.database.client().await.expect("a connection");
    let lock = client.transaction().await.expect("a transaction");
    let patient = "set local idle_in_transaction_session_timeout = 0";
    lock.batch_execute(patient).await.expect("set");
    let row = "select from leasectl.job where id = $1 for update";
    lock.query_one(row, &[&first.as_uuid()])
        .await
        .expect("locked");
    gate.open();
    let more = world.job(world.repository(1).await, &other, 0).await;
    world.until_state(more, PublicState::Running).await;
    lock.rollback().await.expect("unlocked");
    world.until_state(next, PublicState::Completed).await;
    stays.open();
    full.drain().await;
    heir.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_job_that_is_cancelled_is_taken_without_a_poll() {
    let world = World::new().await;
    let repo = world.repository(0).await;
    let nobodys = world.job(repo, &kind("nobodys"), 0).await;
    let next = world.job(repo, &WORK, 1).await;
    let heir = heir(&world, 0).await;
    let cancelled = cancel(&world.database, nobodys).await;
    assert_eq!(cancelled.expect("an answer"), CancelOutcome::Cancelled);
    world.until_state(next, PublicState::Completed).await;
    heir.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sweep_makes_ready_is_taken_by_another_worker_that_serves_its_lane() {
    let world = World::new().await;
    let repo = world.repository(0).await;
    let serves_it = hardly_looking(world.worker([no_op()])).start();
    world.until_listening(1).await;
    let gate = Gate::closed();
    let sweeps = world.worker([gate.handler(OTHER)]).start();
    let busy = world.job(repo, &OTHER, 0).await;
    world.until_state(busy, PublicState::Running).await;
    // In a transaction of a caller, which sends no wakeup.
    let client = world.database.client().await.expect("a connection");
    let enqueue = "select leasectl.enqueue($1, 'work')";
    let row = client.query_one(enqueue, &[&repo.to_string()]).await;
    let job: Uuid = row.expect("enqueued").get(0);
    world
        .until_state(JobId::from(job), PublicState::Completed)
        .await;
    gate.open();
    sweeps.drain().await;
    serves_it.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drains_tells_others_of_leases_that_are_over() {
    let world = World::new().await;
    let left = world.one_job().await;
    let vanished = world.worker([endless()]).lease_ms(10_000, 60_000, 60_000);
    let vanished = vanished.start();
    world.until_state(left, PublicState::Running).await;
    world
        .sql("update leasectl.job set lease_owner = 'killed:1:1' where state = 'running'")
        .await;
    vanished.shutdown.request();
    vanished.shutdown.request();
    vanished.ended().await;
    let gate = Gate::closed();
    let busy = world.job(world.repository(1).await, &OTHER, 0).await;
    let leaver = world.worker([no_op(), gate.handler(OTHER)]).start();
    world.until_state(busy, PublicState::Running).await;
    let heir = heir(&world, 1).await;
    leaver.shutdown.request();
    let over = "update leasectl.job set lease_heartbeat_at = now() - interval '1 hour', \
                lease_expires_at = now() - interval '1 minute' where lease_owner = 'killed:1:1'";
    assert_eq!(world.sql(over).await, 1);
    world.until_state(left, PublicState::Completed).await;
    gate.open();
    leaver.drain().await;
    heir.drain().await;
}
