//! What the diagnostics of a repository say of its changes.

use leasectl_core::changes::{self, Due, Mode, Outcome};
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::repository::{ChangeStatus, change_status};
use leasectl_remote::RepoName;

use crate::fixture::{done, urgent};
use crate::world::{MAIN, World, entries, failure, odd_ones_merged, oid};

impl World {
    async fn status(&self) -> ChangeStatus {
        let name: RepoName = "team/a".parse().unwrap();
        let status = change_status(&self.fixture.database, &name).await;
        status.unwrap().unwrap()
    }

    async fn open(&self) -> [Option<i64>; 4] {
        let status = self.status().await;
        [
            status.open_pr_total,
            status.open_pr_current,
            status.open_pr_stale,
            status.open_pr_missing,
        ]
    }
}

fn fourth_fails(due: &Due) -> Outcome {
    if due.key.number == 4 {
        failure()
    } else {
        odd_ones_merged(due)
    }
}

#[tokio::test]
async fn nothing_is_known_before_a_fetch_and_a_word() {
    let world = World::new().await;
    let status = world.status().await;
    assert_eq!(world.open().await, [None; 4]);
    assert_eq!(status.backfill_mode, None);
    assert_eq!(status.backfill_priority, None);
    assert_eq!(status.last_backfill_started_at, None);
    assert_eq!(status.open_pr_cursor_number, None);
    world.fetch(MAIN, &[]).await;
    assert_eq!(world.open().await, [Some(0); 4]);
}

#[tokio::test]
async fn open_changes_are_counted_by_where_they_stand() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(6)).await;
    assert_eq!(world.open().await, [Some(6), Some(0), Some(0), Some(6)]);
    world.run(Mode::OpenOnly, fourth_fails).await;
    assert_eq!(world.open().await, [Some(3), Some(2), Some(0), Some(1)]);
    let mut next = entries(6);
    next[1].head = oid(77);
    world.fetch(MAIN, &next).await;
    assert_eq!(world.open().await, [Some(3), Some(1), Some(1), Some(1)]);
}

#[tokio::test]
async fn the_pass_and_the_word_are_shown() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(6)).await;
    let database = &world.fixture.database;
    changes::set_mode(database, world.repo, Mode::OpenAndRecent, urgent(-3))
        .await
        .unwrap();
    let status = world.status().await;
    assert_eq!(status.backfill_mode.as_deref(), Some("open_and_recent"));
    assert_eq!(status.backfill_priority, Some(-3));

    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let mut due = world.due(&pass).await;
    due.truncate(2);
    world.record(&lease, &pass, due, odd_ones_merged).await;
    let status = world.status().await;
    assert!(status.backfill_in_progress);
    assert!(status.last_backfill_started_at.is_some());
    assert_eq!(status.last_backfill_finished_at, None);
    assert_eq!(status.last_open_pr_scan_at, None);
    assert_eq!(status.open_pr_cursor_number, Some(2));
    assert!(status.open_pr_cursor_updated_at.is_some());

    let _none = world.finish(&lease, &pass).await;
    world.fixture.settle(lease.complete(done())).await;
    let status = world.status().await;
    assert!(status.last_backfill_finished_at >= status.last_backfill_started_at);
    assert_eq!(
        status.last_open_pr_scan_at,
        status.last_backfill_finished_at
    );
    assert_eq!(status.open_pr_cursor_number, Some(6));
}

#[tokio::test]
async fn why_a_backfill_failed_is_shown_until_one_succeeds() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(2)).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let broken = JobError::permanent(ErrorCode::CloneCorrupt, "broken");
    world.fixture.settle(lease.fail(broken.clone())).await;
    assert_eq!(world.status().await.last_error, Some(broken));
    world.run(Mode::OpenOnly, odd_ones_merged).await;
    assert_eq!(world.status().await.last_error, None);
}
