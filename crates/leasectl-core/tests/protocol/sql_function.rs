//! `leasectl.enqueue`: jobs inside a caller's own transaction, of whatever length.

use leasectl_core::job::{self, JobFilter, PublicState};
use leasectl_core::kind::{Kinds, Lane};
use leasectl_core::lease;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{FETCH, Fixture, STACK, done, kinds, owner};

const ENQUEUE: &str = "select leasectl.enqueue(repo => $1, kind => $2, args => $3, priority => $4)";

async fn enqueue(
    client: &impl tokio_postgres::GenericClient,
    repo: &str,
    kind: &str,
    args: &Value,
) -> Result<Uuid, tokio_postgres::Error> {
    Ok(client
        .query_one(ENQUEUE, &[&repo, &kind, args, &0i32])
        .await?
        .get(0))
}

#[tokio::test]
async fn a_job_starts_only_after_the_callers_commit() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    let mut caller = fixture.client().await;
    let transaction = tokio_postgres::Client::transaction(&mut caller)
        .await
        .unwrap();
    let id = enqueue(&transaction, "team/a", "t_fetch", &json!({}))
        .await
        .unwrap();
    lease::sweep(&fixture.client().await).await.unwrap();
    assert!(fixture.claim(&owner("me"), Lane::Fetch, 1).await.is_empty());
    transaction.commit().await.unwrap();
    let swept = lease::sweep(&fixture.client().await).await.unwrap();
    assert_eq!((swept.activated, swept.promoted), (1, vec![Lane::Fetch]));
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    assert_eq!(lease.job().id.as_uuid(), id);
}

#[tokio::test]
async fn a_rolled_back_caller_leaves_no_job() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    let mut caller = fixture.client().await;
    let transaction = tokio_postgres::Client::transaction(&mut caller)
        .await
        .unwrap();
    enqueue(&transaction, "team/a", "t_fetch", &json!({}))
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(fixture.count("select count(*) from leasectl.job").await, 0);
}

#[tokio::test]
async fn a_callers_open_transaction_blocks_no_other_enqueuer() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut caller = fixture.client().await;
    let transaction = tokio_postgres::Client::transaction(&mut caller)
        .await
        .unwrap();
    enqueue(&transaction, "team/a", "t_fetch", &json!({"note": "x"}))
        .await
        .unwrap();
    // An equal job for the same lane, while the caller dawdles. A lock time-out would be an error.
    let direct = fixture.enqueue(repo, &FETCH, "x").await;
    assert!(!direct.deduplicated);
    enqueue(
        &**fixture.client().await,
        "team/a",
        "t_fetch",
        &json!({"note": "x"}),
    )
    .await
    .unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn an_equal_queued_job_absorbs_the_new_one() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let queued = fixture.enqueue(repo, &FETCH, "x").await;
    let client = fixture.client().await;
    let row = client
        .query_one(
            ENQUEUE,
            &[&repo.to_string(), &"t_fetch", &json!({"note": "x"}), &7i32],
        )
        .await
        .unwrap();
    let staged: Uuid = row.get(0);
    lease::sweep(&client).await.unwrap();
    assert_eq!(fixture.job(queued.job_id).await.priority, 7);
    let merged = fixture.job(staged.into()).await;
    assert_eq!(merged.state, PublicState::Cancelled);
    assert_eq!(
        merged.message,
        Some(format!("merged into job {}", queued.job_id))
    );
}

#[tokio::test]
async fn staged_jobs_of_one_lane_run_one_after_the_other() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    let client = fixture.client().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let args = json!({"note": n.to_string()});
        ids.push(
            enqueue(&**client, "team/a", STACK.name, &args)
                .await
                .unwrap(),
        );
    }
    lease::sweep(&client).await.unwrap();
    let me = owner("me");
    for id in ids {
        let lease = fixture.claim_one(&me, Lane::Stack).await;
        assert_eq!(lease.job().id.as_uuid(), id);
        fixture.settle(lease.complete(done())).await;
    }
}

#[tokio::test]
async fn it_refuses_what_the_programs_refuse() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    let client = fixture.client().await;
    let known: Kinds = kinds();
    let big = "x".repeat(70_000);
    for (kind, args) in [
        ("t_fetch", json!({})),
        ("t_fetch", json!({"note": "x"})),
        ("t_fetch", json!({"note": ""})),
        ("t_fetch", json!({"note": 1})),
        ("t_fetch", json!({"note": null})),
        ("t_fetch", json!({"note": big})),
        ("t_fetch", json!({"other": "x"})),
        ("t_fetch", json!([])),
        ("t_fetch", json!(null)),
        ("nope", json!({})),
        ("fetch", json!({"refspecs": ["+refs/heads/*:refs/heads/*"]})),
        ("fetch", json!({"refspecs": []})),
        ("fetch", json!({"refspecs": [1]})),
        ("fetch", json!({"refspecs": "x"})),
    ] {
        let by_program = known.canonical_args(kind, &args).is_ok();
        let by_function = enqueue(&**client, "team/a", kind, &args).await.is_ok();
        assert_eq!(
            by_program,
            by_function,
            "{kind} {}",
            args.to_string().get(..60).unwrap_or("")
        );
    }
    assert!(
        enqueue(&**client, "no/such", "t_fetch", &json!({}))
            .await
            .is_err()
    );
    assert!(
        client
            .query_one(ENQUEUE, &[&"team/a", &"t_fetch", &json!({}), &101i32])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_time_to_start_that_no_reader_can_hold_is_refused() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    let client = fixture.client().await;
    let enqueue =
        "select leasectl.enqueue('team/a', 't_fetch', not_before => $1::text::timestamptz)";
    for time in ["infinity", "-infinity", "290000-01-01", "1969-12-31 23:00Z"] {
        let refused = client.query(enqueue, &[&time]).await.unwrap_err();
        let refused = refused
            .as_db_error()
            .expect("the function refuses")
            .message();
        assert!(refused.contains("too far away"), "{time}: {refused}");
    }
    client.query(enqueue, &[&"2100-01-01"]).await.unwrap();
    let page = job::list(&fixture.database, &JobFilter::default(), 10, None).await;
    assert_eq!(page.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_repository_is_named_by_id_name_or_url_and_found_without_reading_all_of_them() {
    let fixture = Fixture::new().await;
    let id = fixture.repository("a").await;
    fixture
        .execute(
            "insert into leasectl.repository (name, git_url) \
             select 'many/' || n, 'https://git.example.com/many/' || n from generate_series(1, 2000) n",
            &[],
        )
        .await;
    let mut caller = fixture.client().await;
    let transaction = tokio_postgres::Client::transaction(&mut caller)
        .await
        .unwrap();
    let url = "https://git.example.com/team/a";
    for name in [
        &id.to_string(),
        &id.to_string().to_uppercase(),
        "team/a",
        url,
    ] {
        enqueue(&transaction, name, "t_fetch", &json!({}))
            .await
            .unwrap();
    }
    let read = "select seq_tup_read from pg_stat_xact_user_tables \
                 where schemaname = 'leasectl' and relname = 'repository'";
    let read: i64 = transaction.query_one(read, &[]).await.unwrap().get(0);
    transaction.commit().await.unwrap();
    assert_eq!(read, 0);
    let found = "select count(distinct repo_id) from leasectl.job";
    assert_eq!(fixture.count(found).await, 1);
}
