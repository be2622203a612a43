//! Heartbeats beside takeovers: a live worker is never robbed, a lost lease never comes back.

use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Beat, BeatReply, LeaseKey};

use super::{SILENCE, Session, Stage, Step};
use crate::fixture::{Fixture, KINDS, owner};

/// Makes the judgement of staleness stand still until the advisory lock 1 is free: a takeover can
/// then be stopped between its look and its lock.
const SLOW_JUDGEMENT: &str = "create or replace function leasectl.stale_at(heartbeat_at timestamptz, \
     heartbeat_interval interval, stale_after interval) \
     returns timestamptz language plpgsql volatile as \
     $$ begin perform pg_advisory_xact_lock_shared(1); return heartbeat_at + stale_after; end $$";

fn beat(key: LeaseKey) -> [Beat; 1] {
    [Beat {
        key,
        advanced: true,
        progress: None,
        message: None,
    }]
}

fn beating(session: Session, fixture: &Fixture, key: LeaseKey) -> Step<Vec<BeatReply>> {
    let settings = fixture.settings;
    session.starts(move |client| async move {
        let replies = lease::heartbeat(&client, &owner("one"), &settings, &beat(key)).await;
        (client, replies.unwrap())
    })
}

fn reclaiming(session: Session, fixture: &Fixture) -> Step<usize> {
    let settings = fixture.settings;
    session.starts(move |client| async move {
        let request = lease::ClaimRequest {
            slots: &[(Lane::Fetch, 1)],
            kinds: &KINDS,
        };
        let taken = lease::reclaim(&client, &owner("two"), &settings, &request).await;
        let taken = taken.unwrap().len();
        (client, taken)
    })
}

#[tokio::test]
async fn a_beat_that_arrives_between_the_look_and_the_lock_saves_the_lease() {
    let (stage, lease) = Stage::with_a_stale_lease().await;
    stage
        .fixture
        .client()
        .await
        .batch_execute(SLOW_JUDGEMENT)
        .await
        .unwrap();
    let gate = Session::open(&stage.fixture).await;
    gate.says("select pg_advisory_lock(1)").await;
    let step = reclaiming(Session::open(&stage.fixture).await, &stage.fixture);
    step.waits_for(&stage.fixture, gate.pid).await;
    // It has read the old heartbeat; the new one commits before it locks the row.
    let late = "update leasectl.job set lease_heartbeat_at = now()";
    stage.fixture.execute(late, &[]).await;
    gate.says("select pg_advisory_unlock(1)").await;
    assert_eq!(step.ends().await.1, 0, "a live worker was robbed");
    assert_eq!(stage.token().await, lease.key().token.get());
}

#[tokio::test]
async fn a_look_without_a_second_one_under_the_lock_robs_a_live_worker() {
    let (stage, lease) = Stage::with_a_stale_lease().await;
    let taker = Session::open(&stage.fixture).await;
    let look = "select id from leasectl.job where state = 'running' \
                and lease_heartbeat_at + lease_stale_after <= now()";
    assert_eq!(taker.rows(look, &[]).await.len(), 1);
    let late = "update leasectl.job set lease_heartbeat_at = now()";
    stage.fixture.execute(late, &[]).await;
    let take =
        "update leasectl.job set lease_token = nextval('leasectl.lease_token') where id = $1";
    taker.rows(take, &[&stage.id.as_uuid()]).await;
    assert!(stage.token().await > lease.key().token.get());
}

#[tokio::test]
async fn a_beat_beside_a_takeover_in_flight_revives_nothing() {
    let (stage, lease) = Stage::with_a_stale_lease().await;
    let taker = Session::open(&stage.fixture).await;
    taker.says("begin").await;
    let (taker, taken) = reclaiming(taker, &stage.fixture).ends().await;
    assert_eq!(taken, 1);
    // Whether the beat waits for the row or passes it over, it must not answer for it.
    let step = beating(
        Session::open(&stage.fixture).await,
        &stage.fixture,
        lease.key(),
    );
    step.waits_or_ends(&stage.fixture, taker.pid).await;
    taker.says("commit").await;
    assert!(step.ends().await.1.is_empty());
    let after = beating(
        Session::open(&stage.fixture).await,
        &stage.fixture,
        lease.key(),
    );
    assert!(after.ends().await.1.is_empty());
    assert!(stage.token().await > lease.key().token.get());
}

#[tokio::test]
async fn a_takeover_passes_over_a_lease_whose_beat_is_in_flight() {
    let (stage, lease) = Stage::with_a_lease().await;
    let beater = Session::open(&stage.fixture).await;
    beater.says("begin").await;
    let (beater, replies) = beating(beater, &stage.fixture, lease.key()).ends().await;
    assert_eq!(replies.len(), 1);
    // The committed heartbeat is old by now; the one in flight is not seen.
    let hasty = "create or replace function leasectl.stale_at(heartbeat_at timestamptz, \
                 heartbeat_interval interval, stale_after interval) returns timestamptz \
                 language sql stable as $$ select heartbeat_at $$";
    stage
        .fixture
        .client()
        .await
        .batch_execute(hasty)
        .await
        .unwrap();
    let taker = reclaiming(Session::open(&stage.fixture).await, &stage.fixture);
    assert_eq!(taker.ends().await.1, 0);
    beater.says("commit").await;
    stage.fixture.forget_server_start().await;
    let taker = reclaiming(Session::open(&stage.fixture).await, &stage.fixture);
    assert_eq!(taker.ends().await.1, 0);
    stage.fixture.age(stage.id, SILENCE).await;
    let taker = reclaiming(Session::open(&stage.fixture).await, &stage.fixture);
    assert_eq!(taker.ends().await.1, 1);
}
