//! The commits of the default branch.

use leasectl_core::changes::{self, FileStatus, HistoryCommit, HistoryFile, Mode, Pass};
use leasectl_core::lease::Lease;

use crate::fixture::done;
use crate::world::{MAIN, World, commit, oid};

fn recorded(number: u64) -> HistoryCommit {
    HistoryCommit {
        commit: commit(number),
        files: vec![HistoryFile {
            path: format!("file{number}"),
            old_path: None,
            status: FileStatus::Added,
            additions: Some(3),
            deletions: None,
        }],
        limits: vec!["files", "hunks"],
    }
}

impl World {
    async fn record_history(&self, lease: &Lease, pass: &Pass, commits: &[u64]) {
        let commits: Vec<_> = commits.iter().map(|&number| recorded(number)).collect();
        let fence = lease.fence();
        let mut client = self.fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        changes::record_history(&fenced, pass, &commits)
            .await
            .unwrap();
        fenced.commit().await.unwrap();
    }

    async fn finish_history(&self, lease: &Lease, pass: &Pass) -> bool {
        let fence = lease.fence();
        let mut client = self.fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        let done = changes::finish_history(&fenced, pass).await.unwrap();
        fenced.commit().await.unwrap();
        done
    }

    async fn known(&self, pass: &Pass) -> usize {
        let client = self.fixture.client().await;
        let known = changes::known_history(&client, pass).await.unwrap();
        known.len()
    }

    async fn commits(&self) -> Vec<String> {
        let files = "select path from leasectl.commit_files order by path";
        self.texts(files).await
    }
}

#[tokio::test]
async fn a_walk_that_was_cut_short_goes_on_with_what_is_not_recorded() {
    let world = World::new().await;
    world.fetch(MAIN, &[]).await;
    let lease = world.backfill("me", Mode::FullHistory).await;
    let pass = world.pass(&lease, Mode::FullHistory).await;
    assert_eq!(pass.history_head, None);
    world.record_history(&lease, &pass, &[1, 2, 2]).await;
    world.fixture.settle(lease.complete(done())).await;

    let lease = world.backfill("me", Mode::FullHistory).await;
    let pass = world.pass(&lease, Mode::FullHistory).await;
    assert_eq!(world.known(&pass).await, 2);
    // One of them comes again, since the answer to its commit was lost.
    world.record_history(&lease, &pass, &[2, 3]).await;
    assert!(world.finish_history(&lease, &pass).await);
    assert_eq!(world.commits().await, ["file1", "file2", "file3"]);
    assert_eq!(world.counts().await.commits, 3);
    let shown = world
        .texts("select author_name || array_to_string(limits, '+') || cardinality(parents) from leasectl.commits limit 1")
        .await;
    assert_eq!(shown, ["Ann\u{fffd}files+hunks2"]);
    world.fixture.settle(lease.complete(done())).await;
    let lease = world.backfill("me", Mode::FullHistory).await;
    let pass = world.pass(&lease, Mode::FullHistory).await;
    assert_eq!(pass.history_head, Some(oid(MAIN)));
}

#[tokio::test]
async fn after_a_rewrite_the_branch_is_walked_anew_and_what_is_gone_is_forgotten() {
    let world = World::new().await;
    world.fetch(MAIN, &[]).await;
    let lease = world.backfill("me", Mode::FullHistory).await;
    let pass = world.pass(&lease, Mode::FullHistory).await;
    let all: Vec<u64> = (0..1_500).collect();
    world.record_history(&lease, &pass, &all).await;
    assert!(world.finish_history(&lease, &pass).await);

    let fence = lease.fence();
    let mut client = world.fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let pass = changes::confirm_default(&fenced, pass, true).await.unwrap();
    fenced.commit().await.unwrap();
    drop(client);
    assert_eq!((pass.epoch, pass.history_head), (1, None));
    assert_eq!(world.known(&pass).await, 0);
    world.record_history(&lease, &pass, &[7, 2_000]).await;
    assert_eq!(world.known(&pass).await, 2);
    assert!(!world.finish_history(&lease, &pass).await);
    assert!(world.finish_history(&lease, &pass).await);
    assert_eq!(world.commits().await, ["file2000", "file7"]);
}
