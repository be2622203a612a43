//! Enqueueing beside settling: no lane is left standing, nobody waits for a caller's transaction,
//! and equal jobs never collide.

use leasectl_core::database::Database;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::job::{self, EnqueueRequest, Enqueued, PublicState, RetryOutcome};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Settled};
use leasectl_core::time::Timestamp;
use serde_json::json;
use tokio_postgres::error::SqlState;

use super::{Session, Stage, code};
use crate::fixture::{FETCH, Fixture, done, owner};

/// The very statement that accepts jobs, for a transaction that stays open.
const ENQUEUE: &str = include_str!("../../../src/job/enqueue.sql");

/// Finds what `leasectl.lane_head()` finds in a lane without a holder, once nobody holds the lock 7.
const LANE_HEAD_BEHIND_A_GATE: &str = "
    create or replace function leasectl.lane_head(repo_id uuid, lane text)
    returns table (id uuid) language plpgsql stable as $$
    begin
      perform pg_advisory_xact_lock_shared(7);
      return query
        select w.id from leasectl.job w where w.state = 'waiting' and w.repo_id = $1 and w.lane = $2
         order by w.rank, w.seq limit 1;
    end $$";

/// Accepts a `t_fetch` with a note in the session's transaction; returns its stored state.
async fn enqueue(session: &Session, stage: &Stage, note: &str) -> String {
    let (kinds, lanes) = (vec!["t_fetch"], vec!["fetch"]);
    let args = vec![json!({ "note": note })];
    let (repos, priorities) = (vec![stage.repo.as_uuid()], vec![0i16]);
    let moments: Vec<Option<Timestamp>> = vec![None];
    let delays: Vec<Option<f64>> = vec![None];
    let rows = session
        .rows(
            ENQUEUE,
            &[
                &repos,
                &kinds,
                &lanes,
                &args,
                &priorities,
                &moments,
                &delays,
            ],
        )
        .await;
    rows[0].get("state")
}

#[tokio::test]
async fn an_enqueue_that_commits_after_the_settlement_it_did_not_see_loses_its_promotion() {
    let (stage, lease) = Stage::with_a_lease().await;
    let me = owner("me");
    let caller = Session::open(&stage.fixture).await;
    caller.says("begin").await;
    assert_eq!(enqueue(&caller, &stage, "next").await, "waiting");
    let settled = stage.fixture.settle(lease.complete(done())).await;
    assert!(matches!(settled, Settled::Applied { .. }));
    caller.says("commit").await;

    // Neither of the two could see the other; without the sweep the lane stands for ever.
    assert!(stage.fixture.claim(&me, Lane::Fetch, 9).await.is_empty());
    let swept = lease::sweep(&stage.fixture.client().await).await.unwrap();
    assert_eq!(swept.promoted, [Lane::Fetch]);
    assert_eq!(stage.fixture.claim(&me, Lane::Fetch, 9).await.len(), 1);
}

#[tokio::test]
async fn an_enqueue_that_commits_before_the_settlement_is_promoted_by_it() {
    let (stage, lease) = Stage::with_a_lease().await;
    let caller = Session::open(&stage.fixture).await;
    caller.says("begin").await;
    assert_eq!(enqueue(&caller, &stage, "next").await, "waiting");
    caller.says("commit").await;
    stage.fixture.settle(lease.complete(done())).await;
    let taken = stage.fixture.claim(&owner("me"), Lane::Fetch, 9).await;
    assert_eq!(taken.len(), 1);
}

/// A database with one connection of known backend, which the next call will use.
async fn single(fixture: &Fixture) -> (Database, i32) {
    let database = fixture.database.dedicated("enqueuer").unwrap();
    let pid = super::backend(&database.client().await.unwrap()).await;
    (database, pid)
}

/// Another caller accepts a job, and may have to wait.
async fn accept(stage: &Stage, note: &str) -> super::Step<Enqueued> {
    let (database, pid) = single(&stage.fixture).await;
    let request: EnqueueRequest = stage.fixture.request(stage.repo, &FETCH, note);
    let observer = stage.fixture.client().await;
    let task = tokio::spawn(async move {
        let enqueued = job::enqueue(&database, &[request]).await.unwrap()[0];
        (observer, enqueued)
    });
    super::Step { pid, task }
}

#[tokio::test]
async fn a_plain_insert_in_a_callers_transaction_makes_every_other_enqueuer_wait() {
    let (stage, lease) = Stage::with_a_lease().await;
    stage.fixture.settle(lease.complete(done())).await;
    let caller = Session::open(&stage.fixture).await;
    caller.says("begin").await;
    assert_eq!(enqueue(&caller, &stage, "x").await, "ready");
    // Not only an equal job: any job for that lane.
    let equal = accept(&stage, "x").await;
    let other = accept(&stage, "y").await;
    equal.waits_for(&stage.fixture, caller.pid).await;
    other.waits_for(&stage.fixture, caller.pid).await;
    caller.says("commit").await;
    assert!(equal.ends().await.1.deduplicated);
    assert_eq!(other.ends().await.1.state, PublicState::Waiting);
}

#[tokio::test]
async fn the_function_in_a_callers_transaction_makes_nobody_wait() {
    let (stage, lease) = Stage::with_a_lease().await;
    stage.fixture.settle(lease.complete(done())).await;
    let caller = Session::open(&stage.fixture).await;
    caller.says("begin").await;
    let staged = "select leasectl.enqueue('team/a', 't_fetch', '{\"note\": \"x\"}')";
    caller.rows(staged, &[]).await;
    let equal = accept(&stage, "x").await;
    assert_eq!(equal.ends().await.1.state, PublicState::Queued);
    let me = owner("me");
    let lease = stage.fixture.claim_one(&me, Lane::Fetch).await;
    stage.fixture.settle(lease.complete(done())).await;
    lease::sweep(&stage.fixture.client().await).await.unwrap();
    caller.says("commit").await;
    let swept = lease::sweep(&stage.fixture.client().await).await.unwrap();
    assert_eq!((swept.activated, swept.promoted), (1, vec![Lane::Fetch]));
}

#[tokio::test]
async fn a_retry_beside_an_equal_waiting_job_does_not_abort_its_batch() {
    for unsafe_form in [true, false] {
        let (stage, first) = Stage::with_a_lease().await;
        if unsafe_form {
            // Deduplication of everything that is queued, claimed before or not.
            let index = "create unique index equal_jobs on leasectl.job \
                         (repo_id, kind, leasectl.dedup_key(args)) where state <> 'running'";
            stage.fixture.execute(index, &[]).await;
        }
        stage.fixture.enqueue(stage.repo, &FETCH, "").await;
        let other_repo = stage.fixture.repository("b").await;
        stage.fixture.enqueue(other_repo, &FETCH, "").await;
        let other = stage.fixture.claim_one(&owner("one"), Lane::Fetch).await;
        let batch = [
            first.fail(JobError::retryable(ErrorCode::RemoteTimeout, "silent")),
            other.complete(done()),
        ];
        let client = stage.fixture.client().await;
        let settled = lease::settle(&client, &batch).await;
        let running = "select count(*) from leasectl.job where state = 'running'";
        if unsafe_form {
            assert!(settled.is_err(), "the equal job is no longer in the way");
            assert_eq!(stage.fixture.count(running).await, 2);
        } else {
            let settled = settled.unwrap();
            assert!(settled.iter().all(|s| matches!(s, Settled::Applied { .. })));
            assert_eq!(stage.fixture.count(running).await, 0);
        }
    }
}

#[tokio::test]
async fn a_finished_job_is_run_again_beside_an_equal_waiting_one() {
    let (stage, lease) = Stage::with_a_lease().await;
    stage.fixture.settle(lease.complete(done())).await;
    let equal = stage.fixture.enqueue(stage.repo, &FETCH, "").await;
    assert!(!equal.deduplicated);
    let again = job::retry(&stage.fixture.database, stage.id).await;
    assert_eq!(again.unwrap(), RetryOutcome::Accepted);
    let me = owner("me");
    for id in [equal.job_id, stage.id] {
        let lease = stage.fixture.claim_one(&me, Lane::Fetch).await;
        assert_eq!(lease.job().id, id);
        stage.fixture.settle(lease.complete(done())).await;
    }
}

#[tokio::test]
async fn a_promotion_that_comes_second_tells_of_the_job_that_it_hid_from_a_claim() {
    let (stage, lease) = Stage::with_a_lease().await;
    let next = stage.fixture.enqueue(stage.repo, &FETCH, "next").await;
    let ends = "delete from leasectl.job where id = $1";
    stage.fixture.execute(ends, &[&stage.id.as_uuid()]).await;
    drop(lease);
    // Between its look for the lane's head and the lock on that job's row a promotion waits here.
    stage.fixture.execute(LANE_HEAD_BEHIND_A_GATE, &[]).await;
    let gate = Session::open(&stage.fixture).await;
    gate.says("select pg_advisory_lock(7)").await;

    let second = Session::open(&stage.fixture).await;
    let patient =
        "begin; set local lock_timeout = 0; set local idle_in_transaction_session_timeout = 0";
    second.says(patient).await;
    let lanes = [(stage.repo, Lane::Fetch)];
    let second = second.starts(async move |client| {
        let told = lease::promote(&client, &lanes).await.unwrap();
        (client, told)
    });
    second.waits_for(&stage.fixture, gate.pid).await;
    let first = "update leasectl.job set state = 'ready' where id = $1";
    let next = next.job_id.as_uuid();
    assert_eq!(stage.fixture.execute(first, &[&next]).await, 1);
    gate.says("select pg_advisory_unlock(7)").await;
    let (second, told) = second.ends().await;

    // The claim that the first promotion's wakeup led to.
    let me = owner("me");
    assert!(stage.fixture.claim(&me, Lane::Fetch, 1).await.is_empty());
    second.says("commit").await;
    assert_eq!(told, [Lane::Fetch]);
    assert_eq!(stage.fixture.claim(&me, Lane::Fetch, 1).await.len(), 1);
}

#[tokio::test]
async fn a_claim_passes_over_a_job_that_is_being_cancelled() {
    let (stage, lease) = Stage::with_a_lease().await;
    stage.fixture.settle(lease.release()).await;
    let canceller = Session::open(&stage.fixture).await;
    canceller.says("begin").await;
    let cancel = include_str!("../../../src/job/cancel.sql");
    let ended = canceller.rows(cancel, &[&stage.id.as_uuid()]).await;
    assert!(ended[0].get::<_, bool>("ended"));
    let me = owner("me");
    assert!(stage.fixture.claim(&me, Lane::Fetch, 1).await.is_empty());
    canceller.says("rollback").await;
    assert_eq!(stage.fixture.claim(&me, Lane::Fetch, 1).await.len(), 1);
}

#[tokio::test]
async fn a_cancellation_waits_for_a_claim_in_flight_and_then_asks_the_new_owner() {
    let (stage, lease) = Stage::with_a_lease().await;
    stage.fixture.settle(lease.release()).await;
    let claimer = Session::open(&stage.fixture).await;
    claimer.says("begin").await;
    let request = lease::ClaimRequest {
        slots: &[(Lane::Fetch, 1)],
        kinds: &crate::fixture::KINDS,
    };
    let settings = stage.fixture.settings;
    let claimed = lease::claim(&claimer.client, &owner("two"), &settings, &request).await;
    let claimed = claimed.unwrap().pop().expect("it is ready");
    let (database, pid) = single(&stage.fixture).await;
    let (id, observer) = (stage.id, stage.fixture.client().await);
    let task = tokio::spawn(async move {
        let outcome = job::cancel(&database, id).await.unwrap();
        (observer, outcome)
    });
    let step = super::Step { pid, task };
    step.waits_for(&stage.fixture, claimer.pid).await;
    claimer.says("commit").await;
    assert_eq!(step.ends().await.1, job::CancelOutcome::Requested);
    stage.fixture.settle(claimed.cancelled()).await;
    let ended = stage.fixture.job(id).await;
    assert_eq!(ended.state, PublicState::Cancelled);
}

#[tokio::test]
async fn a_second_holder_of_a_lane_waits_for_the_first_and_is_refused() {
    let (stage, lease) = Stage::with_a_lease().await;
    stage.fixture.settle(lease.complete(done())).await;
    let fill = "insert into leasectl.job (id, repo_id, kind, lane, args, state) \
                values (leasectl.uuid_v7(), $1, 't_fetch', 'fetch', '{}', 'ready')";
    let first = Session::open(&stage.fixture).await;
    first.says("begin").await;
    let repo = stage.repo.as_uuid();
    first.rows(fill, &[&repo]).await;
    let second = Session::open(&stage.fixture).await;
    let second = second.starts(move |client| async move {
        let filled = client.execute(fill, &[&repo]).await;
        (client, filled)
    });
    second.waits_for(&stage.fixture, first.pid).await;
    first.says("commit").await;
    let refused = second.ends().await.1.unwrap_err();
    assert_eq!(code(&refused), SqlState::UNIQUE_VIOLATION);
}
