//! A pass studies what is due, once, whatever happens to who works on it.

use std::time::{Duration, Instant};

use leasectl_core::changes::{self, Begun, Budget, Mode, Outcome, Studied};
use leasectl_core::kind::{BACKFILL, Lane};
use leasectl_core::lease::{self, ClaimRequest, FenceError, Lease};

use crate::fixture::{done, owner};
use crate::world::{MAIN, World, entries, file, oid, open_change, pull, snapshot};

impl World {
    /// Takes the lease of a backfill whose owner fell silent.
    async fn take_over(&self, silent: &Lease, name: &str) -> Lease {
        self.fixture.forget_server_start().await;
        self.fixture
            .age(silent.job().id, Duration::from_secs(31))
            .await;
        let request = ClaimRequest {
            slots: &[(Lane::Backfill, 1)],
            kinds: &[BACKFILL.name],
        };
        let client = self.fixture.client().await;
        let settings = &self.fixture.settings;
        let mut taken = lease::reclaim(&client, &owner(name), settings, &request)
            .await
            .unwrap();
        taken.pop().expect("it is stale").lease
    }
}

#[tokio::test]
async fn a_pass_studies_every_change_once() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(150)).await;
    let studied = world.run(Mode::OpenOnly, open_change).await;
    assert_eq!(studied, (1..=150).collect::<Vec<i64>>());
    let counts = world.counts().await;
    assert_eq!(
        (counts.total, counts.current, counts.missing),
        (150, 150, 0)
    );
}

#[tokio::test]
async fn a_pass_with_nothing_new_writes_nothing_of_changes() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(70)).await;
    world.run(Mode::FullHistory, open_change).await;
    let before = world.versions().await;
    assert!(world.run(Mode::FullHistory, open_change).await.is_empty());
    assert_eq!(world.versions().await, before);
}

#[tokio::test]
async fn without_a_fetch_there_is_nothing_to_begin() {
    let world = World::new().await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    assert_eq!(
        world.begin(&lease, Mode::OpenOnly).await,
        Begun::NeverFetched
    );
    // The word is kept all the same: the fetch has a backfill follow.
    let (_, follows) = world.fetch(MAIN, &entries(1)).await;
    assert_eq!(follows[0].kind, "backfill");
}

#[tokio::test]
async fn a_worker_that_dies_between_batches_costs_the_batch_in_flight_and_no_other() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(100)).await;
    let lease = world.backfill("one", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    assert!(!pass.resumed);
    let due = world.due(&pass).await;
    assert_eq!(due.len(), 64);
    world.record(&lease, &pass, due, open_change).await;
    // The second batch is written, and the process dies before the commit.
    let pass = changes::Pass {
        cursor: Some(pull(64)),
        ..pass
    };
    let studied: Vec<Studied> = world
        .due(&pass)
        .await
        .into_iter()
        .map(|due| Studied {
            outcome: open_change(&due),
            due,
        })
        .collect();
    let fence = lease.fence();
    let mut client = world.fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    changes::record_batch(&fenced, &pass, &studied, pull(100))
        .await
        .unwrap();
    drop(fenced);

    let successor = world.take_over(&lease, "two").await;
    let resumed = world.pass(&successor, Mode::OpenOnly).await;
    assert!(resumed.resumed);
    assert_eq!(resumed.cursor, Some(pull(64)));
    let due = world.due(&resumed).await;
    assert_eq!(due.first().unwrap().key, pull(65));
    world.record(&successor, &resumed, due, open_change).await;
    assert_eq!(world.counts().await.current, 100);
    let files = "select count(*) from leasectl.change_file";
    assert_eq!(world.fixture.count(files).await, 100);
    drop(lease);
}

#[tokio::test]
async fn a_lost_lease_writes_nothing() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    let lost = world.backfill("one", Mode::OpenOnly).await;
    let pass = world.pass(&lost, Mode::OpenOnly).await;
    let fence = lost.fence();
    let _successor = world.take_over(&lost, "two").await;
    let mut client = world.fixture.client().await;
    assert!(matches!(
        fence.begin(&mut client).await,
        Err(FenceError::LeaseLost)
    ));
    assert_eq!(world.due(&pass).await.len(), 3);
}

#[tokio::test]
async fn a_budget_that_is_used_up_has_another_job_go_on_at_the_cursor() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(10)).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let mut due = world.due(&pass).await;
    due.truncate(4);
    world.record(&lease, &pass, due, open_change).await;
    let budget = Budget {
        max_changes: Some(4),
        max_runtime_s: None,
    };
    let fence = lease.fence();
    let mut client = world.fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let next = changes::pause_pass(&fenced, &pass, budget).await.unwrap();
    fenced.commit().await.unwrap();
    drop(client);
    world.fixture.settle(lease.complete(done())).await;
    let job = world.fixture.job(next.unwrap().job_id).await;
    assert_eq!(
        job.args,
        serde_json::json!({"mode": "open_only", "max_changes": 4})
    );
    let next = world.claim("me", Lane::Backfill, BACKFILL.name).await;
    let pass = world.pass(&next, Mode::OpenOnly).await;
    assert_eq!((pass.resumed, pass.cursor), (true, Some(pull(4))));
}

#[tokio::test]
async fn another_mode_begins_a_pass_anew_and_studies_nothing_twice() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(10)).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let mut due = world.due(&pass).await;
    due.truncate(4);
    world.record(&lease, &pass, due, open_change).await;
    world.fixture.settle(lease.complete(done())).await;

    let mut next = entries(10);
    next[0].head = oid(77);
    world.fetch(MAIN, &next).await;
    let studied = world.run(Mode::OpenAndRecent, open_change).await;
    assert_eq!(studied, [1, 5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn a_pass_goes_on_beside_a_newer_inventory_and_another_one_follows() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(10)).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let mut due = world.due(&pass).await;
    due.truncate(4);
    world.record(&lease, &pass, due, open_change).await;
    world.fixture.settle(lease.complete(done())).await;
    let mut next = entries(10);
    next[0].head = oid(77);
    world.fetch(MAIN + 1, &next).await;

    // However often that happens, the last changes have their turn.
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    assert_eq!((pass.resumed, pass.cursor), (true, Some(pull(4))));
    let due = world.due(&pass).await;
    assert_eq!(due.first().map(|due| due.key), Some(pull(5)));
    world.record(&lease, &pass, due, open_change).await;
    let follows = world.finish(&lease, &pass).await.expect("one follows");
    assert_eq!(world.fixture.job(follows.job_id).await.not_before, None);
    world.fixture.settle(lease.complete(done())).await;

    // From the first change on; nothing follows that one.
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    assert_eq!((pass.resumed, pass.cursor), (false, None));
    let due = world.due(&pass).await;
    let numbers: Vec<i64> = due.iter().map(|due| due.key.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    world.record(&lease, &pass, due, open_change).await;
    assert!(world.finish(&lease, &pass).await.is_none());
}

#[tokio::test]
async fn a_change_that_a_fetch_deleted_meanwhile_is_passed_over() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let due = world.due(&pass).await;
    world.fetch(MAIN, &entries(2)).await;
    world.fetch(MAIN, &entries(3)).await;
    let recorded = world.record(&lease, &pass, due, open_change).await;
    assert_eq!((recorded.written, recorded.gone), (2, 1));
    // The one that was made anew is not the one that was studied.
    assert_eq!(world.freshness().await, ["current", "current", "missing"]);
}

#[tokio::test]
async fn a_head_that_moves_while_it_is_studied_is_due_again() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(2)).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let due = world.due(&pass).await;
    let mut next = entries(2);
    next[0].head = oid(77);
    world.fetch(MAIN, &next).await;
    world.record(&lease, &pass, due, open_change).await;
    assert_eq!(world.freshness().await, ["stale_head_changed", "current"]);
    assert!(world.finish(&lease, &pass).await.is_some());
    world.fixture.settle(lease.complete(done())).await;
    assert_eq!(world.run(Mode::OpenOnly, open_change).await, [1]);
}

#[tokio::test]
async fn a_change_that_is_studied_anew_has_only_its_new_files() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(1)).await;
    let two = vec![file("a", &[(1, 1)]), file("b", &[])];
    world
        .run(Mode::OpenOnly, |_| {
            Outcome::Snapshot(Box::new(snapshot(true, two.clone())))
        })
        .await;
    let mut next = entries(1);
    next[0].head = oid(77);
    world.fetch(MAIN, &next).await;
    let one = vec![file("c", &[])];
    world
        .run(Mode::OpenOnly, |_| {
            Outcome::Snapshot(Box::new(snapshot(true, one.clone())))
        })
        .await;
    let paths = world.texts("select path from leasectl.change_files").await;
    assert_eq!(paths, ["c"]);
}

#[tokio::test]
async fn as_many_changes_as_a_large_repository_has_are_written_within_seconds() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(1_150)).await;
    let files: Vec<_> = (0..8)
        .map(|n| {
            file(
                &format!("crates/some/where/file{n}.rs"),
                &[(1, 2), (9, 0), (30, 4)],
            )
        })
        .collect();
    let start = Instant::now();
    let all = world
        .run(Mode::FullHistory, |_| {
            Outcome::Snapshot(Box::new(snapshot(true, files.clone())))
        })
        .await;
    let wrote = start.elapsed();
    assert_eq!(all.len(), 1_150);
    let start = Instant::now();
    assert!(world.run(Mode::FullHistory, open_change).await.is_empty());
    let nothing_new = start.elapsed();

    let mut next = entries(1_150);
    next[700].head = oid(77_777);
    world.fetch(MAIN, &next).await;
    let start = Instant::now();
    assert_eq!(world.run(Mode::FullHistory, open_change).await, [701]);
    let one_moved = start.elapsed();
    eprintln!("1,150 changes in {wrote:?}; nothing new in {nothing_new:?}; one in {one_moved:?}");
    assert!(nothing_new < Duration::from_secs(2), "{nothing_new:?}");
    assert!(wrote < Duration::from_secs(20), "{wrote:?}");
}
