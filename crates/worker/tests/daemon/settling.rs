//! Settlements that the database refuses.

use std::time::Duration;

use leasectl_core::ids::JobId;
use leasectl_core::job::PublicState;

use crate::handlers::{Gate, OTHER, WORK, no_op};
use crate::metrics::kind;
use crate::world::{World, until};

impl World {
    /// Has the database refuse to take that job into its history, so many times.
    async fn refuse_history_of(&self, id: JobId, times: i64) {
        self.sql("create sequence refusals").await;
        let refuse = format!(
            "create function refuse() returns trigger language plpgsql as \
             $$ begin if nextval('refusals') <= {times} then raise exception 'not this one'; end if; \
                return new; end $$"
        );
        self.sql(&refuse).await;
        let trigger = format!(
            "create trigger refuse before insert on leasectl.job_history for each row \
             when (new.id = '{id}') execute function refuse()"
        );
        self.sql(&trigger).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_the_database_refuses_costs_those_beside_it_nothing() {
    let world = World::new().await;
    let witnessed = kind("witness");
    let first = world.job(world.repository(0).await, &OTHER, 0).await;
    let refused = world.job(world.repository(1).await, &WORK, 1).await;
    let beside = world.job(world.repository(2).await, &WORK, 2).await;
    let witness = world.job(world.repository(3).await, &witnessed, 0).await;
    world.refuse_history_of(refused, i64::MAX).await;
    let (gate, other, last) = (Gate::closed(), Gate::closed(), Gate::closed());
    let handlers = [
        gate.handler(WORK),
        other.handler(OTHER),
        last.handler(witnessed),
    ];
    let worker = world
        .worker(handlers)
        .with(|settings| settings.pipeline.settlers = 1)
        .lease_ms(100, 120_000, 600_000)
        .start();
    until("all handlers run", || {
        gate.entered() + other.entered() + last.entered() == 4
    })
    .await;
    // While the only settler waits for a row, the others' settlements become one batch.
    let mut psql = world.database.client().await.expect("a connection");
    let open = psql.transaction().await.expect("begun");
    let lock = "select from leasectl.job where id = $1 for update";
    open.execute(lock, &[&first.as_uuid()])
        .await
        .expect("locked");
    other.open();
    world.until_somebody_waits().await;
    gate.open();
    until("both handlers are done", || gate.inside() == 0).await;
    open.rollback().await.expect("rolled back");

    world.until_state(first, PublicState::Completed).await;
    world.until_state(beside, PublicState::Completed).await;
    // It is left to expire: the worker beats for its other lease alone.
    let left = world.view(refused).await.lease.expect("a lease");
    world
        .until_job(
            witness,
            "beats that the given up lease gets no more",
            |job| {
                let lease = job.lease.as_ref().expect("a lease");
                left.heartbeat_at.until(lease.heartbeat_at) > Duration::from_secs(5)
            },
        )
        .await;
    let later = world.view(refused).await.lease.expect("a lease");
    assert!(left.heartbeat_at.until(later.heartbeat_at) < Duration::from_secs(4));
    last.open();
    world.until_state(witness, PublicState::Completed).await;
    worker.drain().await;
    assert_eq!(world.view(refused).await.state, PublicState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_is_refused_for_a_moment_is_sent_again() {
    let world = World::new().await;
    let job = world.one_job().await;
    world.refuse_history_of(job, 3).await;
    let worker = world
        .worker([no_op()])
        .lease_ms(100, 120_000, 600_000)
        .start();
    let done = world.until_state(job, PublicState::Completed).await;
    assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    worker.drain().await;
}
