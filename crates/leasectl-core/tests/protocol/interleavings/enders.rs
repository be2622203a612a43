//! The fence against everything that ends or moves a lease, in both orders.

use std::time::{Duration, Instant};

use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::job::{self, CancelOutcome};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Fence, FenceError, Lease, Settled, Settlement};

use super::{Session, Stage, Step};
use crate::fixture::{done, owner};

/// Every way to settle.
const OUTCOMES: [fn(Lease) -> Settlement; 5] = [
    |lease| lease.complete(done()),
    |lease| lease.fail(JobError::retryable(ErrorCode::RemoteTimeout, "silent")),
    |lease| lease.fail(JobError::permanent(ErrorCode::RemoteNotFound, "gone")),
    Lease::cancelled,
    Lease::release,
];

fn settling(session: Session, settlement: Settlement) -> Step<Settled> {
    session.starts(move |client| async move {
        let settled = lease::settle(&client, &[settlement]).await.unwrap();
        (client, settled[0])
    })
}

/// Opens a fenced transaction that may have to wait, and tells whether the lease was held.
fn fencing(session: Session, fence: Fence) -> Step<bool> {
    session.starts(move |mut client| async move {
        let held = match fence.begin(&mut client).await {
            Ok(fenced) => fenced.commit().await.map(|()| true).unwrap(),
            Err(FenceError::LeaseLost) => false,
            Err(FenceError::Database(error)) => panic!("{error}"),
        };
        (client, held)
    })
}

#[tokio::test]
async fn every_settlement_waits_for_an_open_fence() {
    for outcome in OUTCOMES {
        let (stage, lease) = Stage::with_a_lease().await;
        let (fence, token) = (lease.fence(), lease.key().token.get());
        let mut writer = stage.fixture.client().await;
        let pid = super::backend(&writer).await;
        let fenced = fence.begin(&mut writer).await.unwrap();
        let session = Session::open(&stage.fixture).await;
        let step = settling(session, outcome(lease));
        step.waits_for(&stage.fixture, pid).await;
        let write = "insert into effect values ($1, $2)";
        let statements = fenced.statements();
        let repo = stage.repo.as_uuid();
        statements.execute(write, &[&repo, &token]).await.unwrap();
        fenced.commit().await.unwrap();
        assert!(matches!(step.ends().await.1, Settled::Applied { .. }));
        assert_eq!(stage.effect().await, Some(token));
    }
}

#[tokio::test]
async fn a_fence_waits_for_a_settlement_in_flight_and_then_finds_the_lease_lost() {
    for outcome in OUTCOMES {
        for commits in [true, false] {
            let (stage, lease) = Stage::with_a_lease().await;
            let fence = lease.fence();
            let settler = Session::open(&stage.fixture).await;
            settler.says("begin").await;
            let settled = lease::settle(&settler.client, &[outcome(lease)]).await;
            assert!(matches!(settled.unwrap()[0], Settled::Applied { .. }));
            let step = fencing(Session::open(&stage.fixture).await, fence);
            step.waits_for(&stage.fixture, settler.pid).await;
            settler
                .says(if commits { "commit" } else { "rollback" })
                .await;
            assert_eq!(step.ends().await.1, !commits);
        }
    }
}

#[tokio::test]
async fn taking_over_and_burying_leave_a_fenced_job_alone() {
    for (bury, sql) in [
        (
            false,
            "update leasectl.job set lease_expires_at = now(), crashes = 0",
        ),
        (
            true,
            "update leasectl.job set lease_expires_at = now(), crashes = 2",
        ),
    ] {
        let (stage, lease) = Stage::with_a_lease().await;
        stage.fixture.execute(sql, &[]).await;
        let fence = lease.fence();
        let mut writer = stage.fixture.client().await;
        let fenced = fence.begin(&mut writer).await.unwrap();
        assert_eq!(ended(&stage, bury).await, 0);
        fenced.commit().await.unwrap();
        assert_eq!(ended(&stage, bury).await, 1);
    }
}

async fn ended(stage: &Stage, bury: bool) -> usize {
    if bury {
        let client = stage.fixture.client().await;
        lease::bury(&client).await.unwrap().len()
    } else {
        let two = owner("two");
        stage.fixture.reclaim(&two, Lane::Fetch, 1).await.len()
    }
}

#[tokio::test]
async fn a_fence_waits_for_a_burial_in_flight() {
    for commits in [true, false] {
        let (stage, lease) = Stage::with_a_lease().await;
        let over = "update leasectl.job set lease_expires_at = now(), crashes = 2";
        stage.fixture.execute(over, &[]).await;
        let sexton = Session::open(&stage.fixture).await;
        sexton.says("begin").await;
        assert_eq!(lease::bury(&sexton.client).await.unwrap().len(), 1);
        let step = fencing(Session::open(&stage.fixture).await, lease.fence());
        step.waits_for(&stage.fixture, sexton.pid).await;
        sexton
            .says(if commits { "commit" } else { "rollback" })
            .await;
        assert_eq!(step.ends().await.1, !commits);
    }
}

#[tokio::test]
async fn a_request_to_stop_ends_no_lease_and_so_waits_for_no_fence() {
    let (stage, lease) = Stage::with_a_lease().await;
    let fence = lease.fence();
    let mut writer = stage.fixture.client().await;
    let fenced = fence.begin(&mut writer).await.unwrap();
    let asked = job::cancel(&stage.fixture.database, stage.id).await;
    assert_eq!(asked.unwrap(), CancelOutcome::Requested);
    fenced.commit().await.unwrap();
    assert!(matches!(
        stage.fixture.settle(lease.complete(done())).await,
        Settled::Applied { .. }
    ));
}

#[tokio::test]
async fn a_writer_that_froze_inside_its_fence_is_cut_off_and_its_job_taken() {
    let (stage, stale) = Stage::with_a_stale_lease().await;
    let fence = stale.fence();
    let mut writer = stage.fixture.client().await;
    let fenced = fence.begin(&mut writer).await.unwrap();
    let statements = fenced.statements();
    let write = "insert into effect values ($1, $2)";
    let token = stale.key().token.get();
    let repo = stage.repo.as_uuid();
    statements.execute(write, &[&repo, &token]).await.unwrap();
    let limit = "show idle_in_transaction_session_timeout";
    let row = statements.query_one(limit, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "5s");
    let sooner = "set local idle_in_transaction_session_timeout = '200ms'";
    statements.batch_execute(sooner).await.unwrap();

    // The writer sends nothing more, as if its process were stopped.
    let deadline = Instant::now() + Duration::from_secs(60);
    let two = owner("two");
    while stage.fixture.reclaim(&two, Lane::Fetch, 1).await.is_empty() {
        assert!(Instant::now() < deadline, "the frozen writer keeps its job");
        tokio::task::yield_now().await;
    }
    let late = fenced.commit().await.unwrap_err();
    assert!(matches!(late, FenceError::Database(_)), "{late}");
    assert_eq!(stage.effect().await, None);
}

#[tokio::test]
async fn a_batch_is_locked_in_the_order_of_ids_whatever_its_own_order() {
    let (stage, first) = Stage::with_a_lease().await;
    let repo = stage.fixture.repository("b").await;
    stage
        .fixture
        .enqueue(repo, &crate::fixture::FETCH, "")
        .await;
    let second = stage.fixture.claim_one(&owner("one"), Lane::Fetch).await;
    let mut keys = [first.job().id.as_uuid(), second.job().id.as_uuid()];
    keys.sort_unstable();
    // Somebody holds the first row, so a settlement waits for it before it locks the second.
    let holder = Session::open(&stage.fixture).await;
    holder.says("begin").await;
    let lock = "select from leasectl.job where id = $1 for update";
    holder.rows(lock, &[&keys[0]]).await;
    let mut batch = [second.complete(done()), first.complete(done())];
    batch.sort_unstable_by_key(|settlement| std::cmp::Reverse(settlement.key()));
    let step = Session::open(&stage.fixture)
        .await
        .starts(move |client| async move {
            let settled = lease::settle(&client, &batch).await.unwrap();
            (client, settled)
        });
    step.waits_for(&stage.fixture, holder.pid).await;
    let free = "select from leasectl.job where id = $1 for update nowait";
    assert_eq!(holder.rows(free, &[&keys[1]]).await.len(), 1);
    holder.says("rollback").await;
    let settled = step.ends().await.1;
    assert!(settled.iter().all(|s| matches!(s, Settled::Applied { .. })));
}
