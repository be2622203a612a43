//! What bounds a session and its transactions, and what a database must promise.

use leasectl_core::database::{ConnectError, Database, PoolOptions};
use leasectl_core::kind::Lane;
use leasectl_core::lease::Settled;

use crate::fixture::{FETCH, Fixture, owner};

const LIMITS: &str = "select concat_ws(' ', current_setting('idle_in_transaction_session_timeout'), \
                      current_setting('lock_timeout'), current_setting('statement_timeout'))";

#[tokio::test]
async fn every_work_session_has_its_limits() {
    let fixture = Fixture::new().await;
    let row = fixture.client().await.query_one(LIMITS, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "5s 2s 30s");
}

#[tokio::test]
async fn a_fenced_transaction_has_limits_of_its_own_where_a_pooler_keeps_no_settings() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "").await;
    let lease = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    // What a pooler in transaction mode may hand out: a session that somebody else has set up.
    client
        .batch_execute(
            "set idle_in_transaction_session_timeout = 0; set lock_timeout = 0; \
             set statement_timeout = 0",
        )
        .await
        .unwrap();
    let fenced = fence.begin(&mut client).await.unwrap();
    let row = fenced.statements().query_one(LIMITS, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "5s 2s 30s");
    fenced.commit().await.unwrap();
    let row = client.query_one(LIMITS, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "0 0 0");
    let released = fixture.settle(lease.release()).await;
    assert!(matches!(released, Settled::Applied { .. }), "{released:?}");
}

#[tokio::test]
async fn a_database_that_may_lose_commits_is_refused() {
    let fixture = Fixture::new().await;
    let options = || PoolOptions {
        max_size: 1,
        application_name: "protocol tests".to_owned(),
    };
    assert!(Database::connect(&fixture.url, options()).await.is_ok());
    fixture
        .client()
        .await
        .batch_execute(
            "do $$ begin execute format('alter database %I set synchronous_commit = off', \
             current_database()); end $$",
        )
        .await
        .unwrap();
    let refused = Database::connect(&fixture.url, options())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ConnectError::CommitsMayBeLost),
        "{refused:?}"
    );
}
