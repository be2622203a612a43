//! What a worker sees and cannot take itself, it tells the others of: they may not look for a while.

use std::time::Duration;

use leasectl_core::ids::JobId;
use leasectl_core::job::PublicState;
use uuid::Uuid;

use crate::handlers::{Gate, OTHER, endless, no_op};
use crate::metrics::kind;
use crate::world::{NewWorker, World};

/// Looks once, at its start, and hears wakeups.
fn hardly_looking(worker: NewWorker) -> NewWorker {
    worker.with(|settings| settings.poll_interval = Duration::from_secs(600))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sweep_makes_ready_is_taken_by_another_worker_that_serves_its_lane() {
    let world = World::new().await;
    let repo = world.repository(0).await;
    let serves_it = hardly_looking(world.worker([no_op()])).start();
    world.until_somebody_listens().await;
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
    let of_the_heir = kind("inherited");
    let open = Gate::closed();
    open.open();
    let heir = world.worker([no_op(), open.handler(of_the_heir)]);
    let heir = hardly_looking(heir).start();
    let sign = world.job(world.repository(2).await, &of_the_heir, 0).await;
    world.until_state(sign, PublicState::Completed).await;
    leaver.shutdown.request();
    let over = "update leasectl.job set lease_heartbeat_at = now() - interval '1 hour', \
                lease_expires_at = now() - interval '1 minute' where lease_owner = 'killed:1:1'";
    assert_eq!(world.sql(over).await, 1);
    world.until_state(left, PublicState::Completed).await;
    gate.open();
    leaver.drain().await;
    heir.drain().await;
}
