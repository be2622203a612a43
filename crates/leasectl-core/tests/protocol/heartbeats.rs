//! Heartbeats: all leases in one statement, no index write, no lease revived.

use std::time::Duration;

use leasectl_core::ids::Owner;
use leasectl_core::job;
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Beat, BeatReply, LeaseKey, Progress};

use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};

use crate::fixture::{FETCH, Fixture, owner};

fn beat(key: LeaseKey, advanced: bool) -> Beat {
    Beat {
        key,
        advanced,
        progress: None,
        message: None,
    }
}

async fn send(fixture: &Fixture, owner: &Owner, beats: &[Beat]) -> Vec<BeatReply> {
    lease::heartbeat(&fixture.client().await, owner, &fixture.settings, beats)
        .await
        .unwrap()
}

#[tokio::test]
async fn only_progress_moves_the_expiry() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let me = owner("me");
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    let before = fixture.job(id).await.lease.unwrap();

    send(&fixture, &me, &[beat(lease.key(), false)]).await;
    let idle = fixture.job(id).await.lease.unwrap();
    assert!(idle.heartbeat_at > before.heartbeat_at);
    assert_eq!(idle.expires_at, before.expires_at);

    let progress = Progress {
        done: 3,
        total: Some(10),
        unit: "objects".to_owned(),
    };
    let advanced = Beat {
        key: lease.key(),
        advanced: true,
        progress: Some(progress.clone()),
        message: Some("receiving\0 objects".to_owned()),
    };
    send(&fixture, &me, &[advanced]).await;
    let job = fixture.job(id).await;
    assert!(job.lease.unwrap().expires_at > before.expires_at);
    assert_eq!(job.progress, Some(progress));
    assert_eq!(job.message.as_deref(), Some("receiving objects"));
}

#[tokio::test]
async fn a_lease_whose_row_somebody_has_locked_is_still_held_and_a_lost_one_is_not() {
    let fixture = Fixture::new().await;
    let me = owner("me");
    let mut keys = Vec::new();
    for name in ["a", "b"] {
        let repo = fixture.repository(name).await;
        fixture.enqueue(repo, &FETCH, "").await;
        keys.push(fixture.claim_one(&me, Lane::Fetch).await);
    }
    let lost = keys.pop().unwrap();
    let lost_key = lost.key();
    fixture.settle(lost.release()).await;
    let held = keys.pop().unwrap().key();

    let mut somebody = fixture.client().await;
    let lock = somebody.transaction().await.unwrap();
    let sql = "select from leasectl.job where id = $1 for update";
    lock.execute(sql, &[&held.job_id.as_uuid()]).await.unwrap();
    let beats = [beat(held, false), beat(lost_key, false)];
    assert!(send(&fixture, &me, &beats).await.is_empty());
    let client = fixture.client().await;
    let missing = [held, lost_key];
    let still = lease::still_held(&client, &me, &missing).await.unwrap();
    assert_eq!(still, [held]);

    lock.rollback().await.unwrap();
    let replies = send(&fixture, &me, &beats).await;
    let renewed: Vec<LeaseKey> = replies.iter().map(|reply| reply.key).collect();
    assert_eq!(renewed, [held]);
}

#[tokio::test]
async fn a_lost_lease_does_not_come_back() {
    let fixture = Fixture::new().await;
    let me = owner("me");
    let mut keys = Vec::new();
    for name in ["a", "b", "c"] {
        let repo = fixture.repository(name).await;
        fixture.enqueue(repo, &FETCH, "").await;
        keys.push(fixture.claim_one(&me, Lane::Fetch).await.key());
    }
    fixture
        .execute(
            "update leasectl.job set lease_owner = 'other:1:1', lease_token = nextval('leasectl.lease_token') where id = $1",
            &[&keys[1].job_id.as_uuid()],
        )
        .await;
    let beats: Vec<_> = keys.iter().map(|key| beat(*key, true)).collect();
    let mut held: Vec<_> = send(&fixture, &me, &beats)
        .await
        .into_iter()
        .map(|r| r.key)
        .collect();
    held.sort_unstable();
    let mut expected = vec![keys[0], keys[2]];
    expected.sort_unstable();
    assert_eq!(held, expected);
}

#[tokio::test]
async fn a_lease_that_others_may_take_is_not_revived() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let me = owner("me");
    let (stale, expired) = (fixture.repository("a").await, fixture.repository("b").await);
    let stale = fixture.enqueue(stale, &FETCH, "").await.job_id;
    let expired = fixture.enqueue(expired, &FETCH, "").await.job_id;
    let leases = fixture.claim(&me, Lane::Fetch, 2).await;
    fixture.age(stale, Duration::from_secs(31)).await;
    fixture
        .execute(
            "update leasectl.job set lease_expires_at = now() where id = $1",
            &[&expired.as_uuid()],
        )
        .await;
    let beats: Vec<_> = leases.iter().map(|lease| beat(lease.key(), true)).collect();
    assert!(send(&fixture, &me, &beats).await.is_empty());
    assert_eq!(
        fixture.reclaim(&owner("two"), Lane::Fetch, 9).await.len(),
        2
    );
}

#[tokio::test]
async fn a_beat_tells_that_somebody_asked_to_stop() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let me = owner("me");
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    assert!(!send(&fixture, &me, &[beat(lease.key(), false)]).await[0].cancel_requested);
    job::cancel(&fixture.database, id).await.unwrap();
    assert!(send(&fixture, &me, &[beat(lease.key(), false)]).await[0].cancel_requested);
}

#[tokio::test]
async fn heartbeats_write_no_index() {
    // Pages are pruned as far as the oldest snapshot of the server is known to have moved; a test
    // beside this one that holds a transaction open would keep them full.
    let server = ScratchServer::start(ScratchSettings::new()).unwrap();
    let fixture = Fixture::alone_on(&server).await;
    let me = owner("me");
    let requests = {
        let mut requests = Vec::new();
        for n in 0..300 {
            let repo = fixture.repository(&format!("r{n}")).await;
            requests.push(fixture.request(repo, &FETCH, ""));
        }
        requests
    };
    job::enqueue(&fixture.database, &requests).await.unwrap();
    let leases = fixture.claim(&me, Lane::Fetch, 300).await;
    // An analysis that runs just now would hold a snapshot and keep pages from being pruned.
    fixture
        .client()
        .await
        .batch_execute("alter table leasectl.job set (autovacuum_enabled = off)")
        .await
        .unwrap();
    fixture
        .client()
        .await
        .batch_execute("vacuum leasectl.job")
        .await
        .unwrap();
    let beats: Vec<_> = leases.iter().map(|lease| beat(lease.key(), true)).collect();

    // One connection, so that its statistics are flushed in order and can be asked for.
    let client = fixture.client().await;
    let hot = "select n_tup_upd - n_tup_hot_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'job'";
    client
        .batch_execute("select pg_stat_force_next_flush()")
        .await
        .unwrap();
    let before = client.query_one(hot, &[]).await.unwrap();
    for _ in 0..5 {
        let held = lease::heartbeat(&client, &me, &fixture.settings, &beats)
            .await
            .unwrap();
        assert_eq!(held.len(), 300);
    }
    client
        .batch_execute("select pg_stat_force_next_flush()")
        .await
        .unwrap();
    let after = client.query_one(hot, &[]).await.unwrap();
    let cold = after.get::<_, i64>(0) - before.get::<_, i64>(0);
    let heap_only = after.get::<_, i64>(1) - before.get::<_, i64>(1);
    // A page may be full now and then; then the row moves, with its index entries.
    assert!(
        heap_only + cold == 1_500 && cold <= 150,
        "{cold} of 1500 beats wrote an index"
    );
}

#[tokio::test]
async fn a_nul_in_one_handlers_progress_stops_no_heartbeat() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let me = owner("me");
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    let mut careless = beat(lease.key(), true);
    careless.message = Some("receiving\0".to_owned());
    careless.progress = Some(Progress {
        done: u64::MAX,
        total: None,
        unit: "objects\0".to_owned(),
    });
    assert_eq!(send(&fixture, &me, &[careless]).await.len(), 1);
    let job = fixture.job(id).await;
    let progress = job.progress.unwrap();
    assert_eq!(
        (progress.done, progress.unit.as_str()),
        (u64::MAX, "objects")
    );
}

#[tokio::test]
async fn an_older_lease_of_the_same_owner_is_not_kept_by_a_newer_one() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let me = owner("me");
    let older = fixture.claim_one(&me, Lane::Fetch).await;
    fixture.age(id, Duration::from_secs(31)).await;
    let newer = fixture.reclaim(&me, Lane::Fetch, 1).await.remove(0);
    let beats = [beat(older.key(), true), beat(newer.lease.key(), true)];
    let held: Vec<_> = send(&fixture, &me, &beats)
        .await
        .into_iter()
        .map(|reply| reply.key)
        .collect();
    assert_eq!(held, [newer.lease.key()]);
}
