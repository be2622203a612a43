//! A change that fails waits for its time, and holds up no other.

use leasectl_core::changes::{self, ChangeFilter, Due, Freshness, Mode, Outcome};
use leasectl_core::job::{FollowUp, PublicState};

use crate::fixture::done;
use crate::world::{MAIN, World, entries, failure, oid, open_change, snapshot};

/// It is merged, and compared with the head of the default branch.
fn merged_at_the_head(due: &Due) -> Outcome {
    let mut found = snapshot(false, Vec::new());
    found.base = Some(oid(if due.known.is_none() { MAIN } else { MAIN + 1 }));
    Outcome::Snapshot(Box::new(found))
}

/// The second change fails.
fn second_fails(due: &Due) -> Outcome {
    if due.key.number == 2 {
        failure()
    } else {
        open_change(due)
    }
}

const OVER: &str = "update leasectl.change_failure set retry_at = now() where retry_at is not null";
const WAITS: &str =
    "select round(extract(epoch from retry_at - failed_at))::bigint from leasectl.change_failure";

impl World {
    /// Passes in which the second change fails, until it has failed so often.
    async fn fail(&self, times: usize) {
        for _ in 0..times {
            let studied = self.run(Mode::OpenOnly, second_fails).await;
            assert!(studied.contains(&2), "{studied:?}");
            self.fixture.execute(OVER, &[]).await;
        }
    }

    /// A pass that finds nothing to do; answers what follows from it.
    async fn pass_without_work(&self, mode: Mode) -> Option<FollowUp> {
        let lease = self.backfill("me", mode).await;
        let pass = self.pass(&lease, mode).await;
        assert!(self.due(&pass).await.is_empty());
        let follows = self.finish(&lease, &pass).await;
        self.fixture.settle(lease.complete(done())).await;
        follows
    }

    async fn unpark(&self, number: i64) -> bool {
        changes::unpark(&self.fixture.database, self.repo, number, None)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_change_that_fails_is_tried_later_and_the_others_go_on() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    assert_eq!(world.run(Mode::OpenOnly, second_fails).await, [1, 2, 3]);
    assert_eq!(world.freshness().await, ["current", "failed", "current"]);
    assert!(world.run(Mode::OpenOnly, open_change).await.is_empty());
    for seconds in [60, 120, 240, 480] {
        assert_eq!(world.fixture.count(WAITS).await, seconds);
        world.fixture.execute(OVER, &[]).await;
        assert_eq!(world.run(Mode::OpenOnly, second_fails).await, [2]);
    }
    let counts = world.counts().await;
    assert_eq!((counts.failed, counts.parked, counts.current), (1, 1, 2));
}

#[tokio::test]
async fn after_five_tries_it_is_parked_until_somebody_asks() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    world.fail(4).await;
    assert_eq!(world.counts().await.parked, 0);
    world.fail(1).await;
    assert_eq!(world.counts().await.parked, 1);
    assert!(world.run(Mode::FullHistory, open_change).await.is_empty());
    let filter = ChangeFilter {
        parked: true,
        ..ChangeFilter::default()
    };
    let database = &world.fixture.database;
    let parked = changes::list(database, world.repo, &filter, 10, None).await;
    let parked = parked.unwrap().items;
    assert_eq!(parked.len(), 1);
    assert_eq!((parked[0].number, parked[0].tries), (2, 5));
    assert_eq!(parked[0].freshness, Some(Freshness::Failed));
    let error = parked[0].last_error.as_ref().unwrap();
    assert_eq!(error.message, "no such commit");

    assert!(world.unpark(2).await);
    assert!(!world.unpark(2).await && !world.unpark(99).await);
    assert_eq!(world.counts().await.parked, 0);
    assert_eq!(world.run(Mode::OpenOnly, open_change).await, [2]);
    assert_eq!(world.freshness().await, ["current"; 3]);
}

#[tokio::test]
async fn what_somebody_asked_for_behind_the_cursor_is_tried_by_the_job_that_follows() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    world.fail(5).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    assert!(world.due(&pass).await.is_empty());
    assert!(world.unpark(2).await);
    let follows = world.finish(&lease, &pass).await.unwrap();
    world.fixture.settle(lease.complete(done())).await;
    let job = world.fixture.job(follows.job_id).await;
    assert_eq!(job.state, PublicState::Queued);
    // Failing once more is a first time.
    assert_eq!(world.run(Mode::OpenOnly, second_fails).await, [2]);
    assert_eq!(world.fixture.count(WAITS).await, 60);
}

#[tokio::test]
async fn another_head_is_tried_at_once_and_from_the_first() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    world.fail(5).await;
    let mut next = entries(3);
    next[1].head = oid(77);
    world.fetch(MAIN, &next).await;
    assert_eq!(world.freshness().await[1], "missing");
    assert_eq!(world.run(Mode::OpenOnly, second_fails).await, [2]);
    assert_eq!(world.fixture.count(WAITS).await, 60);
    let tries = "select tries::bigint from leasectl.change_failure";
    assert_eq!(world.fixture.count(tries).await, 1);
}

#[tokio::test]
async fn a_failure_that_no_longer_matters_is_not_shown() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    world.run(Mode::OpenOnly, open_change).await;
    world.fetch(MAIN + 1, &entries(3)).await;
    world.run(Mode::OpenOnly, second_fails).await;
    assert_eq!(world.freshness().await, ["current", "failed", "current"]);
    // The branch is where it was when the change was studied.
    world.fetch(MAIN, &entries(3)).await;
    assert_eq!(world.freshness().await[1], "current");
}

#[tokio::test]
async fn what_failed_has_a_job_follow_at_its_time() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let due = world.due(&pass).await;
    world.record(&lease, &pass, due, second_fails).await;
    let follows = world.finish(&lease, &pass).await.unwrap();
    let job = world.fixture.job(follows.job_id).await;
    assert_eq!(job.state, PublicState::Queued);
    let retry = "select retry_at from leasectl.change_failure";
    let client = world.fixture.client().await;
    let retry_at = client.query_one(retry, &[]).await.unwrap().get(0);
    assert_eq!(job.not_before, Some(retry_at));
}

#[tokio::test]
async fn what_failed_and_is_not_to_be_studied_has_no_job_follow() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    // All are merged; the branch moves on, and the second cannot be studied beside its new head.
    world.run(Mode::FullHistory, merged_at_the_head).await;
    world.fetch(MAIN + 1, &entries(3)).await;
    let second_fails = |due: &Due| match due.key.number {
        2 => failure(),
        _ => merged_at_the_head(due),
    };
    assert_eq!(world.run(Mode::FullHistory, second_fails).await, [1, 2, 3]);
    world.fixture.execute(OVER, &[]).await;
    // Merged changes are nothing to this mode, so no pass of it would ever try the second one again.
    let follows = world.pass_without_work(Mode::OpenOnly).await;
    assert!(follows.is_none(), "{follows:?}");

    // Nor is a failure of another head than the one that is there again, and known.
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    world.run(Mode::OpenOnly, open_change).await;
    let mut moved = entries(3);
    moved[1].head = oid(77);
    world.fetch(MAIN, &moved).await;
    assert_eq!(world.run(Mode::OpenOnly, |_| failure()).await, [2]);
    world.fetch(MAIN, &entries(3)).await;
    world.fixture.execute(OVER, &[]).await;
    assert_eq!(world.freshness().await, ["current"; 3]);
    let follows = world.pass_without_work(Mode::OpenOnly).await;
    assert!(follows.is_none(), "{follows:?}");
}
