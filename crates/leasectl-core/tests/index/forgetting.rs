//! Branches that are gone take what the index shows of them along.

use std::time::Duration;

use leasectl_core::ids::RepoId;
use leasectl_core::index::{self, CollectCursor, Collected};
use leasectl_core::kind::Lane;
use leasectl_core::repository::{self, FetchRecord};

use crate::fixture::{FETCH, Fixture, done, owner};
use crate::indexer::Indexer;
use crate::tree::Dir;

/// A fetch that found these branches, all with the same head.
async fn fetch(fixture: &Fixture, repo: RepoId, branches: &[&str]) {
    fixture.enqueue(repo, &FETCH, "").await;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let head = || "a".repeat(40);
    let record = FetchRecord {
        is_whole: true,
        branches: branches.iter().map(|n| ((*n).to_owned(), head())).collect(),
        default_branch: Some("main".to_owned()),
        head: Some(head()),
        changed: false,
    };
    repository::record_fetch(&fenced, repo, &record)
        .await
        .unwrap();
    fenced.commit().await.unwrap();
    drop(client);
    fixture.settle(lease.complete(done())).await;
}

/// The refs that answer, in their order.
async fn refs(fixture: &Fixture, repo: RepoId) -> Vec<String> {
    let client = fixture.client().await;
    let asked = "select ref from leasectl.index_ref where repo_id = $1 order by ref";
    let rows = client.query(asked, &[&repo.as_uuid()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn collect(fixture: &Fixture) -> Collected {
    let all = index::collect(
        &fixture.database,
        Duration::ZERO,
        1_000,
        CollectCursor::default(),
    );
    all.await.unwrap().0
}

#[tokio::test]
async fn a_branch_that_a_fetch_forgets_leaves_the_index_and_its_tree_is_collected() {
    let fixture = Fixture::new().await;
    let (repo, other) = (fixture.repository("a").await, fixture.repository("b").await);
    // Whatever a branch is called: what stands under such a name in the index is not the branch.
    let tricky = ["refs/tags/v1", "refs/notes/x"];
    fetch(&fixture, repo, &["main", "old", tricky[0], tricky[1]]).await;
    fetch(&fixture, other, &["main", "old"]).await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let id = "0123456789012345678901234567890123456789";
    let names = ["main", "old", tricky[0], tricky[1], "never-fetched", id];
    for (name, content) in names.into_iter().zip(1..) {
        let tree = Dir::of([("a.rs", content)]);
        indexer.index(name, &tree).await.unwrap();
    }
    drop(indexer.client);
    fixture.settle(indexer.lease.complete(done())).await;
    let mut elsewhere = Indexer::new(&fixture, other).await;
    elsewhere
        .index("old", &Dir::of([("b.rs", 9)]))
        .await
        .unwrap();
    assert_eq!(collect(&fixture).await.roots, 0);

    fetch(&fixture, repo, &["main"]).await;

    // Also a branch that was indexed and that no fetch ever saw: its index ended after the fetch that missed it.
    let left = [id, "main", tricky[1], tricky[0]];
    assert_eq!(refs(&fixture, repo).await, left);
    assert_eq!(refs(&fixture, other).await, ["old"]);
    let collected = collect(&fixture).await;
    assert_eq!((collected.roots, collected.blobs), (2, 2));
}
