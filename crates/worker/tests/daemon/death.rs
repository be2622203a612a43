//! The death signal: who vanished is replaced at once, and nobody else is disturbed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasectl_core::ids::Owner;
use leasectl_core::job::PublicState;
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, ClaimRequest, LeaseSettings};
use leasectl_core::liveness::{DeathGrace, LivenessSession};
use leasectl_core::status;
use leasectl_core::worker::{self, Liveness, LockClaim, WorkerRecord};
use leasectl_embedded::Mode;
use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};
use serde_json::json;
use tokio::sync::mpsc;

use crate::granted_time::GrantedTime;
use crate::handlers::{Gate, WORK, handler, no_op};
use crate::world::{NewWorker, World, pause, until};

/// Heartbeats that explain nothing which happens within a test.
const SLOW: (u64, u64, u64) = (10_000, 120_000, 900_000);

impl World {
    /// The servers of tests are young: lets absent locks count all the same.
    pub(crate) async fn settle_server(&self) {
        self.sql(
            "create or replace function leasectl.server_is_settled() returns boolean \
             language sql stable parallel safe as $$ select true $$",
        )
        .await;
    }

    pub(crate) async fn until_liveness(&self, owner: &Owner, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(client) = self.database.client().await
                && let Ok(workers) = status::workers(&client).await
                && workers
                    .iter()
                    .any(|w| w.owner == owner.as_str() && w.liveness == wanted)
            {
                return;
            }
            assert!(Instant::now() < deadline, "{owner} is not seen by {wanted}");
            pause().await;
        }
    }

    /// Waits until a worker is the detector. It looked who is there before it became one.
    async fn until_detected(&self) {
        let sql = "select count(*) from leasectl.liveness_locks() where key = 0";
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let client = self.database.client().await.expect("a connection");
            let row = client.query_one(sql, &[]).await.expect("an answer");
            if row.get::<_, i64>(0) > 0 {
                return;
            }
            assert!(Instant::now() < deadline, "nobody is the detector");
            pause().await;
        }
    }

    /// Waits until a worker was declared dead.
    async fn until_judged(&self, owner: &str) {
        let sql = "select from leasectl.worker where owner = $1 and died_at is not null";
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let client = self.database.client().await.expect("a connection");
            let found = client.query_opt(sql, &[&owner]).await.expect("an answer");
            if found.is_some() {
                return;
            }
            assert!(Instant::now() < deadline, "nobody misses {owner}");
            pause().await;
        }
    }

    /// The sessions that hold a worker's lock.
    async fn sessions(&self) -> Vec<i32> {
        let client = self.database.client().await.expect("a connection");
        let sql = "select pid from leasectl.liveness_locks() where key > 0";
        let rows = client.query(sql, &[]).await.expect("an answer");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

pub(crate) fn slow(worker: NewWorker) -> NewWorker {
    worker.lease_ms(SLOW.0, SLOW.1, SLOW.2)
}

fn slow_lease() -> LeaseSettings {
    let ms = Duration::from_millis;
    LeaseSettings::new(ms(SLOW.0), ms(SLOW.1), ms(SLOW.2)).expect("lease settings")
}

/// A worker of another host that holds its lock and does nothing else.
pub(crate) async fn idler(world: &World, owner: &Owner) -> LivenessSession {
    let session = LivenessSession::open(&world.url).await.expect("a session");
    let key = session.next_key().await.expect("a key");
    assert!(session.hold(key).await.expect("an answer"));
    session.configure().await.expect("configured");
    let record = WorkerRecord {
        owner: owner.clone(),
        version: "0.0.0".to_owned(),
        kinds: [("work".to_owned(), 9)].into(),
        settings: slow_lease(),
        death_grace: Some(DeathGrace::default()),
    };
    let client = world.database.client().await.expect("a connection");
    let said = worker::beat(&client, &record, false, LockClaim::Key(key)).await;
    assert_eq!(said.expect("a row"), Liveness::Session);
    session
}

/// A worker of another host: it holds its lock and the lease of every ready job of the lane.
async fn victim(world: &World) -> LivenessSession {
    let owner = Owner::from("elsewhere:1:1".to_owned());
    let session = idler(world, &owner).await;
    let settings = slow_lease();
    let client = world.database.client().await.expect("a connection");
    let request = ClaimRequest {
        slots: &[(Lane::Fetch, 9)],
        kinds: &["work"],
    };
    let leases = lease::claim(&client, &owner, &settings, &request).await;
    assert!(!leases.expect("claimed").is_empty());
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_worker_that_vanished_runs_elsewhere_after_its_grace() {
    let world = World::new().await;
    world.settle_server().await;
    let job = world.one_job().await;
    let session = victim(&world).await;
    let time = GrantedTime::start();
    let (started, mut hears) = mpsc::channel(1);
    let clock = time.clone();
    let notes = handler(WORK, move |_| {
        let (started, now) = (started.clone(), (Instant::now(), clock.passed()));
        async move {
            started.send(now).await.expect("the test listens");
            Ok(json!({}))
        }
    });
    // A long poll: it is the wakeup that makes others look.
    let worker = slow(world.worker([notes]))
        .with(|settings| settings.poll_interval = Duration::from_secs(60))
        .start();
    world.until_detected().await;
    world.until_listening(1).await;
    let vanished = (Instant::now(), time.passed());
    drop(session);
    let started = hears.recv().await.expect("it runs");
    let took = started.0 - vanished.0;
    assert!(took > Duration::from_millis(290), "hasty: {took:?}");
    // Nor by the longer grace of those that the detector never saw alive. How fast it is the benchmark says.
    let took = started.1 - vanished.1;
    assert!(took < Duration::from_secs(3), "{took:?}");
    let done = world.until_state(job, PublicState::Completed).await;
    let error = done.attempts[0].error.as_ref().expect("it was lost");
    assert_eq!(error.message, "the worker died");
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_dead_worker_that_still_writes_is_taken_once_its_fence_has_ended() {
    let world = World::new().await;
    world.settle_server().await;
    let job = world.one_job().await;
    let session = victim(&world).await;
    let worker = slow(world.worker([no_op()])).start();
    world.until_detected().await;
    // Its transaction outlives it, as in a server that has not missed its connection yet.
    let mut client = world.database.client().await.expect("a connection");
    let fence = client.transaction().await.expect("begun");
    let holds = "select from leasectl.job where id = $1 for key share";
    fence
        .execute(holds, &[&job.as_uuid()])
        .await
        .expect("fenced");
    drop(session);
    world.until_judged("elsewhere:1:1").await;
    assert_eq!(world.view(job).await.state, PublicState::Running);
    fence.rollback().await.expect("rolled back");
    let done = world.until_state(job, PublicState::Completed).await;
    let error = done.attempts[0].error.as_ref().expect("it was lost");
    assert_eq!(error.message, "the worker died");
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_six_oldest_workers_vanish_together_the_seventh_sees_it() {
    let world = World::new().await;
    world.settle_server().await;
    let job = world.one_job().await;
    let mut detector = victim(&world).await;
    assert!(detector.ping().await.expect("an answer").detects);
    let mut vanishing = vec![detector];
    for number in 2..=6 {
        let owner = Owner::from(format!("elsewhere:{number}:{number}"));
        vanishing.push(idler(&world, &owner).await);
    }
    let worker = slow(world.worker([no_op()]))
        .with(|settings| settings.poll_interval = Duration::from_secs(60))
        .start();
    world.until_liveness(&worker.owner, "session").await;
    world.until_listening(1).await;
    drop(vanishing);
    let done = world.until_state(job, PublicState::Completed).await;
    let error = done.attempts[0].error.as_ref().expect("it was lost");
    assert_eq!(error.message, "the worker died");
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_death_signal_nobody_is_watched_and_nobody_watches() {
    let world = World::new().await;
    world.settle_server().await;
    let gate = Gate::closed();
    let job = world.one_job().await;
    let worker = slow(world.worker([gate.handler(WORK)]))
        .with(|settings| settings.death_grace = None)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    assert!(world.sessions().await.is_empty());
    world.until_liveness(&worker.owner, "heartbeat").await;
    gate.open();
    world.until_state(job, PublicState::Completed).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_direct_connection_works_by_its_heartbeats() {
    let world = World::new().await;
    let job = world.one_job().await;
    let worker = world.worker([no_op()]).deaf().start();
    world.until_state(job, PublicState::Completed).await;
    world.until_liveness(&worker.owner, "heartbeat").await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_waits_in_vain_for_its_lock_works_by_its_heartbeats() {
    let world = World::new().await;
    let mut client = world.database.client().await.expect("a connection");
    let held = client.transaction().await.expect("begun");
    // The session opens, and whoever wants a key for its lock waits.
    held.batch_execute(
        "set local idle_in_transaction_session_timeout = 0; \
         alter sequence leasectl.worker_liveness_key increment by 1",
    )
    .await
    .expect("altered");
    let job = world.one_job().await;
    let worker = slow(world.worker([no_op()])).start();
    world.until_state(job, PublicState::Completed).await;
    world.until_liveness(&worker.owner, "heartbeat").await;
    held.rollback().await.expect("rolled back");
    world.until_liveness(&worker.owner, "session").await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_liveness_session_costs_nothing() {
    let world = World::new().await;
    world.settle_server().await;
    let gate = Gate::closed();
    let job = world.one_job().await;
    // Long enough for a machine that is busy with other tests to hold the lock again.
    let grace = Duration::from_secs(3);
    let worker = slow(world.worker([gate.handler(WORK)]))
        .with(|settings| settings.death_grace = Some(DeathGrace::new(grace).expect("a grace")))
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    let rival = slow(world.worker([no_op()])).start();
    world.until_liveness(&worker.owner, "session").await;
    world.until_liveness(&rival.owner, "session").await;
    for _ in 0..5 {
        let before = world.sessions().await;
        assert_eq!(before.len(), 2);
        world
            .sql("select pg_terminate_backend(pid) from leasectl.liveness_locks()")
            .await;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let now = world.sessions().await;
            if now.len() == 2 && !now.iter().any(|pid| before.contains(pid)) {
                break;
            }
            assert!(Instant::now() < deadline, "the locks are not held again");
            pause().await;
        }
    }
    // Whoever is judged is judged by then.
    tokio::time::sleep(grace + Duration::from_millis(300)).await;
    gate.open();
    let done = world.until_state(job, PublicState::Completed).await;
    assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    worker.drain().await;
    rival.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detector_whose_looks_are_refused_for_a_while_keeps_its_session_and_sees_deaths_again() {
    let world = World::new().await;
    world.settle_server().await;
    let job = world.one_job().await;
    let session = victim(&world).await;
    let worker = slow(world.worker([no_op()])).start();
    world.until_liveness(&worker.owner, "session").await;
    world.until_detected().await;
    let before = world.sessions().await;
    world.sql("create sequence refusals").await;
    world
        .sql(
            "create or replace function leasectl.server_is_settled() returns boolean language plpgsql \
             stable parallel safe as \
             $$ begin perform nextval('refusals'); raise exception 'not now'; end $$",
        )
        .await;
    world.until_counted("refusals", 3).await;
    world.settle_server().await;
    drop(session);
    world.until_state(job, PublicState::Completed).await;
    let left = world.sessions().await;
    assert_eq!(left.len(), 1);
    assert!(before.contains(&left[0]), "{left:?} is a new session");
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_hold_its_lock_again_hands_back_what_it_runs() {
    let world = World::new().await;
    world.settle_server().await;
    let gate = Gate::closed();
    let job = world.one_job().await;
    // A server that does not answer within the grace counts as down, which frees every lock: a busy one has seconds.
    let grace = DeathGrace::new(Duration::from_secs(3)).expect("a grace");
    let worker = slow(world.worker([gate.handler(WORK)]))
        .with(|settings| settings.death_grace = Some(grace))
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    world.until_liveness(&worker.owner, "session").await;
    world
        .sql(
            "create or replace function leasectl.try_liveness_lock(key integer) returns boolean \
             language plpgsql as $$ begin raise exception 'not any more'; end $$",
        )
        .await;
    world
        .sql("select pg_terminate_backend(pid) from leasectl.liveness_locks()")
        .await;
    // The server lives and answers: whoever watched it would take it for dead.
    world
        .until_job(job, "it is handed back", |job| {
            let first = job.attempts.first();
            first.is_some_and(|first| first.outcome.as_deref() == Some("released"))
        })
        .await;
    // By its heartbeats alone it works on.
    gate.open();
    let done = world.until_state(job, PublicState::Completed).await;
    assert_eq!(done.attempt, 1);
    world.until_liveness(&worker.owner, "heartbeat").await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_robs_nobody() {
    let server = tokio::task::spawn_blocking(|| {
        ScratchServer::start(ScratchSettings::new()).expect("a scratch server")
    });
    let server = Arc::new(server.await.expect("no panic"));
    let world = World::at(&server.url()).await;
    world.settle_server().await;
    let gate = Gate::closed();
    let jobs = world.jobs(10).await;
    let worker = slow(world.worker([gate.handler(WORK)])).start();
    until("the handlers run", || gate.entered() == 10).await;
    let rival = slow(world.worker([no_op()])).start();
    for mode in [Mode::Immediate, Mode::Fast] {
        world.until_liveness(&worker.owner, "session").await;
        let restarting = Arc::clone(&server);
        let restarted = tokio::task::spawn_blocking(move || restarting.restart(mode));
        restarted.await.expect("no panic").expect("restarted");
        world.until_liveness(&worker.owner, "session").await;
        world.until_liveness(&rival.owner, "session").await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    gate.open();
    for id in &jobs {
        let done = world.until_state(*id, PublicState::Completed).await;
        assert_eq!((done.attempt, done.attempts.len()), (1, 1), "{id}");
    }
    worker.drain().await;
    rival.drain().await;
}
