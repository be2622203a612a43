//! What a fetch saw replaces what the one before saw, at once.

use std::time::{Duration, Instant};

use leasectl_core::changes::{self, Begun, ChangeKey, Family, InventoryEntry, Mode};
use leasectl_core::kind::Lane;
use leasectl_core::repository::{self, RemoveOutcome};

use crate::fixture::{FETCH, done};
use crate::world::{MAIN, World, entries, entry, oid, open_change};

const CHANGES: &str = "select count(*) from leasectl.change";

#[tokio::test]
async fn an_inventory_says_how_it_differs_from_the_one_before() {
    let world = World::new().await;
    let (first, _) = world.fetch(MAIN, &entries(5)).await;
    assert_eq!((first.generation, first.created), (1, 5));
    assert!(first.has_changed() && first.default_moved);

    let mut next = entries(4);
    next[0].head = oid(77);
    next[1].test_merge = Some(oid(78));
    next.push(entry(9, 9));
    let (second, _) = world.fetch(MAIN, &next).await;
    assert_eq!(second.generation, 2);
    assert_eq!(
        (
            second.created,
            second.moved,
            second.retested,
            second.deleted
        ),
        (1, 1, 1, 1)
    );
    assert!(!second.default_moved);
    let (third, _) = world.fetch(MAIN + 1, &next).await;
    assert!(third.default_moved && third.has_changed() && third.created == 0);
    assert_eq!(world.fixture.count(CHANGES).await, 5);
}

#[tokio::test]
async fn the_same_inventory_writes_nothing() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(20)).await;
    let before = world.versions().await;
    let (same, _) = world.fetch(MAIN, &entries(20)).await;
    assert!(!same.has_changed());
    assert_eq!(same.generation, 1);
    assert_eq!(world.versions().await, before);
}

#[tokio::test]
async fn a_repository_without_a_commit_has_a_pass_follow_its_first_fetch_too() {
    let world = World::new().await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    assert_eq!(
        world.begin(&lease, Mode::OpenOnly).await,
        Begun::NeverFetched
    );
    world.fixture.settle(lease.complete(done())).await;
    let (first, follows) = world.fetch_empty().await;
    assert!(first.has_changed() && follows.len() == 1);
    let (again, follows) = world.fetch_empty().await;
    assert!(!again.has_changed() && follows.is_empty());
}

#[tokio::test]
async fn a_repository_without_changes_has_an_inventory_too() {
    let world = World::new().await;
    let (empty, _) = world.fetch(MAIN, &[]).await;
    assert_eq!(empty.generation, 1);
    let before = world.versions().await;
    let (again, _) = world.fetch(MAIN, &[]).await;
    assert_eq!((again.generation, again.has_changed()), (1, false));
    assert_eq!(world.versions().await, before);
}

#[tokio::test]
async fn an_inventory_that_does_not_commit_leaves_the_one_before() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    let before = world.versions().await;
    world.fixture.enqueue(world.repo, &FETCH, "").await;
    let lease = world.claim("fetcher", Lane::Fetch, FETCH.name).await;
    let fence = lease.fence();
    let mut client = world.fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    changes::record_inventory(&fenced, world.repo, None, &[entry(1, 99)])
        .await
        .unwrap();
    drop(fenced);
    assert_eq!(world.versions().await, before);
    world.fixture.settle(lease.complete(done())).await;
}

#[tokio::test]
async fn when_a_head_moved_is_unknown_until_a_fetch_has_seen_it_move() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(2)).await;
    let moved = "select count(*) from leasectl.change where head_moved_at is not null";
    assert_eq!(world.fixture.count(moved).await, 0);
    let mut next = entries(2);
    next[1].head = oid(77);
    world.fetch(MAIN, &next).await;
    assert_eq!(world.fixture.count(moved).await, 1);
    // A test merge moves with the target, not with the change.
    next[0].test_merge = Some(oid(78));
    world.fetch(MAIN, &next).await;
    assert_eq!(world.fixture.count(moved).await, 1);
}

#[tokio::test]
async fn a_change_that_is_gone_takes_all_that_is_known_of_it_along() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    world.run(Mode::OpenOnly, open_change).await;
    world.fetch(MAIN, &entries(1)).await;
    for table in ["change", "change_snapshot", "change_file"] {
        let count = format!("select count(*) from leasectl.{table}");
        assert_eq!(world.fixture.count(&count).await, 1, "{table}");
    }
    // Made anew, it is another change of which nothing is known.
    world.fetch(MAIN, &entries(2)).await;
    assert_eq!(world.freshness().await, ["current", "missing"]);
}

#[tokio::test]
async fn families_have_numbers_of_their_own() {
    let world = World::new().await;
    let other = InventoryEntry {
        key: ChangeKey {
            family: Family::Gerrit,
            number: 1,
        },
        reference: "refs/changes/01/1/3".to_owned(),
        ..entry(1, 50)
    };
    world.fetch(MAIN, &[entry(1, 1), other]).await;
    assert_eq!(world.fixture.count(CHANGES).await, 2);
}

#[tokio::test]
async fn a_repository_that_is_removed_takes_its_changes_along() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(3)).await;
    world.run(Mode::FullHistory, open_change).await;
    let removed = repository::remove(&world.fixture.database, world.repo).await;
    assert_eq!(removed.unwrap(), RemoveOutcome::Removed);
    for table in ["change", "change_file", "change_inventory", "backfill"] {
        let count = format!("select count(*) from leasectl.{table}");
        assert_eq!(world.fixture.count(&count).await, 0, "{table}");
    }
}

#[tokio::test]
async fn ten_thousand_changes_are_replaced_within_a_second() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(10_000)).await;
    let mut next = entries(10_000);
    next.iter_mut().for_each(|entry| entry.head = oid(77));
    let start = Instant::now();
    world.fetch(MAIN, &next).await;
    let moved = start.elapsed();
    let start = Instant::now();
    world.fetch(MAIN, &next).await;
    let same = start.elapsed();
    let start = Instant::now();
    world.fetch(MAIN, &[]).await;
    let gone = start.elapsed();
    eprintln!("10,000 changes: moved in {moved:?}, the same in {same:?}, gone in {gone:?}");
    assert!(same < Duration::from_secs(2), "{same:?}");
    assert!(
        moved.max(gone) < Duration::from_secs(10),
        "{moved:?} {gone:?}"
    );
}
