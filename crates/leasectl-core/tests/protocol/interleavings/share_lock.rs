//! `FOR SHARE` in place of the fence's `FOR KEY SHARE`: it fences, and it makes heartbeats wait.

use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Beat, Lease};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::{Session, Stage, code};
use crate::fixture::{FETCH, owner};

/// A fence of either strength; `$1` the job, `$2` the token.
fn fence(strength: &str) -> String {
    format!("select 1 from leasectl.job where id = $1 and lease_token = $2 for {strength}")
}

/// A heartbeat of all leases in one statement, in its plainest form.
const BEAT_ALL: &str =
    "update leasectl.job set lease_heartbeat_at = clock_timestamp() where id = any ($1)";

/// An enqueue that relies on the lane's index instead of looking first.
const INSERT_AS_READY: &str = "insert into leasectl.job (id, repo_id, kind, lane, args, state) \
     values (leasectl.uuid_v7(), $1, 't_fetch', 'fetch', '{}', 'ready') on conflict do nothing";

/// Another lease of the same worker, older than the fenced one, and its repository.
async fn with_a_second_lease() -> (Stage, Lease, Lease, Uuid) {
    let (mut stage, first) = Stage::with_a_lease().await;
    let repo = stage.fixture.repository("b").await;
    let id = stage.fixture.enqueue(repo, &FETCH, "").await.job_id;
    let fenced = stage.fixture.claim_one(&owner("one"), Lane::Fetch).await;
    let older_repo = stage.repo.as_uuid();
    (stage.repo, stage.id) = (repo, id);
    (stage, first, fenced, older_repo)
}

async fn beats_of(stage: &Stage, leases: &[&Lease]) -> usize {
    let beats = leases.iter().map(|lease| Beat {
        key: lease.key(),
        advanced: false,
        progress: None,
        message: None,
    });
    let client = stage.fixture.client().await;
    let beats: Vec<_> = beats.collect();
    let (one, settings) = (owner("one"), stage.fixture.settings);
    let replies = lease::heartbeat(&client, &one, &settings, &beats).await;
    replies.unwrap().len()
}

#[tokio::test]
async fn a_share_lock_fences_as_well() {
    let (stage, stale) = Stage::with_a_stale_lease().await;
    let writer = Session::open(&stage.fixture).await;
    writer.says("begin").await;
    let (id, token) = (stage.id.as_uuid(), stale.key().token.get());
    writer.rows(&fence("share"), &[&id, &token]).await;
    let (two, lane) = (owner("two"), Lane::Fetch);
    assert!(stage.fixture.reclaim(&two, lane, 1).await.is_empty());
    writer.says("rollback").await;
    assert_eq!(stage.fixture.reclaim(&two, lane, 1).await.len(), 1);
}

#[tokio::test]
async fn a_share_lock_costs_a_worker_the_heartbeat_of_every_lease() {
    for strength in ["share", "key share"] {
        let (stage, other, fenced, _) = with_a_second_lease().await;
        let writer = Session::open(&stage.fixture).await;
        writer.says("begin").await;
        let (id, token) = (stage.id.as_uuid(), fenced.key().token.get());
        assert_eq!(writer.rows(&fence(strength), &[&id, &token]).await.len(), 1);

        let beating = Session::open(&stage.fixture).await;
        beating.says("set lock_timeout = '300ms'").await;
        let ids = vec![other.job().id.as_uuid(), id];
        let step = beating.starts(move |client| async move {
            let beaten = client.execute(BEAT_ALL, &[&ids]).await;
            (client, beaten)
        });
        if strength == "share" {
            step.waits_for(&stage.fixture, writer.pid).await;
            let refused = step.ends().await.1.unwrap_err();
            assert_eq!(code(&refused), SqlState::LOCK_NOT_AVAILABLE);
        } else {
            assert_eq!(step.ends().await.1.unwrap(), 2);
            assert_eq!(beats_of(&stage, &[&other, &fenced]).await, 2);
        }
        writer.says("rollback").await;
    }
}

#[tokio::test]
async fn a_share_lock_deadlocks_a_heartbeat_with_an_enqueue_in_the_fenced_transaction() {
    for strength in ["share", "key share"] {
        let (stage, older, fenced, older_repo) = with_a_second_lease().await;
        let writer = Session::open(&stage.fixture).await;
        writer.says("set deadlock_timeout = '100ms'; begin").await;
        let (id, token) = (stage.id.as_uuid(), fenced.key().token.get());
        writer.rows(&fence(strength), &[&id, &token]).await;

        // The heartbeat has the older lease's row and comes to the fenced one.
        let beating = Session::open(&stage.fixture).await;
        beating.says("set deadlock_timeout = '100ms'; begin").await;
        beating
            .rows(BEAT_ALL, &[&vec![older.job().id.as_uuid()]])
            .await;
        let beating = beating.starts(move |client| async move {
            let beaten = client.execute(BEAT_ALL, &[&vec![id]]).await;
            let end = if beaten.is_ok() { "commit" } else { "rollback" };
            client.batch_execute(end).await.unwrap();
            (client, beaten)
        });
        if strength == "share" {
            beating.waits_for(&stage.fixture, writer.pid).await;
        }
        let enqueuing = writer.starts(move |client| async move {
            let enqueued = client.execute(INSERT_AS_READY, &[&older_repo]).await;
            (client, enqueued)
        });
        // The loser of a deadlock ends the other's wait: both steps are seen to their end.
        let (beaten, enqueued) = tokio::join!(beating.ends(), enqueuing.ends());
        let errors: Vec<_> = [beaten.1.err(), enqueued.1.err()]
            .into_iter()
            .flatten()
            .map(|error| code(&error))
            .collect();
        if strength == "share" {
            assert_eq!(errors, [SqlState::T_R_DEADLOCK_DETECTED]);
        } else {
            assert!(errors.is_empty(), "{errors:?}");
        }
    }
}
