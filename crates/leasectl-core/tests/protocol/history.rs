//! Finished jobs: found by id, listed in pages, dropped by retention.

use std::time::Duration;

use leasectl_core::job::{self, JobFilter, LookupError, PublicState};
use leasectl_core::kind::Lane;
use uuid::Uuid;

use crate::fixture::{FETCH, Fixture, INDEX, done, owner};

const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// A finished job that was accepted and ended so many days ago.
async fn old_job(fixture: &Fixture, accepted_days: i32, finished_days: i32) -> Uuid {
    let row = fixture
        .client()
        .await
        .query_one(
            "insert into leasectl.job_history (id, seq, repo_id, kind, lane, args, priority, state, created_at, attempt, max_attempts, finished_at, attempts) \
             select leasectl.uuid_v7(t.at), 1, gen_random_uuid(), 't_fetch', 'fetch', '{}', 0, 'completed', t.at, 1, 5, \
                    now() - $2 * interval '1 day', '[]' \
               from (select now() - $1 * interval '1 day' as at) t \
             returning id",
            &[&f64::from(accepted_days), &f64::from(finished_days)],
        )
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_look_up_by_id_reads_one_partition() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    fixture
        .settle(
            fixture
                .claim_one(&owner("me"), Lane::Fetch)
                .await
                .complete(done()),
        )
        .await;
    let plan = format!("explain select * from leasectl.job_history where id = '{id}'");
    let rows = fixture.client().await.query(&plan, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let scans = plan.iter().filter(|line| line.contains("Scan")).count();
    assert_eq!(scans, 1, "{plan:#?}");
    assert!(plan.concat().contains("job_history_2"), "{plan:#?}");
}

#[tokio::test]
async fn retention_drops_what_finished_long_ago_and_keeps_what_did_not() {
    let fixture = Fixture::new().await;
    let old = old_job(&fixture, 40, 35).await;
    let outlived = old_job(&fixture, 40, 1).await;
    let recent = old_job(&fixture, 3, 2).await;
    job::maintain(&fixture.database, MONTH).await.unwrap();
    assert!(
        job::find(&fixture.database, old.into())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        job::find(&fixture.database, outlived.into())
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        job::find(&fixture.database, recent.into())
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn partitions_are_made_a_week_ahead_and_dropped_when_all_in_them_is_old() {
    let fixture = Fixture::new().await;
    let partitions =
        "select count(*) from pg_inherits where inhparent = 'leasectl.job_history'::regclass";
    assert_eq!(
        fixture.count(partitions).await,
        9,
        "today, seven days, and the default"
    );
    // A partition of 40 days ago, with one job in it that ended yesterday.
    fixture
        .client()
        .await
        .batch_execute(
            "do $$ declare day date := (now() at time zone 'utc')::date - 40; begin \
             execute format('create table leasectl.job_history_%s partition of leasectl.job_history for values from (%L) to (%L)', \
               to_char(day, 'YYYYMMDD'), leasectl.uuid_v7_floor(day::timestamp at time zone 'utc'), \
               leasectl.uuid_v7_floor((day + 1)::timestamp at time zone 'utc')); end $$",
        )
        .await
        .unwrap();
    old_job(&fixture, 40, 1).await;
    assert_eq!(
        job::maintain(&fixture.database, MONTH)
            .await
            .unwrap()
            .dropped,
        0
    );
    fixture
        .execute(
            "update leasectl.job_history set finished_at = now() - interval '35 days'",
            &[],
        )
        .await;
    assert_eq!(
        job::maintain(&fixture.database, MONTH)
            .await
            .unwrap()
            .dropped,
        1
    );
    assert_eq!(fixture.count(partitions).await, 9);
}

#[tokio::test]
async fn a_missing_partition_loses_nothing_and_is_filled_when_it_is_made() {
    let fixture = Fixture::new().await;
    let today = "select 'job_history_' || to_char(now() at time zone 'utc', 'YYYYMMDD')";
    let today: String = fixture
        .client()
        .await
        .query_one(today, &[])
        .await
        .unwrap()
        .get(0);
    fixture
        .client()
        .await
        .batch_execute(&format!("drop table leasectl.{today}"))
        .await
        .unwrap();
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    fixture
        .settle(
            fixture
                .claim_one(&owner("me"), Lane::Fetch)
                .await
                .complete(done()),
        )
        .await;
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.job_history_default")
            .await,
        1
    );
    assert_eq!(
        job::maintain(&fixture.database, MONTH)
            .await
            .unwrap()
            .created,
        1
    );
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.job_history_default")
            .await,
        0
    );
    assert_eq!(fixture.job(id).await.state, PublicState::Completed);
}

#[tokio::test]
async fn pages_hold_every_job_once_newest_first_live_and_finished() {
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let repo = fixture.repository(&format!("r{n}")).await;
        ids.push(fixture.enqueue(repo, &FETCH, "").await.job_id);
    }
    let me = owner("me");
    for lease in fixture.claim(&me, Lane::Fetch, 3).await {
        fixture.settle(lease.complete(done())).await;
    }
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = job::list(
            &fixture.database,
            &JobFilter::default(),
            3,
            cursor.as_deref(),
        )
        .await
        .unwrap();
        seen.extend(page.items.iter().map(|job| job.id));
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let mut expected = ids.clone();
    expected.sort_unstable();
    expected.reverse();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn lists_are_filtered_by_repository_kind_and_state() {
    let fixture = Fixture::new().await;
    let (a, b) = (fixture.repository("a").await, fixture.repository("b").await);
    let wanted = fixture.enqueue(a, &FETCH, "").await.job_id;
    fixture.enqueue(a, &INDEX, "").await;
    fixture.enqueue(b, &FETCH, "").await;
    let filter = JobFilter {
        repo_id: Some(a),
        kind: Some("t_fetch".to_owned()),
        state: Some(PublicState::Queued),
    };
    let page = job::list(&fixture.database, &filter, 10, None)
        .await
        .unwrap();
    assert_eq!(
        page.items.iter().map(|job| job.id).collect::<Vec<_>>(),
        [wanted]
    );
}

#[tokio::test]
async fn bad_cursors_and_limits_are_refused() {
    let fixture = Fixture::new().await;
    let all = JobFilter::default();
    for (limit, cursor) in [(0, None), (201, None), (10, Some("nonsense"))] {
        let error = job::list(&fixture.database, &all, limit, cursor)
            .await
            .unwrap_err();
        assert!(matches!(
            error,
            LookupError::BadCursor | LookupError::BadLimit
        ));
    }
}

#[tokio::test]
async fn maintenance_gives_up_at_once_behind_somebody_who_reads_the_history() {
    let fixture = Fixture::new().await;
    fixture
        .client()
        .await
        .batch_execute(
            "create table leasectl.job_history_20200101 partition of leasectl.job_history \
             for values from (leasectl.uuid_v7_floor('2020-01-01Z')) to (leasectl.uuid_v7_floor('2020-01-02Z'))",
        )
        .await
        .unwrap();
    let backup = fixture.client().await;
    backup
        .batch_execute("begin; lock table leasectl.job_history in access share mode")
        .await
        .unwrap();
    let maintaining = job::maintain(&fixture.database, MONTH);
    let error = tokio::time::timeout(Duration::from_secs(1), maintaining)
        .await
        .expect("it does not queue up")
        .unwrap_err();
    assert!(
        error.is_unavailable(),
        "the next round tries again: {error:?}"
    );
    backup.batch_execute("commit").await.unwrap();
    let maintained = job::maintain(&fixture.database, MONTH).await.unwrap();
    assert_eq!(maintained.dropped, 1);
}
