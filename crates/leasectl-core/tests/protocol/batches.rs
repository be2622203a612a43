//! Batches larger than one statement, and batches that the server refuses.

use leasectl_core::job::{self, EnqueueError, EnqueueRequest};
use leasectl_core::kind::Lane;
use leasectl_core::lease;
use uuid::Uuid;

use crate::fixture::{FETCH, Fixture, owner, urgent};

/// More jobs than one insert takes.
const MANY: usize = 5_001;

/// Refuses the first so many attempts to store a job, with that code, and counts them all.
async fn refuse(fixture: &Fixture, attempts: i64, code: &str) {
    let trigger = format!(
        "create sequence attempts; \
         create function refuse() returns trigger language plpgsql as $$ begin \
           if nextval('attempts') <= {attempts} then raise exception 'no' using errcode = '{code}'; \
           end if; return new; end $$; \
         create trigger refuse before insert on leasectl.job for each row execute function refuse()"
    );
    let client = fixture.client().await;
    client.batch_execute(&trigger).await.unwrap();
}

async fn attempts(fixture: &Fixture) -> i64 {
    fixture.count("select last_value from attempts").await
}

#[tokio::test]
async fn an_enqueue_that_loses_a_deadlock_is_run_again() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    refuse(&fixture, 4, "40P01").await;
    let requests = [fixture.request(repo, &FETCH, "")];
    job::enqueue(&fixture.database, &requests).await.unwrap();
    assert_eq!(attempts(&fixture).await, 5);
}

#[tokio::test]
async fn an_enqueue_that_keeps_losing_deadlocks_gives_up() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    refuse(&fixture, 100, "40P01").await;
    let requests = [fixture.request(repo, &FETCH, "")];
    let refused = job::enqueue(&fixture.database, &requests).await;
    assert!(matches!(refused, Err(EnqueueError::Database(_))));
    assert_eq!(attempts(&fixture).await, 5);
}

#[tokio::test]
async fn an_enqueue_that_is_refused_is_not_run_again() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    refuse(&fixture, 100, "P0001").await;
    let requests = [fixture.request(repo, &FETCH, "")];
    let refused = job::enqueue(&fixture.database, &requests).await;
    assert!(matches!(refused, Err(EnqueueError::Database(_))));
    assert_eq!(attempts(&fixture).await, 1);
}

#[tokio::test]
async fn an_unknown_repository_is_named_by_its_place_in_the_whole_batch() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let unknown = fixture.request(Uuid::from_u128(7).into(), &FETCH, "");
    let mut requests: Vec<EnqueueRequest> = (0..MANY)
        .map(|n| fixture.request(repo, &FETCH, &n.to_string()))
        .collect();
    requests.push(unknown);
    for collides in [false, true] {
        if collides {
            // The batch takes the slower way, which merges.
            requests[1] = requests[0].clone();
        }
        let refused = job::enqueue(&fixture.database, &requests).await;
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, EnqueueError::UnknownRepository { index: MANY, .. }),
            "{refused}"
        );
        assert_eq!(fixture.count("select count(*) from leasectl.job").await, 0);
    }
}

#[tokio::test]
async fn a_batch_with_a_job_that_takes_anothers_place_is_accepted_once() {
    let fixture = Fixture::new().await;
    let (free, held) = (fixture.repository("a").await, fixture.repository("b").await);
    fixture.enqueue(held, &FETCH, "calm").await;
    let more_urgent = fixture.request(held, &FETCH, "").priority(urgent(10));
    let requests = [fixture.request(free, &FETCH, ""), more_urgent];
    let accepted = job::enqueue(&fixture.database, &requests).await.unwrap();
    let is_merged: Vec<_> = accepted.iter().map(|job| job.deduplicated).collect();
    assert_eq!(is_merged, [false, false], "a part was stored before");
    assert_eq!(fixture.count("select count(*) from leasectl.job").await, 3);
}

#[tokio::test]
async fn a_batch_larger_than_a_statement_is_accepted_whole_and_in_order() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let requests: Vec<EnqueueRequest> = (0..MANY)
        .map(|n| fixture.request(repo, &FETCH, &n.to_string()))
        .collect();
    let accepted = job::enqueue(&fixture.database, &requests).await.unwrap();
    assert_eq!(accepted.len(), MANY);
    let last = accepted[MANY - 1].job_id;
    let newest = "select id from leasectl.job order by seq desc limit 1";
    let row = fixture.client().await.query_one(newest, &[]).await.unwrap();
    assert_eq!(row.get::<_, Uuid>(0), last.as_uuid());
}

#[tokio::test]
async fn a_sweep_moves_more_jobs_than_one_statement_does() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let many = "insert into leasectl.job (id, repo_id, kind, lane, args, state, staged) \
                select leasectl.uuid_v7(), $1, 't_fetch', 'fetch', jsonb_build_object('note', n::text), \
                       'waiting', true from generate_series(1, 1001) n";
    fixture.execute(many, &[&repo.as_uuid()]).await;
    let client = fixture.client().await;
    let swept = lease::sweep(&client).await.unwrap();
    assert_eq!(
        (swept.activated, swept.promoted),
        (1_001, vec![Lane::Fetch])
    );

    let later = "update leasectl.job set state = 'scheduled', not_before = now()";
    fixture.execute(later, &[]).await;
    let swept = lease::sweep(&client).await.unwrap();
    assert_eq!((swept.due, swept.promoted), (1_001, vec![Lane::Fetch]));
}

#[tokio::test]
async fn a_sweep_promotes_more_lanes_than_one_statement_looks_at() {
    let fixture = Fixture::new().await;
    let lanes = "insert into leasectl.job (id, repo_id, kind, lane, args, state) \
                 select leasectl.uuid_v7(), gen_random_uuid(), 't_fetch', 'fetch', '{}', 'waiting' \
                   from generate_series(1, 2001)";
    fixture.execute(lanes, &[]).await;
    lease::sweep(&fixture.client().await).await.unwrap();
    let ready = "select count(*) from leasectl.job where state = 'ready'";
    assert_eq!(fixture.count(ready).await, 2_001);
}

#[tokio::test]
async fn a_lease_is_named_by_its_job_and_token() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "").await;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let key = lease.key();
    assert_eq!(key.to_string(), format!("{}#{}", key.job_id, key.token));
}
