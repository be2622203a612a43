//! Claims and takeovers: which jobs they take, and what becomes of them when the server refuses.

use std::time::Duration;

use leasectl_core::ids::JobId;
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, ClaimCursor, ClaimRequest, Lease};

use crate::fixture::{FETCH, Fixture, KINDS, owner, urgent};

/// A database with that many ready jobs, each in a repository of its own.
async fn with_jobs(count: usize) -> (Fixture, Vec<JobId>) {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let mut jobs = Vec::new();
    for n in 0..count {
        let repo = fixture.repository(&format!("r{n}")).await;
        jobs.push(fixture.enqueue(repo, &FETCH, "").await.job_id);
    }
    (fixture, jobs)
}

async fn onward(
    fixture: &Fixture,
    free: usize,
    cursor: &mut ClaimCursor,
) -> Result<Vec<Lease>, leasectl_core::database::DatabaseError> {
    let request = ClaimRequest {
        slots: &[(Lane::Fetch, free)],
        kinds: &KINDS,
    };
    let client = fixture.client().await;
    lease::claim_onward(&client, &owner("me"), &fixture.settings, &request, cursor).await
}

fn ids(leases: &[Lease]) -> Vec<JobId> {
    leases.iter().map(|lease| lease.job().id).collect()
}

/// Lets so many rows become running, and no more.
async fn allow(fixture: &Fixture, claims: i64) {
    let trigger = format!(
        "create sequence claims; \
         create function refuse() returns trigger language plpgsql as $$ begin \
           if new.state = 'running' and old.state <> 'running' and nextval('claims') > {claims} \
           then raise exception 'no'; end if; return new; end $$; \
         create trigger refuse before update on leasectl.job for each row execute function refuse()"
    );
    let client = fixture.client().await;
    client.batch_execute(&trigger).await.unwrap();
}

#[tokio::test]
async fn what_was_claimed_is_kept_when_the_second_look_fails() {
    let (fixture, jobs) = with_jobs(3).await;
    let mut cursor = ClaimCursor::default();
    let first = onward(&fixture, 1, &mut cursor).await.unwrap().remove(0);
    onward(&fixture, 1, &mut cursor).await.unwrap();
    // One job lies before the cursor and one behind it; the worker has room for more.
    fixture.settle(first.release()).await;
    allow(&fixture, 1).await;
    let leases = onward(&fixture, 9, &mut cursor).await.unwrap();
    assert_eq!(ids(&leases), [jobs[2]]);
    assert!(cursor.take_cut_short(), "nobody would look for the rest");
    assert!(!cursor.take_cut_short());
}

#[tokio::test]
async fn a_claim_whose_first_look_fails_is_an_error() {
    let (fixture, _) = with_jobs(1).await;
    allow(&fixture, 0).await;
    let claimed = onward(&fixture, 9, &mut ClaimCursor::default()).await;
    assert!(claimed.is_err());
}

#[tokio::test]
async fn a_cursor_looks_onward_until_it_is_rewound() {
    let (fixture, jobs) = with_jobs(3).await;
    let mut cursor = ClaimCursor::default();
    let claimed = onward(&fixture, 1, &mut cursor).await.unwrap();
    assert_eq!(ids(&claimed), [jobs[0]]);
    let repo = fixture.repository("late").await;
    let request = fixture.request(repo, &FETCH, "").priority(urgent(9));
    let late = fixture.enqueue_as(request).await.job_id;
    let claimed = onward(&fixture, 1, &mut cursor).await.unwrap();
    assert_eq!(ids(&claimed), [jobs[1]]);
    cursor.rewind();
    let claimed = onward(&fixture, 1, &mut cursor).await.unwrap();
    assert_eq!(ids(&claimed), [late]);
}

#[tokio::test]
async fn a_second_look_takes_no_more_than_the_first_left_room_for() {
    let (fixture, jobs) = with_jobs(4).await;
    let mut cursor = ClaimCursor::default();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.extend(onward(&fixture, 1, &mut cursor).await.unwrap());
    }
    // Two jobs lie before the cursor and one behind it.
    for lease in held.drain(..2) {
        fixture.settle(lease.release()).await;
    }
    let leases = onward(&fixture, 2, &mut cursor).await.unwrap();
    assert_eq!(ids(&leases), [jobs[3], jobs[0]]);
}

#[tokio::test]
async fn a_worker_takes_only_the_kinds_that_it_runs() {
    let (fixture, jobs) = with_jobs(1).await;
    let (client, me) = (fixture.client().await, owner("me"));
    let other = ClaimRequest {
        slots: &[(Lane::Fetch, 9)],
        kinds: &["fetch"],
    };
    let settings = fixture.settings;
    let claimed = lease::claim(&client, &me, &settings, &other).await;
    assert!(claimed.unwrap().is_empty());
    let held = fixture.claim_one(&me, Lane::Fetch).await;
    assert_eq!(held.job().id, jobs[0]);
    fixture.age(jobs[0], Duration::from_secs(60)).await;
    let taken = lease::reclaim(&client, &me, &settings, &other).await;
    assert!(taken.unwrap().is_empty());
}

#[tokio::test]
async fn a_worker_takes_no_more_than_it_has_room_for_and_the_longest_held_first() {
    let (fixture, jobs) = with_jobs(3).await;
    let mut held = Vec::new();
    for _ in &jobs {
        held.push(fixture.claim_one(&owner("one"), Lane::Fetch).await);
    }
    for id in &jobs {
        fixture.age(*id, Duration::from_secs(60)).await;
    }
    let taken = fixture.reclaim(&owner("two"), Lane::Fetch, 2).await;
    let taken: Vec<_> = taken.iter().map(|taken| taken.lease.job().id).collect();
    assert_eq!(taken, jobs[..2]);
    let rest = fixture.reclaim(&owner("two"), Lane::Fetch, 2).await;
    assert_eq!(rest.len(), 1);
}

#[tokio::test]
async fn a_job_that_loses_its_worker_in_its_last_attempt_is_buried() {
    let (fixture, jobs) = with_jobs(1).await;
    let _lease = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    let last = "update leasectl.job set attempt = max_attempts";
    fixture.execute(last, &[]).await;
    fixture.age(jobs[0], Duration::from_secs(60)).await;
    let taken = fixture.reclaim(&owner("two"), Lane::Fetch, 1).await;
    assert!(taken.is_empty());
    let buried = lease::bury(&fixture.client().await).await.unwrap();
    assert_eq!(buried.len(), 1);
}
