//! I2 by other means than the fence: each lets the write of a lost lease through.

use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, FenceError, Lease, Settled};
use tokio_postgres::error::SqlState;

use super::{Session, Stage, code};
use crate::fixture::{Fixture, KINDS, done, owner};

const PLAIN_CHECK: &str =
    "select 1 from leasectl.job where id = $1 and lease_token = $2 and state = 'running'";
const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// Whether the lease could be taken over.
async fn take_over(session: &Session, fixture: &Fixture) -> bool {
    let request = lease::ClaimRequest {
        slots: &[(Lane::Fetch, 1)],
        kinds: &KINDS,
    };
    let (two, settings) = (owner("two"), fixture.settings);
    let taken = lease::reclaim(&session.client, &two, &settings, &request).await;
    !taken.unwrap().is_empty()
}

/// Judges the run: the effect of the old token was committed after the claim of a newer one.
async fn assert_stale_write(stage: &Stage, stale: &Lease, form: &str) {
    let old = stale.key().token.get();
    assert!(stage.token().await > old, "{form}: nobody took over");
    assert_eq!(stage.effect().await, Some(old), "{form}: no longer unsafe");
}

#[tokio::test]
async fn a_check_before_the_write_lets_a_stale_write_through_at_every_isolation_level() {
    for level in LEVELS {
        let (stage, stale) = Stage::with_a_stale_lease().await;
        let (id, token) = (stage.id.as_uuid(), stale.key().token.get());
        let writer = Session::open(&stage.fixture).await;
        let taker = Session::open(&stage.fixture).await;
        writer.says(&format!("begin isolation level {level}")).await;
        assert_eq!(writer.rows(PLAIN_CHECK, &[&id, &token]).await.len(), 1);
        assert!(take_over(&taker, &stage.fixture).await);
        stage.write(&writer, token).await;
        writer.says("commit").await;
        assert_stale_write(&stage, &stale, level).await;
    }
}

#[tokio::test]
async fn a_check_after_the_write_lets_a_stale_write_through() {
    let (stage, stale) = Stage::with_a_stale_lease().await;
    let (id, token) = (stage.id.as_uuid(), stale.key().token.get());
    let writer = Session::open(&stage.fixture).await;
    let taker = Session::open(&stage.fixture).await;
    writer.says("begin").await;
    stage.write(&writer, token).await;
    assert_eq!(writer.rows(PLAIN_CHECK, &[&id, &token]).await.len(), 1);
    assert!(take_over(&taker, &stage.fixture).await);
    writer.says("commit").await;
    assert_stale_write(&stage, &stale, "check at the end").await;
}

#[tokio::test]
async fn a_check_in_the_writing_statement_lets_a_stale_write_through() {
    let (stage, stale) = Stage::with_a_stale_lease().await;
    let (id, token) = (stage.id.as_uuid(), stale.key().token.get());
    let writer = Session::open(&stage.fixture).await;
    let taker = Session::open(&stage.fixture).await;
    taker.says("begin").await;
    assert!(take_over(&taker, &stage.fixture).await);
    // The takeover is not committed yet, so the check does not see it.
    writer.says("begin").await;
    let checked_write = "insert into effect select $1, $3 \
         where exists (select from leasectl.job where id = $2 and lease_token = $3 and state = 'running')";
    writer
        .rows(checked_write, &[&stage.repo.as_uuid(), &id, &token])
        .await;
    taker.says("commit").await;
    writer.says("commit").await;
    assert_stale_write(&stage, &stale, "one statement").await;
}

#[tokio::test]
async fn an_upsert_guarded_by_the_token_lets_a_stale_write_through() {
    let (stage, stale) = Stage::with_a_stale_lease().await;
    let token = stale.key().token.get();
    let writer = Session::open(&stage.fixture).await;
    let taker = Session::open(&stage.fixture).await;
    assert!(take_over(&taker, &stage.fixture).await);
    // The new owner has written nothing yet, so there is no newer token to be refused by.
    let guarded = "insert into effect as e values ($1, $2) \
         on conflict (repo_id) do update set token = excluded.token where e.token <= excluded.token";
    writer.rows(guarded, &[&stage.repo.as_uuid(), &token]).await;
    assert_stale_write(&stage, &stale, "guarded upsert").await;
}

#[tokio::test]
async fn a_key_share_lock_alone_lets_a_stale_write_through_a_takeover_that_only_updates() {
    // The writer's half of the fence is not enough: an update of columns that are no key does not
    // conflict with it. The other half is the FOR UPDATE of whatever ends or moves a lease.
    let (stage, stale) = Stage::with_a_stale_lease().await;
    let (id, token) = (stage.id.as_uuid(), stale.key().token.get());
    let writer = Session::open(&stage.fixture).await;
    let taker = Session::open(&stage.fixture).await;
    writer.says("begin").await;
    let locked = format!("{PLAIN_CHECK} for key share");
    assert_eq!(writer.rows(&locked, &[&id, &token]).await.len(), 1);
    assert!(!take_over(&taker, &stage.fixture).await);
    let only_updates = "update leasectl.job set lease_owner = 'two', lease_heartbeat_at = now(), \
         lease_token = nextval('leasectl.lease_token') where id = $1 and lease_token = $2";
    taker.rows(only_updates, &[&id, &token]).await;
    stage.write(&writer, token).await;
    writer.says("commit").await;
    assert_stale_write(&stage, &stale, "key share alone").await;
}

#[tokio::test]
async fn a_fence_that_names_only_the_owner_lets_its_own_older_lease_write() {
    let (stage, stale) = Stage::with_a_stale_lease().await;
    let (id, token) = (stage.id.as_uuid(), stale.key().token.get());
    // The owner's own claim loop takes the job again while the old handler is still stuck.
    let again = stage.fixture.reclaim(&owner("one"), Lane::Fetch, 1).await;
    assert_eq!(again.len(), 1);
    let writer = Session::open(&stage.fixture).await;
    writer.says("begin").await;
    let by_owner = "select 1 from leasectl.job where id = $1 and lease_owner = 'one:1:1' \
                    and state = 'running' for key share";
    assert_eq!(writer.rows(by_owner, &[&id]).await.len(), 1);
    stage.write(&writer, token).await;
    writer.says("commit").await;
    assert_stale_write(&stage, &stale, "owner only").await;

    let mut client = stage.fixture.client().await;
    let fence = stale.fence();
    let refused = fence.begin(&mut client).await;
    assert!(matches!(refused, Err(FenceError::LeaseLost)));
}

#[tokio::test]
async fn settling_by_id_and_state_alone_ends_the_lease_of_another() {
    for guarded in [false, true] {
        let (stage, stale) = Stage::with_a_stale_lease().await;
        let taken = stage.fixture.reclaim(&owner("two"), Lane::Fetch, 1).await;
        assert_eq!(taken.len(), 1);
        if guarded {
            let settled = stage.fixture.settle(stale.complete(done())).await;
            assert_eq!(settled, Settled::LeaseLost);
        } else {
            let zombie = "delete from leasectl.job where id = $1 and state = 'running'";
            stage.fixture.execute(zombie, &[&stage.id.as_uuid()]).await;
        }
        let live = stage.fixture.count("select count(*) from leasectl.job");
        assert_eq!(live.await, i64::from(guarded));
    }
}

#[tokio::test]
async fn the_fence_refuses_the_same_schedules_at_every_isolation_level() {
    for level in LEVELS {
        // The takeover comes after the check: it finds the row locked and leaves it alone.
        let (stage, stale) = Stage::with_a_stale_lease().await;
        let (writer, taker) = sessions(&stage).await;
        writer.says(&format!("begin isolation level {level}")).await;
        assert!(fence(&writer, &stage, &stale).await.unwrap());
        assert!(!take_over(&taker, &stage.fixture).await);
        let token = stale.key().token.get();
        stage.write(&writer, token).await;
        writer.says("commit").await;
        assert_eq!(stage.token().await, token, "the lease was still its own");

        // It is in flight: the fence waits for it, and then finds the lease lost.
        let (stage, stale) = Stage::with_a_stale_lease().await;
        let (writer, taker) = sessions(&stage).await;
        writer.says(&format!("begin isolation level {level}")).await;
        writer.says("select from leasectl.job").await;
        taker.says("begin").await;
        assert!(take_over(&taker, &stage.fixture).await);
        let (id, token) = (stage.id.as_uuid(), stale.key().token.get());
        let step = writer.starts(move |client| async move {
            let held = client.query(FENCE, &[&id, &"one:1:1", &token]).await;
            (client, held)
        });
        step.waits_for(&stage.fixture, taker.pid).await;
        taker.says("commit").await;
        let (_writer, held) = step.ends().await;
        match held {
            Ok(rows) => assert!(rows.is_empty() && level == "read committed"),
            Err(error) => assert_eq!(code(&error), SqlState::T_R_SERIALIZATION_FAILURE),
        }
    }
}

const FENCE: &str = include_str!("../../../src/lease/fence.sql");

async fn sessions(stage: &Stage) -> (Session, Session) {
    let writer = Session::open(&stage.fixture).await;
    (writer, Session::open(&stage.fixture).await)
}

async fn fence(
    writer: &Session,
    stage: &Stage,
    lease: &Lease,
) -> Result<bool, tokio_postgres::Error> {
    let (id, token) = (stage.id.as_uuid(), lease.key().token.get());
    let rows = writer.client.query(FENCE, &[&id, &"one:1:1", &token]).await;
    rows.map(|rows| rows.len() == 1)
}
