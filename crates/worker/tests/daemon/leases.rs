//! Keeping leases, losing them, and taking those of the dead.

use std::time::{Duration, Instant};

use leasectl_core::failure::ErrorCode;
use leasectl_core::job::PublicState;
use serde_json::json;

use crate::handlers::{Gate, OTHER, WORK, advancing, endless, handler, no_op, wedged};
use crate::world::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_a_long_job_with_its_worker_past_stale_after() {
    let world = World::new().await;
    let gate = Gate::closed();
    let job = world.one_job().await;
    let holder = world
        .worker([gate.handler(WORK)])
        .lease_ms(100, 1_000, 60_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    let rival = world.worker([no_op()]).start();
    let claimed = world.view(job).await.lease.expect("a lease");
    let wanted = claimed.acquired_at.as_datetime() + Duration::from_millis(2_500);
    let later = world
        .until_job(job, "heartbeats past stale-after", |job| {
            job.lease
                .as_ref()
                .is_none_or(|lease| lease.heartbeat_at.as_datetime() > wanted)
        })
        .await;
    assert_eq!(later.lease.expect("a lease").token, claimed.token);
    gate.open();
    let done = world.until_state(job, PublicState::Completed).await;
    assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    holder.drain().await;
    rival.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_stops_the_handler_and_its_outcome_is_dropped() {
    let world = World::new().await;
    let gate = Gate::closed();
    let job = world.one_job().await;
    let worker = world.worker([gate.handler(WORK)]).start();
    until("the handler runs", || gate.entered() == 1).await;
    // Another worker took over, as far as the database knows.
    let taken = world
        .sql(
            "update leasectl.job set lease_owner = 'elsewhere:1:1', \
             lease_token = nextval('leasectl.lease_token') where state = 'running'",
        )
        .await;
    assert_eq!(taken, 1);
    // The slot is free again only when the handler has stopped.
    let next = world.job(world.repository(1).await, &WORK, 0).await;
    gate.open();
    world.until_state(next, PublicState::Completed).await;
    worker.drain().await;
    let job = world.view(job).await;
    assert_eq!(job.state, PublicState::Running);
    assert_eq!(job.lease.expect("a lease").owner, "elsewhere:1:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_whose_lease_is_lost_is_told_at_the_next_heartbeat() {
    let world = World::new().await;
    let (told, mut hears) = tokio::sync::mpsc::channel(1);
    let listening = handler(WORK, move |context| {
        let told = told.clone();
        async move {
            told.send("runs").await.expect("the test listens");
            context.cancel.cancelled().await;
            told.send("stopped").await.expect("the test listens");
            Ok(json!({"late": true}))
        }
    });
    let job = world.one_job().await;
    let worker = world.worker([listening]).start();
    assert_eq!(hears.recv().await, Some("runs"));
    world
        .sql("update leasectl.job set lease_token = nextval('leasectl.lease_token')")
        .await;
    assert_eq!(hears.recv().await, Some("stopped"));
    worker.drain().await;
    assert_eq!(world.view(job).await.state, PublicState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_dead_owner_is_taken_over_at_start() {
    let world = World::new().await;
    let job = world.one_job().await;
    leave_behind(&world).await;
    let heir = world.worker([no_op()]).start();
    let done = world.until_state(job, PublicState::Completed).await;
    assert_eq!(done.attempt, 2);
    let outcomes: Vec<_> = done.attempts.iter().map(|a| a.outcome.as_deref()).collect();
    assert_eq!(outcomes, [Some("lost"), Some("completed")]);
    assert!(done.attempts[0].token < done.attempts[1].token);
    heir.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_leases_are_taken_before_fresh_jobs() {
    let world = World::new().await;
    let dead = world.one_job().await;
    leave_behind(&world).await;
    let mut fresh = Vec::new();
    for number in 1..=20 {
        fresh.push(world.job(world.repository(number).await, &WORK, 0).await);
    }
    let gate = Gate::closed();
    let heir = world
        .worker([gate.handler(WORK)])
        .with(|settings| {
            let one = leasectl_worker::daemon::Concurrency::none();
            settings.concurrency = one.with(leasectl_core::kind::Lane::Fetch, 1);
        })
        .start();
    until("the first handler runs", || gate.entered() == 1).await;
    assert_eq!(world.view(dead).await.state, PublicState::Running);
    gate.open();
    world.until_state(dead, PublicState::Completed).await;
    world.until_all(&fresh, PublicState::Completed).await;
    // What was taken over is no room for a fresh job.
    assert_eq!(gate.most_inside(), 1);
    heir.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_between_heartbeats_is_told_without_beating_for_other_leases() {
    let world = World::new().await;
    let (gate, silent) = (Gate::closed(), Gate::closed());
    let busy = world.one_job().await;
    let quiet = world.job(world.repository(1).await, &OTHER, 0).await;
    let worker = world
        .worker([
            advancing(&gate, Duration::from_millis(20)),
            silent.handler(OTHER),
        ])
        .lease_ms(30_000, 120_000, 600_000)
        // No liveness session has it write its row, and beat for all, again.
        .with(|settings| settings.death_grace = None)
        .start();
    until("both handlers run", || {
        gate.entered() + silent.entered() == 2
    })
    .await;
    let mut shown = 0;
    let mut beaten = Vec::new();
    for _ in 0..4 {
        let job = world
            .until_job(busy, "more progress", |job| {
                job.progress
                    .as_ref()
                    .is_some_and(|progress| progress.done > shown)
            })
            .await;
        shown = job.progress.expect("progress").done;
        let quiet = world.view(quiet).await.lease.expect("a lease");
        beaten.push(quiet.heartbeat_at);
    }
    // The worker may have come to its first beat in the meantime.
    assert_eq!(beaten[1..], [beaten[1]; 3]);
    gate.open();
    silent.open();
    world
        .until_all(&[busy, quiet], PublicState::Completed)
        .await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_leaves_the_leases_of_the_living_alone() {
    let world = World::new().await;
    let gate = Gate::closed();
    let jobs = world.jobs(5).await;
    let holder = world.worker([gate.handler(WORK)]).start();
    until("the handlers run", || gate.entered() == 5).await;
    let newcomer = world.worker([no_op()]).start();
    let sign = world.job(world.repository(9).await, &WORK, 0).await;
    world
        .until_job(sign, "the newcomer works", |job| {
            job.state != PublicState::Queued
        })
        .await;
    for id in &jobs {
        let lease = world.view(*id).await.lease.expect("a lease");
        assert_eq!(lease.owner, holder.owner.as_str());
    }
    gate.open();
    world.until_all(&jobs, PublicState::Completed).await;
    holder.drain().await;
    newcomer.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_keeps_losing_its_worker_ends_in_error() {
    let world = World::new().await;
    let job = world.one_job().await;
    for _ in 0..3 {
        leave_behind(&world).await;
    }
    let worker = world.worker([no_op()]).start();
    let ended = world.until_state(job, PublicState::Error).await;
    assert_eq!(
        ended.last_error.expect("an error").code,
        ErrorCode::AttemptsExhausted
    );
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_gets_nowhere_is_stopped_when_its_lease_expires() {
    let world = World::new().await;
    let job = world.one_job().await;
    let worker = world.worker([wedged()]).lease_ms(100, 1_500, 1_500).start();
    let failed = world
        .until_job(job, "the first attempt ends", |job| {
            job.attempts
                .first()
                .is_some_and(|attempt| attempt.outcome.is_some())
        })
        .await;
    let attempt = &failed.attempts[0];
    assert_eq!(attempt.outcome.as_deref(), Some("failed"));
    assert_eq!(
        attempt.error.as_ref().expect("an error").code,
        ErrorCode::NoProgress
    );
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_keeps_a_job_past_the_lease_time() {
    let world = World::new().await;
    let gate = Gate::closed();
    let job = world.one_job().await;
    let worker = world
        .worker([advancing(&gate, Duration::from_millis(20))])
        .lease_ms(100, 1_500, 1_500)
        .start();
    let started = Instant::now();
    let shown = world
        .until_job(job, "two lease times of progress", |_| {
            started.elapsed() > Duration::from_millis(3_500)
        })
        .await;
    let progress = shown.progress.expect("progress is shown");
    assert!(progress.done > 1);
    assert_eq!(progress.unit, "steps");
    gate.open();
    let done = world.until_state(job, PublicState::Completed).await;
    assert_eq!(done.attempts.len(), 1);
    worker.drain().await;
}

/// Lets a worker claim the one job that is there and vanish, as if it had been killed long ago.
async fn leave_behind(world: &World) {
    let is_running = || async { world.workers().await };
    let worker = world.worker([endless()]).start();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let held = format!(
            "update leasectl.job set message = message where lease_owner = '{}'",
            worker.owner
        );
        if world.sql(&held).await == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "nobody claimed the job");
        crate::world::pause().await;
    }
    assert!(is_running().await > 0);
    // The lease is made somebody else's, so that the worker cannot give it back.
    world
        .sql("update leasectl.job set lease_owner = 'killed:1:1' where state = 'running'")
        .await;
    worker.drain().await;
    assert_eq!(world.age_leases().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_locked_from_outside_costs_no_other_lease_its_beat() {
    let world = World::new().await;
    let gate = Gate::closed();
    let jobs = world.jobs(4).await;
    let worker = world
        .worker([gate.handler(WORK)])
        .lease_ms(100, 25_000, 60_000)
        .start();
    until("the handlers run", || gate.entered() == 4).await;
    // What an operator forgets in an open psql.
    let mut psql = world.database.client().await.expect("a connection");
    let open = psql.transaction().await.expect("begun");
    let lock = "select from leasectl.job where id = $1 for update";
    open.execute(lock, &[&jobs[0].as_uuid()])
        .await
        .expect("locked");
    let beaten_at = async |id| world.view(id).await.lease.expect("a lease").heartbeat_at;
    let locked_since = beaten_at(jobs[0]).await;
    for id in &jobs[1..] {
        world
            .until_job(*id, "ten more beats", |job| {
                let lease = job.lease.as_ref().expect("a lease");
                locked_since.until(lease.heartbeat_at) > Duration::from_secs(1)
            })
            .await;
    }
    assert_eq!(beaten_at(jobs[0]).await, locked_since);
    open.rollback().await.expect("rolled back");
    // Nobody was told to stop, and the locked lease is beaten for again.
    world
        .until_job(jobs[0], "a beat after the lock", |job| {
            job.lease.as_ref().expect("a lease").heartbeat_at > locked_since
        })
        .await;
    gate.open();
    for id in &jobs {
        let done = world.until_state(*id, PublicState::Completed).await;
        assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    }
    worker.drain().await;
}
