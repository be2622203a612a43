//! Collecting, alone and against runs, in both orders.

use std::time::Duration;

use leasectl_core::index::{self, CollectCursor, Collected, Extractor, IndexError};

use crate::fixture::{Fixture, done};
use crate::indexer::{FIRST, Indexer, Until};
use crate::runs::ROWS;
use crate::tree::{self, Dir, tree};

const MAIN: &str = "refs/heads/main";
const AT_ONCE: Duration = Duration::ZERO;
const DAY: Duration = Duration::from_secs(86_400);

async fn collect(fixture: &Fixture, grace: Duration) -> Collected {
    let (collected, rest) =
        index::collect(&fixture.database, grace, 1_000, CollectCursor::default())
            .await
            .unwrap();
    assert_eq!(rest, None, "the round is complete");
    collected
}

#[tokio::test]
async fn what_no_ref_leads_to_goes_after_its_grace_and_nothing_else() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let mut files = Dir::generated(300);
    indexer.index(MAIN, &tree(&files)).await.unwrap();
    let rows = fixture.count(ROWS).await;
    files.insert("part0/group3/file3.rs".to_owned(), 5_000);
    indexer
        .index("refs/heads/old", &tree(&files))
        .await
        .unwrap();
    assert_eq!(collect(&fixture, AT_ONCE).await.dirs, 0);

    let fenced = indexer.fence.begin(&mut indexer.client).await.unwrap();
    index::unpublish(&fenced, repo, &["refs/heads/old"])
        .await
        .unwrap();
    fenced.commit().await.unwrap();
    let none = collect(&fixture, DAY).await;
    assert_eq!((none.roots, none.dirs, none.blobs), (0, 0, 0));
    let gone = collect(&fixture, AT_ONCE).await;
    assert_eq!((gone.roots, gone.dirs, gone.blobs), (1, 3, 1));
    assert!(gone.links > 0);
    assert_eq!(fixture.count(ROWS).await, rows);
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_files")
            .await,
        300
    );
}

#[tokio::test]
async fn what_comes_back_within_its_grace_stays() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let whole = tree(&Dir::generated(40));
    indexer.index(MAIN, &whole).await.unwrap();
    let rows = fixture.count(ROWS).await;
    let fenced = indexer.fence.begin(&mut indexer.client).await.unwrap();
    index::unpublish(&fenced, repo, &[MAIN]).await.unwrap();
    fenced.commit().await.unwrap();
    collect(&fixture, DAY).await;
    let marked = "select count(*) from leasectl.index_root where orphan_since is not null";
    assert_eq!(fixture.count(marked).await, 1);
    indexer.index(MAIN, &whole).await.unwrap();
    collect(&fixture, DAY).await;
    assert_eq!(fixture.count(marked).await, 0);
    collect(&fixture, AT_ONCE).await;
    assert_eq!((fixture.count(ROWS).await, indexer.read), (rows, 40));
}

#[tokio::test]
async fn a_round_can_be_taken_in_small_parts() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    indexer
        .index_until(MAIN, &tree(&Dir::generated(1_200)), Until::Blobs(1_200))
        .await
        .unwrap();
    let (mut cursor, mut calls, mut blobs) = (Some(CollectCursor::default()), 0, 0);
    while let Some(from) = cursor {
        let (collected, rest) = index::collect(&fixture.database, AT_ONCE, 1, from)
            .await
            .unwrap();
        blobs += collected.blobs;
        cursor = rest;
        calls += 1;
    }
    assert_eq!(blobs, 1_200);
    assert!(calls >= 7, "{calls}");
}

#[tokio::test]
async fn the_collector_passes_over_what_a_run_is_about_to_name() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let whole = tree(&Dir::generated(40));
    indexer
        .index_until(MAIN, &whole, Until::Links)
        .await
        .unwrap();
    // The run stands between its statement and its commit.
    let root = index::known_dirs(
        &indexer.client,
        &indexer.scope,
        &[(whole.oid, index::Context::default())],
    )
    .await
    .unwrap()[0]
        .unwrap();
    let Indexer { client, fence, .. } = &mut indexer;
    let fenced = fence.begin(client).await.unwrap();
    let new = index::NewRef {
        repo_id: repo,
        name: MAIN,
        commit: tree::commit(1),
        root,
        links: None,
    };
    index::publish(&fenced, &new).await.unwrap().unwrap();
    let collected = collect(&fixture, AT_ONCE).await;
    assert_eq!(
        (collected.dirs, collected.blobs),
        (0, 0),
        "nothing of the tree went, and nobody waited"
    );
    fenced.commit().await.unwrap();
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_files")
            .await,
        40
    );
    collect(&fixture, AT_ONCE).await;
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_files")
            .await,
        40
    );
}

#[tokio::test]
async fn a_run_that_names_what_the_collector_takes_waits_for_it_and_looks_again() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let whole = tree(&Dir::generated(40));
    indexer
        .index_until(MAIN, &whole, Until::Levels(1))
        .await
        .unwrap();
    let mut collector = fixture.client().await;
    // The collector stands between its statement and its commit.
    let transaction = collector.transaction().await.unwrap();
    let sql = "select deleted from leasectl.index_collect_dirs(null, 500, interval '0')";
    let deleted: i32 = transaction.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(deleted, 3);

    let other = whole.clone();
    let run = tokio::spawn(async move {
        let mut dirs = std::collections::HashMap::new();
        let mut missing = Vec::new();
        indexer.look(&other, &mut missing, &mut dirs).await.unwrap();
        assert_eq!(
            missing.concat().len(),
            2,
            "the leaves looked as if they were there"
        );
        let part = missing[1][0];
        let new = indexer.new_dir(part, &std::collections::HashMap::new(), &dirs);
        let refused =
            index::store_dirs(&mut indexer.client, &indexer.fence, &indexer.scope, &[new]).await;
        (indexer, refused)
    });
    fixture.until_somebody_waits().await;
    transaction.commit().await.unwrap();
    let (mut indexer, refused) = run.await.unwrap();
    assert!(matches!(refused, Err(IndexError::Gone)), "{refused:?}");
    indexer.index(MAIN, &whole).await.unwrap();
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_files")
            .await,
        40
    );
    assert_eq!(indexer.read, 40, "payloads were within their grace");
}

#[tokio::test]
async fn a_run_that_stores_a_blob_which_the_collector_takes_stores_it_again() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let whole = Dir::of([("x.rs", 1)]);
    indexer
        .index_until(MAIN, &whole, Until::Blobs(1))
        .await
        .unwrap();
    let mut collector = fixture.client().await;
    let transaction = collector.transaction().await.unwrap();
    let sql = "select deleted from leasectl.index_collect_blobs(null, 500, interval '0')";
    assert_eq!(
        transaction
            .query_one(sql, &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        1
    );
    let run = tokio::spawn(async move {
        let blob = indexer.extracted(1);
        index::store_payloads(&mut indexer.client, &indexer.fence, &indexer.scope, &[blob]).await
    });
    fixture.until_somebody_waits().await;
    transaction.commit().await.unwrap();
    run.await.unwrap().unwrap();
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_tags")
            .await,
        1
    );
}

#[tokio::test]
async fn runs_and_a_collector_without_grace_never_leave_a_hole() {
    let fixture = Fixture::new().await;
    let mut runs = tokio::task::JoinSet::new();
    for number in 0..3_u64 {
        let repo = fixture.repository(&format!("r{number}")).await;
        let mut indexer = Indexer::new(&fixture, repo).await;
        runs.spawn(async move {
            for round in 0..8 {
                let mut files = Dir::generated(64);
                files.insert(
                    format!("part0/group{}/file1.rs", round % 4),
                    10_000 + number * 100 + round,
                );
                let whole = tree(&files);
                while let Err(error) = indexer.index(MAIN, &whole).await {
                    assert!(matches!(error, IndexError::Gone), "{error:?}");
                }
            }
        });
    }
    // A collector without any patience: runs lose what they build upon as often as can be, until it stops.
    for _ in 0..40 {
        index::collect(&fixture.database, AT_ONCE, 4, CollectCursor::default())
            .await
            .unwrap();
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_files")
            .await,
        3 * 64
    );
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_symbols")
            .await,
        3 * 64 * 16
    );
    collect(&fixture, AT_ONCE).await;
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_root")
            .await,
        3
    );
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_files")
            .await,
        3 * 64
    );
}

#[tokio::test]
async fn a_retired_extractor_takes_its_payloads_with_it_once_nobody_answers_from_them() {
    const SECOND: [Extractor<'static>; 2] = [
        Extractor {
            name: "tags.rust",
            version: 2,
        },
        FIRST[1],
    ];
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let whole = tree(&Dir::generated(30));
    let mut old = Indexer::new(&fixture, repo).await;
    old.index(MAIN, &whole).await.unwrap();
    drop(old.client);
    fixture.settle(old.lease.complete(done())).await;

    let mut new = Indexer::with(&fixture, repo, &SECOND).await;
    collect(&fixture, AT_ONCE).await;
    let tags = "select count(*) from leasectl.index_tags";
    assert_eq!(
        fixture.count(tags).await,
        30,
        "the ref still answers from the old version"
    );
    // The collector had no grace with the ruleset that no directory has yet.
    new = {
        drop(new.client);
        fixture.settle(new.lease.complete(done())).await;
        Indexer::with(&fixture, repo, &SECOND).await
    };
    new.index(MAIN, &whole).await.unwrap();
    assert_eq!(new.read, 30, "a new version reads again");
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_text")
            .await,
        30,
        "the text is not stored again"
    );
    assert_eq!(fixture.count(tags).await, 60);

    let first = collect(&fixture, AT_ONCE).await;
    assert_eq!((first.roots, first.rulesets), (1, 1));
    let second = collect(&fixture, AT_ONCE).await;
    assert_eq!(second.payloads, 30);
    assert_eq!(fixture.count(tags).await, 30);
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_symbols")
            .await,
        30 * 16
    );
}
