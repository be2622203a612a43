//! I2: no effect of a token commits after a later claim did.

use std::time::Duration;

use leasectl_core::job::{self, CancelOutcome};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Beat, FenceError, Settled};

use crate::fixture::{FETCH, Fixture, INDEX, KINDS, done, owner};

const SILENCE: Duration = Duration::from_secs(31);

#[tokio::test]
async fn a_fenced_transaction_of_a_lost_lease_cannot_begin() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let stale = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    let fence = stale.fence();
    fixture.age(id, SILENCE).await;
    let taken = fixture.reclaim(&owner("two"), Lane::Fetch, 1).await;
    assert_eq!(taken.len(), 1);
    let mut client = fixture.client().await;
    assert!(matches!(
        fence.begin(&mut client).await,
        Err(FenceError::LeaseLost)
    ));
}

#[tokio::test]
async fn a_lease_is_not_taken_while_a_fenced_transaction_is_open() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let lease = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    let fence = lease.fence();
    fixture.age(id, SILENCE).await;

    let mut writer = fixture.client().await;
    let fenced = fence.begin(&mut writer).await.unwrap();
    assert!(
        fixture
            .reclaim(&owner("two"), Lane::Fetch, 1)
            .await
            .is_empty()
    );
    fenced.commit().await.unwrap();
    assert_eq!(
        fixture.reclaim(&owner("two"), Lane::Fetch, 1).await.len(),
        1
    );
}

#[tokio::test]
async fn settling_waits_for_the_fence_and_heartbeats_do_not() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "").await;
    let me = owner("me");
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    let (fence, key) = (lease.fence(), lease.key());
    let mut writer = fixture.client().await;
    let fenced = fence.begin(&mut writer).await.unwrap();

    // The tests' sessions have a lock time-out; a heartbeat that waited for the fence would hit it.
    let beat = Beat {
        key,
        advanced: true,
        progress: None,
        message: None,
    };
    let replies = lease::heartbeat(&fixture.client().await, &me, &fixture.settings, &[beat])
        .await
        .unwrap();
    assert_eq!(replies.len(), 1);

    let database = fixture.database.clone();
    let settling = tokio::spawn(async move {
        let settlement = [lease.complete(done())];
        lease::settle(&database.client().await.unwrap(), &settlement).await
    });
    // It has to be seen waiting before the fence opens.
    fixture.until_somebody_waits().await;
    fenced.commit().await.unwrap();
    assert!(matches!(
        settling.await.unwrap().unwrap()[0],
        Settled::Applied { .. }
    ));
}

#[tokio::test]
async fn asking_a_job_to_stop_does_not_wait_for_its_fence() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let fence = lease.fence();
    let mut writer = fixture.client().await;
    let fenced = fence.begin(&mut writer).await.unwrap();
    let asked = job::cancel(&fixture.database, id).await.unwrap();
    assert_eq!(asked, CancelOutcome::Requested);
    fenced.commit().await.unwrap();
}

#[tokio::test]
async fn an_unfenced_check_before_the_write_lets_a_stale_write_through() {
    // The unsafe form that the fence replaces: it must be seen to fail, or the tests above prove
    // nothing.
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let stale = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    let mut writer = fixture.client().await;
    let unfenced = writer.transaction().await.unwrap();
    let checked = unfenced
        .query_opt(
            "select 1 from leasectl.job where id = $1 and lease_token = $2 and state = 'running'",
            &[&id.as_uuid(), &stale.key().token.get()],
        )
        .await
        .unwrap();
    assert!(checked.is_some());
    fixture.age(id, SILENCE).await;
    let mut taken = fixture.reclaim(&owner("two"), Lane::Fetch, 1).await;
    let new = taken.pop().expect("nothing holds the lease");
    fixture.settle(new.lease.complete(done())).await;
    unfenced
        .execute(
            "update leasectl.repository set head = 'stale' where id = $1",
            &[&repo.as_uuid()],
        )
        .await
        .unwrap();
    unfenced.commit().await.unwrap();
    let stale_writes = fixture
        .count("select count(*) from leasectl.repository where head = 'stale'")
        .await;
    assert_eq!(
        stale_writes, 1,
        "the unfenced form is expected to be broken"
    );
}

#[tokio::test]
async fn an_uncommitted_fenced_write_leaves_nothing() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "").await;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let fence = lease.fence();
    {
        let mut client = fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        fenced
            .statements()
            .execute("update leasectl.repository set head = 'half'", &[])
            .await
            .unwrap();
    }
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.repository where head is not null")
            .await,
        0
    );
}

#[tokio::test]
async fn tokens_are_drawn_without_a_cache_and_grow_across_connections() {
    let fixture = Fixture::new().await;
    assert_eq!(
        fixture
            .count("select cache_size from pg_sequences where schemaname = 'leasectl' and sequencename = 'lease_token'")
            .await,
        1
    );
    let repo = fixture.repository("a").await;
    let mut last = None;
    for note in 0..20 {
        fixture.enqueue(repo, &INDEX, &note.to_string()).await;
        // A connection of its own each time.
        let database = fixture.database.dedicated("claims").unwrap();
        let client = database.client().await.unwrap();
        let request = lease::ClaimRequest {
            slots: &[(Lane::Index, 1)],
            kinds: &KINDS,
        };
        let mut leases = lease::claim(&client, &owner("me"), &fixture.settings, &request)
            .await
            .unwrap();
        let lease = leases.pop().unwrap();
        assert!(Some(lease.key().token) > last);
        last = Some(lease.key().token);
        fixture.settle(lease.complete(done())).await;
    }
}

#[tokio::test]
async fn marking_progress_durable_does_not_hold_up_heartbeats() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "").await;
    let me = owner("me");
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    let fence = lease.fence();
    let mut writer = fixture.client().await;
    let fenced = fence.begin(&mut writer).await.unwrap();
    fenced.mark_durable();

    let beat = Beat {
        key: lease.key(),
        advanced: false,
        progress: None,
        message: None,
    };
    let beats = [beat];
    let client = fixture.client().await;
    let beating = lease::heartbeat(&client, &me, &fixture.settings, &beats);
    let replies = tokio::time::timeout(Duration::from_secs(1), beating)
        .await
        .expect("the heartbeat does not wait for the transaction")
        .unwrap();
    assert_eq!(replies.len(), 1);
    fenced.commit().await.unwrap();
    let durable = "select count(*) from leasectl.job where durable";
    assert_eq!(fixture.count(durable).await, 1);
}
