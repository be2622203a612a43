//! Plans: a session keeps those that it made while the database was empty.

use leasectl_core::database::Database;
use leasectl_core::ids::JobId;
use leasectl_core::job::{self, EnqueueRequest};
use leasectl_core::kind::{CanonicalArgs, Lane};
use leasectl_core::lease;
use leasectl_core::webhook::{Deliveries, Delivery, DeliveryId, Forge, Received};
use leasectl_remote::{Locality, RemoteUrl};
use uuid::Uuid;

use crate::fixture::{FETCH, Fixture, owner};

/// Often enough that the server stops planning for the parameters of each call.
const CALLS: usize = 8;

/// 4,000 lanes that are held, with two waiting jobs behind each, and one that lost its promotion.
const FILL: &str = "
    insert into leasectl.repository (name, git_url)
    select 'many/' || n, 'https://git.example.com/many/' || n from generate_series(1, 4000) n;
    insert into leasectl.job (id, repo_id, kind, lane, args, state, priority)
    select leasectl.uuid_v7(), r.id, 't_fetch', 'fetch', '{}', s.state, 0
      from leasectl.repository r
     cross join (values ('ready'), ('waiting'), ('waiting')) as s (state);
    insert into leasectl.job (id, repo_id, kind, lane, args, state, not_before)
    select leasectl.uuid_v7(), r.id, 't_index', 'index', '{}', 'scheduled', now() - interval '1 second'
      from leasectl.repository r limit 1";

/// A thousand of them run.
const RUN: &str = "
    update leasectl.job j
       set state = 'running', attempt = 1, lease_owner = 'a:1:1', dedup_key = null,
           lease_token = nextval('leasectl.lease_token'), lease_acquired_at = now(),
           lease_heartbeat_at = now(), lease_expires_at = now() + interval '1 hour',
           lease_stale_after = '30 seconds', lease_heartbeat_interval = '10 seconds'
     where j.id in (select id from leasectl.job where state = 'ready' limit 1000)";

/// What the sessions of a worker and of the API do all day.
async fn do_everything(database: &Database, id: JobId) -> Vec<Lane> {
    let client = database.client().await.unwrap();
    lease::look(&client, &owner("me")).await.unwrap();
    let promoted = lease::sweep(&client).await.unwrap().promoted;
    drop(client);
    job::cancel(database, id).await.unwrap();
    job::find(database, id).await.unwrap();
    promoted
}

/// Rows of live jobs that this session read without an index, in a transaction that is open.
async fn read_in_sequence(database: &Database) -> i64 {
    let read = "select seq_tup_read from pg_stat_xact_user_tables \
                 where schemaname = 'leasectl' and relname = 'job'";
    let client = database.client().await.unwrap();
    client.query_one(read, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn plans_made_while_the_table_was_empty_never_read_all_of_it() {
    let fixture = Fixture::new().await;
    let off = "alter table leasectl.job set (autovacuum_enabled = false)";
    fixture.execute(off, &[]).await;
    // One connection, so that every call finds the plans of the calls before.
    let session = fixture.database.dedicated("plans").unwrap();
    let nobody = JobId::from(Uuid::nil());
    for _ in 0..CALLS {
        do_everything(&session, nobody).await;
        let lanes = [(Uuid::nil().into(), Lane::Fetch)];
        let client = session.client().await.unwrap();
        lease::promote(&client, &lanes).await.unwrap();
    }
    fixture.client().await.batch_execute(FILL).await.unwrap();
    let waiting = "select id from leasectl.job where state = 'waiting' limit 1";
    let row = fixture.client().await.query_one(waiting, &[]).await;
    let cancelled: Uuid = row.unwrap().get(0);

    let begin = session.client().await.unwrap();
    begin.batch_execute("begin").await.unwrap();
    drop(begin);
    let before = read_in_sequence(&session).await;
    let promoted = do_everything(&session, cancelled.into()).await;
    let read = read_in_sequence(&session).await - before;
    assert_eq!(promoted, [Lane::Index]);
    assert_eq!(read, 0, "rows of live jobs were read without an index");
}

#[tokio::test]
async fn a_delivery_reads_no_table_from_end_to_end() {
    let fixture = Fixture::new().await;
    for table in ["job", "repository", "webhook_delivery"] {
        let off = format!("alter table leasectl.{table} set (autovacuum_enabled = false)");
        fixture.execute(&off, &[]).await;
    }
    let session = fixture.database.dedicated("plans").unwrap();
    let push = |number: usize| Delivery {
        forge: Forge::GitHub,
        id: DeliveryId::parse(&number.to_string()).unwrap(),
        remotes: vec![
            RemoteUrl::parse("git@git.example.com:many/7.git", Locality::PublicOnly).unwrap(),
        ],
    };
    let deliveries = Deliveries::over(session.clone());
    for number in 0..CALLS {
        let received = deliveries.receive(&push(number)).await.unwrap();
        assert_eq!(received, Received::UnknownRepository);
    }
    fixture.client().await.batch_execute(FILL).await.unwrap();
    let seventh = "select id from leasectl.repository where name = 'many/7'";
    let row = fixture.client().await.query_one(seventh, &[]).await;
    let repo: Uuid = row.unwrap().get(0);
    let fetch = EnqueueRequest::new(
        repo.into(),
        &leasectl_core::kind::FETCH,
        CanonicalArgs::none(),
    );
    fixture.enqueue_as(fetch).await;

    let begin = session.client().await.unwrap();
    begin.batch_execute("begin").await.unwrap();
    drop(begin);
    let received = deliveries.receive(&push(CALLS)).await.unwrap();
    assert!(matches!(received, Received::Accepted(_)), "{received:?}");
    let read = "select sum(seq_tup_read)::int8 from pg_stat_xact_user_tables where schemaname = 'leasectl'";
    let client = session.client().await.unwrap();
    let read: i64 = client.query_one(read, &[]).await.unwrap().get(0);
    assert_eq!(read, 0, "rows were read without an index");
}

#[tokio::test]
async fn a_burial_walks_the_jobs_that_run_and_not_all_that_live() {
    let fixture = Fixture::new().await;
    let client = fixture.client().await;
    client.batch_execute(FILL).await.unwrap();
    client.batch_execute(RUN).await.unwrap();
    client
        .batch_execute("analyze leasectl.job; begin")
        .await
        .unwrap();
    assert_eq!(lease::bury(&client).await.unwrap().len(), 0);
    let fetched = "select coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables \
                    where schemaname = 'leasectl' and relname = 'job'";
    let fetched: i64 = client.query_one(fetched, &[]).await.unwrap().get(0);
    assert!(
        fetched < 6_000,
        "{fetched} rows were read of a thousand that run"
    );
}

#[tokio::test]
async fn no_statement_is_planned_again_for_each_call() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let session = fixture.database.dedicated("plans").unwrap();
    for note in ["1", "2", "3"] {
        let requests = [fixture.request(repo, &FETCH, note)];
        let accepted = job::enqueue(&session, &requests).await.unwrap();
        do_everything(&session, accepted[0].job_id).await;
    }
    let planned = "select count(*) from pg_prepared_statements where custom_plans > 0";
    let client = session.client().await.unwrap();
    let row = client.query_one(planned, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

/// What idle workers send all day, with the types of its parameters and some of them.
const IDLE: [(&str, &str, &str); 6] = [
    (
        include_str!("../../src/lease/look.sql"),
        "(text, text[])",
        "('me', '{fetch}')",
    ),
    (include_str!("../../src/liveness/ping.sql"), "", ""),
    (
        include_str!("../../src/liveness/sight.sql"),
        "(integer)",
        "(1)",
    ),
    (
        include_str!("../../src/liveness/older.sql"),
        "(integer)",
        "(1)",
    ),
    (
        include_str!("../../src/worker/beat.sql"),
        "(text, text, integer, text, boolean, float8, float8, jsonb, integer, float8, text)",
        "('me', 'host', 1, '1', false, 10, 30, '{}', 1, 0.3, null)",
    ),
    (include_str!("../../src/repository/any_due.sql"), "", ""),
];

#[tokio::test]
async fn idle_workers_call_no_function_whose_body_is_planned_at_each_call() {
    let fixture = Fixture::new().await;
    let client = fixture.client().await;
    let functions =
        "select proname::text from pg_proc where pronamespace = 'leasectl'::regnamespace";
    let functions = client.query(functions, &[]).await.unwrap();
    let functions: Vec<String> = functions.iter().map(|row| row.get(0)).collect();
    assert!(functions.iter().any(|name| name == "server_is_settled"));
    let generic = "set plan_cache_mode = force_generic_plan";
    client.batch_execute(generic).await.unwrap();
    for (statement, types, values) in IDLE {
        let prepare = format!("prepare idle {types} as {statement}");
        client.batch_execute(&prepare).await.unwrap();
        let explain = format!("explain (verbose) execute idle {values}");
        let lines = client.query(&explain, &[]).await.unwrap();
        let plan: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
        let plan = plan.join("\n");
        for function in &functions {
            assert!(!plan.contains(&format!("{function}(")), "{plan}");
        }
        client.batch_execute("deallocate idle").await.unwrap();
    }
}

/// Pairs of rows that a plan compares in vain, wherever in it.
fn pairs_in_vain(plan: &serde_json::Value) -> f64 {
    let own = plan["Rows Removed by Join Filter"].as_f64().unwrap_or(0.0);
    let loops = plan["Actual Loops"].as_f64().unwrap_or(1.0);
    let below = plan["Plans"].as_array().into_iter().flatten();
    own * loops + below.map(pairs_in_vain).sum::<f64>()
}

/// What a plan that was made while all was empty does with a batch of a thousand jobs, once there are 4,000
/// lanes with jobs.
async fn enqueue_a_thousand(fixture: &Fixture, statement: &str) -> serde_json::Value {
    let client = fixture.client().await;
    let prepare = format!(
        "alter table leasectl.job set (autovacuum_enabled = false); \
         alter table leasectl.repository set (autovacuum_enabled = false); \
         set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
         prepare batch (uuid[], text[], text[], jsonb[], smallint[], timestamptz[], float8[]) as {statement}"
    );
    client
        .batch_execute("vacuum analyze leasectl.job, leasectl.repository")
        .await
        .unwrap();
    client.batch_execute(&prepare).await.unwrap();
    let nothing = "execute batch ('{}', '{}', '{}', '{}', '{}', '{}', '{}')";
    client.batch_execute(nothing).await.unwrap();
    client.batch_execute(FILL).await.unwrap();
    let ids = "select array_agg(id) from (select id from leasectl.repository limit 1000) r";
    let ids: Vec<Uuid> = client.query_one(ids, &[]).await.unwrap().get(0);
    let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    let execute = format!(
        "explain (analyze, format json) execute batch ('{{{}}}', array_fill('t_index'::text, '{{1000}}'), \
         array_fill('index'::text, '{{1000}}'), array_fill('{{}}'::jsonb, '{{1000}}'), \
         array_fill(0::smallint, '{{1000}}'), array_fill(null::timestamptz, '{{1000}}'), \
         array_fill(null::float8, '{{1000}}'))",
        ids.join(",")
    );
    let explained = client.query_one(&execute, &[]).await.unwrap();
    explained.get::<_, serde_json::Value>(0)[0]["Plan"].clone()
}

#[tokio::test]
async fn a_large_batch_meets_no_other_rows_than_those_it_names() {
    for statement in [
        include_str!("../../src/job/enqueue.sql"),
        include_str!("../../src/job/enqueue_merge.sql"),
    ] {
        let fixture = Fixture::new().await;
        let plan = enqueue_a_thousand(&fixture, statement).await;
        let pairs = pairs_in_vain(&plan);
        assert!(
            pairs < 10_000.0,
            "{pairs} pairs of rows for a thousand jobs:\n{statement}"
        );
    }
}
