//! P1 and P6: what is accepted is committed, equal jobs are merged, batches are all or none.

use std::time::Duration;

use leasectl_core::job::{self, EnqueueError, NotBefore, PublicState};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, ClaimCursor, ClaimRequest};
use uuid::Uuid;

use crate::fixture::{FETCH, Fixture, INDEX, KINDS, done, owner, urgent};

#[tokio::test]
async fn an_equal_job_that_waits_is_handed_back() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let first = fixture.enqueue(repo, &FETCH, "x").await;
    let again = fixture.enqueue(repo, &FETCH, "x").await;
    assert!(!first.deduplicated);
    assert!(again.deduplicated);
    assert_eq!(again.job_id, first.job_id);
    assert!(!fixture.enqueue(repo, &FETCH, "y").await.deduplicated);
    let other = fixture.repository("b").await;
    assert!(!fixture.enqueue(other, &FETCH, "x").await.deduplicated);
}

#[tokio::test]
async fn finding_an_equal_job_that_needs_no_change_writes_nothing() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let first = fixture.enqueue(repo, &FETCH, "x").await;
    let client = fixture.database.client().await.unwrap();
    let written = async || -> (i64, String) {
        let row = client.query_one(
            "select nextval('leasectl.job_seq'), (select xmin::text from leasectl.job)",
            &[],
        );
        let row = row.await.unwrap();
        (row.get(0), row.get(1))
    };
    let (seq, version) = written().await;
    let later = fixture.request(repo, &FETCH, "x");
    let later = later.not_before(NotBefore::In(Duration::from_secs(60)));
    assert_eq!(fixture.enqueue_as(later).await.job_id, first.job_id);
    let again = fixture.enqueue(repo, &FETCH, "x").await;
    assert_eq!(
        (again.job_id, again.state),
        (first.job_id, PublicState::Queued)
    );
    assert_eq!(written().await, (seq + 1, version.clone()));
    // A more urgent equal job does change it.
    let urgent = fixture.request(repo, &FETCH, "x").priority(urgent(1));
    assert_eq!(fixture.enqueue_as(urgent).await.job_id, first.job_id);
    assert_ne!(written().await.1, version);
}

#[tokio::test]
async fn connections_opened_ahead_are_kept_and_accept_nothing() {
    let fixture = Fixture::new().await;
    job::warm_up(&fixture.database, 3).await.unwrap();
    let client = fixture.database.client().await.unwrap();
    let prepared = client.query_one(
        "select count(*) from pg_prepared_statements \
          where generic_plans > 0 and statement like '-- Inserts new jobs%'",
        &[],
    );
    assert_eq!(prepared.await.unwrap().get::<_, i64>(0), 1);
    let jobs = client.query_one("select count(*) from leasectl.job", &[]);
    assert_eq!(jobs.await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn while_an_equal_job_runs_exactly_one_more_is_added() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let running = fixture.enqueue(repo, &FETCH, "x").await;
    let _lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let more = fixture.enqueue(repo, &FETCH, "x").await;
    let yet_more = fixture.enqueue(repo, &FETCH, "x").await;
    assert_ne!(more.job_id, running.job_id);
    assert_eq!(more.state, PublicState::Waiting);
    assert_eq!(
        (yet_more.job_id, yet_more.deduplicated),
        (more.job_id, true)
    );
}

#[tokio::test]
async fn the_higher_priority_and_the_earlier_time_win() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let hour = NotBefore::In(Duration::from_secs(3600));
    let day = NotBefore::In(Duration::from_secs(86_400));
    let first = fixture
        .enqueue_as(
            fixture
                .request(repo, &FETCH, "")
                .not_before(day)
                .priority(urgent(5)),
        )
        .await;
    fixture
        .enqueue_as(fixture.request(repo, &FETCH, "").not_before(hour))
        .await;
    let job = fixture.job(first.job_id).await;
    assert_eq!(job.priority, 5);
    let delay = job.created_at.until(job.not_before.unwrap());
    assert!(delay <= Duration::from_secs(3660), "{delay:?}");

    let now = fixture
        .enqueue_as(fixture.request(repo, &FETCH, "").priority(urgent(-5)))
        .await;
    assert_eq!(now.job_id, first.job_id);
    assert_eq!(fixture.stored_state(first.job_id).await, "ready");
    assert_eq!(fixture.job(first.job_id).await.priority, 5);
}

#[tokio::test]
async fn a_retried_job_does_not_collide_with_an_equal_waiting_one() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "x").await;
    let me = owner("me");
    let lease = fixture.claim_one(&me, Lane::Fetch).await;
    let equal = fixture.enqueue(repo, &FETCH, "x").await;
    // Released, the first goes back to its lane beside its equal.
    fixture.settle(lease.release()).await;
    for _ in 0..2 {
        let lease = fixture.claim_one(&me, Lane::Fetch).await;
        fixture.settle(lease.complete(done())).await;
    }
    assert_eq!(
        fixture.job(equal.job_id).await.state,
        PublicState::Completed
    );
}

#[tokio::test]
async fn a_batch_with_an_unknown_repository_changes_nothing() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let requests = [
        fixture.request(repo, &FETCH, "1"),
        fixture.request(Uuid::from_u128(7).into(), &FETCH, "2"),
        fixture.request(repo, &FETCH, "3"),
    ];
    let error = job::enqueue(&fixture.database, &requests)
        .await
        .unwrap_err();
    assert!(
        matches!(error, EnqueueError::UnknownRepository { index: 1, .. }),
        "{error}"
    );
    assert_eq!(fixture.count("select count(*) from leasectl.job").await, 0);
}

#[tokio::test]
async fn a_batch_answers_in_order_with_its_own_duplicates_merged() {
    let fixture = Fixture::new().await;
    let (a, b) = (fixture.repository("a").await, fixture.repository("b").await);
    let requests = [
        fixture.request(b, &FETCH, "1"),
        fixture.request(a, &FETCH, "1"),
        fixture.request(b, &FETCH, "1"),
        fixture.request(a, &INDEX, ""),
        fixture.request(a, &FETCH, "2"),
    ];
    let accepted = job::enqueue(&fixture.database, &requests).await.unwrap();
    assert_eq!(accepted.len(), 5);
    assert_eq!(accepted[2].job_id, accepted[0].job_id);
    assert!(accepted[2].deduplicated);
    let states: Vec<_> = accepted.iter().map(|enqueued| enqueued.state).collect();
    use PublicState::{Queued, Waiting};
    assert_eq!(states, [Queued, Queued, Queued, Queued, Waiting]);
    assert_eq!(fixture.job(accepted[3].job_id).await.lane, "index");
}

#[tokio::test]
async fn a_time_that_is_past_does_not_make_a_batch_collide_with_itself() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let past = NotBefore::At(chrono::DateTime::UNIX_EPOCH.into());
    let requests = [
        fixture.request(repo, &FETCH, "1").not_before(past),
        fixture.request(repo, &FETCH, "2"),
    ];
    let accepted = job::enqueue(&fixture.database, &requests).await.unwrap();
    let states: Vec<_> = accepted.iter().map(|enqueued| enqueued.state).collect();
    assert_eq!(states, [PublicState::Queued, PublicState::Waiting]);
    // A second try would have drawn two more.
    let drawn = "select last_value from leasectl.job_seq";
    assert_eq!(fixture.count(drawn).await, 2);
}

#[tokio::test]
async fn batches_that_overlap_in_opposite_orders_are_all_accepted() {
    let fixture = Fixture::new().await;
    let mut repos = Vec::new();
    for n in 0..20 {
        repos.push(fixture.repository(&format!("r{n}")).await);
    }
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..6 {
        let mut requests: Vec<_> = repos
            .iter()
            .flat_map(|repo| (0..5).map(|n| fixture.request(*repo, &FETCH, &n.to_string())))
            .collect();
        if racer % 2 == 0 {
            requests.reverse();
        }
        let database = fixture.database.clone();
        racers.spawn(async move { job::enqueue(&database, &requests).await });
    }
    while let Some(raced) = racers.join_next().await {
        assert_eq!(raced.unwrap().unwrap().len(), 100);
    }
    assert_eq!(
        fixture.count("select count(*) from leasectl.job").await,
        100
    );
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.job where state = 'ready'")
            .await,
        20
    );
}

#[tokio::test]
async fn a_duplicate_does_not_start_before_the_caller_commits() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let first = fixture.enqueue(repo, &FETCH, "x").await;
    let mut caller = fixture.client().await;
    let transaction = caller.transaction().await.unwrap();
    // What enqueueing does on a collision, held open.
    transaction
        .execute(
            "update leasectl.job set priority = greatest(priority, 1) where id = $1",
            &[&first.job_id.as_uuid()],
        )
        .await
        .unwrap();
    let me = owner("me");
    assert!(fixture.claim(&me, Lane::Fetch, 1).await.is_empty());
    transaction.commit().await.unwrap();
    assert_eq!(fixture.claim(&me, Lane::Fetch, 1).await.len(), 1);
}

#[tokio::test]
async fn times_that_no_timestamp_holds_are_refused() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let never = NotBefore::In(Duration::MAX);
    let request = fixture.request(repo, &FETCH, "").not_before(never);
    let error = job::enqueue(&fixture.database, &[request])
        .await
        .unwrap_err();
    assert!(matches!(error, EnqueueError::TooFarAway));
}

#[tokio::test]
async fn a_job_may_wait_for_ten_years_and_no_longer() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let request = |seconds| {
        let delay = NotBefore::In(Duration::from_secs(seconds));
        [fixture.request(repo, &FETCH, "").not_before(delay)]
    };
    let ten_years = 316_224_000;
    let beyond = job::enqueue(&fixture.database, &request(ten_years + 1)).await;
    assert!(matches!(beyond, Err(EnqueueError::TooFarAway)));
    let accepted = job::enqueue(&fixture.database, &request(ten_years))
        .await
        .unwrap();
    assert!(!accepted[0].deduplicated);
}

#[tokio::test]
async fn more_urgent_jobs_are_claimed_first_and_equal_ones_in_order() {
    let fixture = Fixture::new().await;
    let mut expected = Vec::new();
    for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", -10), ("e", 10)] {
        let repo = fixture.repository(name).await;
        let request = fixture.request(repo, &FETCH, "").priority(urgent(priority));
        expected.push((priority, fixture.enqueue_as(request).await.job_id));
    }
    expected.sort_by_key(|(priority, _)| -priority);
    let leases = fixture.claim(&owner("me"), Lane::Fetch, 10).await;
    let claimed: Vec<_> = leases.iter().map(|lease| lease.job().id).collect();
    assert_eq!(
        claimed,
        expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_cursor_hides_no_job_from_a_worker_with_room() {
    let fixture = Fixture::new().await;
    for n in 0..6 {
        let repo = fixture.repository(&format!("r{n}")).await;
        fixture.enqueue(repo, &FETCH, "").await;
    }
    let me = owner("me");
    let client = fixture.client().await;
    let mut cursor = ClaimCursor::default();
    let two = ClaimRequest {
        slots: &[(Lane::Fetch, 2)],
        kinds: &KINDS,
    };
    let first = lease::claim_onward(&client, &me, &fixture.settings, &two, &mut cursor)
        .await
        .unwrap();
    // Behind the cursor: a released job, and one that is more urgent than all.
    let released = first.into_iter().next().unwrap();
    let released_id = released.job().id;
    fixture.settle(released.release()).await;
    let repo = fixture.repository("late").await;
    let late = fixture
        .enqueue_as(fixture.request(repo, &FETCH, "").priority(urgent(9)))
        .await;

    let many = ClaimRequest {
        slots: &[(Lane::Fetch, 10)],
        kinds: &KINDS,
    };
    let rest = lease::claim_onward(&client, &me, &fixture.settings, &many, &mut cursor)
        .await
        .unwrap();
    let ids: Vec<_> = rest.iter().map(|lease| lease.job().id).collect();
    assert_eq!(ids.len(), 6);
    assert!(ids.contains(&released_id) && ids.contains(&late.job_id));
}
