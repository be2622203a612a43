//! Runs: alone, side by side, interrupted, and without their lease.

use std::collections::HashMap;
use std::time::Duration;

use leasectl_core::index::{self, Extractor, IndexError, NewRef};
use leasectl_core::kind::Lane;
use leasectl_core::lease::FenceError;

use crate::fixture::{Fixture, done, owner};
use crate::indexer::{FIRST, Indexer, Until};
use crate::tree::{self, Dir, tree};

const MAIN: &str = "refs/heads/main";

/// Rows of everything that a run writes.
pub(crate) const ROWS: &str = "
    select (select count(*) from leasectl.index_blob) + (select count(*) from leasectl.index_text)
         + (select count(*) from leasectl.index_tags) + (select count(*) from leasectl.index_dir)
         + (select count(*) from leasectl.index_links) + (select count(*) from leasectl.index_root)
         + (select count(*) from leasectl.index_ref)";

#[tokio::test]
async fn a_tree_that_was_seen_before_costs_no_blob_and_no_row() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let whole = tree(&Dir::generated(300));
    let first = indexer.index(MAIN, &whole).await.unwrap();
    assert_eq!(indexer.read, 300);
    assert_eq!(
        (first.root.files, first.root.blobs, first.root.symbols),
        (300, 300, 300 * 16)
    );
    assert_eq!(first.root.bytes, 300 * 9_000);
    let rows = fixture.count(ROWS).await;

    let second = indexer.index("refs/heads/other", &whole).await.unwrap();
    assert_eq!(second.root, first.root);
    assert_eq!(indexer.read, 300);
    assert_eq!(fixture.count(ROWS).await, rows + 1, "only the ref is new");
}

#[tokio::test]
async fn another_repository_with_the_same_content_reads_nothing() {
    let fixture = Fixture::new().await;
    let (one, fork) = (
        fixture.repository("a").await,
        fixture.repository("fork").await,
    );
    let mut files = Dir::generated(200);
    Indexer::new(&fixture, one)
        .await
        .index(MAIN, &tree(&files))
        .await
        .unwrap();
    let mut indexer = Indexer::new(&fixture, fork).await;
    files.insert("part0/new.rs".to_owned(), 7);
    files.insert("README.rs".to_owned(), 9_999);
    indexer.index(MAIN, &tree(&files)).await.unwrap();
    assert_eq!(
        indexer.read, 1,
        "the copy of a known content is not read either"
    );
}

#[tokio::test]
async fn a_new_version_of_the_resolver_resolves_anew_and_extracts_nothing() {
    const FILE: &str = "part0/group0/file0.rs";
    let release = |version| {
        let resolver = Extractor {
            name: "resolver",
            version,
        };
        [FIRST[0], FIRST[1], resolver]
    };
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let whole = tree(&Dir::generated(40));
    let elsewhere = format!(
        "select count(*) from leasectl.index_imports where resolved_path is distinct from '{FILE}'"
    );
    let mut first = Indexer::with(&fixture, repo, &release(1)).await;
    let before = first.index(MAIN, &whole).await.unwrap();
    assert!(fixture.count(&elsewhere).await > 0);
    let payloads = "select (select count(*) from leasectl.index_text) + (select count(*) from leasectl.index_tags)";
    let stored = fixture.count(payloads).await;
    drop(first.client);
    fixture.settle(first.lease.complete(done())).await;

    let mut second = Indexer::with(&fixture, repo, &release(2)).await;
    second.leads_to = Some(FILE);
    let after = second.index(MAIN, &whole).await.unwrap();

    assert_ne!(after.root.links, before.root.links);
    assert_eq!(fixture.count(&elsewhere).await, 0);
    assert_eq!((second.read, fixture.count(payloads).await), (0, stored));
}

#[tokio::test]
async fn two_indexers_of_overlapping_trees_hide_nothing_from_each_other() {
    let fixture = Fixture::new().await;
    let mut runs = tokio::task::JoinSet::new();
    for number in 0..4_u64 {
        let repo = fixture.repository(&format!("r{number}")).await;
        let mut indexer = Indexer::new(&fixture, repo).await;
        let mut files = Dir::generated(400);
        for changed in 0..40 {
            let path = format!("part{}/group1/file{}.rs", changed % 2, changed % 16);
            files.insert(path, 1_000_000 * (number % 2 + 1) + changed);
        }
        runs.spawn(async move {
            let whole = tree(&files);
            let state = indexer.index(MAIN, &whole).await.unwrap();
            (repo, whole, state, indexer)
        });
    }
    while let Some(run) = runs.join_next().await {
        let (_, whole, state, indexer) = run.unwrap();
        let found = index::files(&indexer.client, state.root.dir).await.unwrap();
        let found: Vec<_> = found
            .into_iter()
            .map(|file| (file.path, file.oid))
            .collect();
        let expected = whole
            .paths()
            .into_iter()
            .map(|(path, c)| (path, tree::blob(c)));
        let mut expected: Vec<_> = expected.collect();
        let mut sorted = found;
        sorted.sort();
        expected.sort();
        assert_eq!(sorted, expected);
    }
    let twice = "select count(*) from (select oid from leasectl.index_blob group by oid having count(*) > 1) d";
    assert_eq!(fixture.count(twice).await, 0);
}

#[tokio::test]
async fn a_killed_run_is_invisible_and_is_resumed() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let whole = tree(&Dir::generated(300));
    let mut read = 0;
    for until in [
        Until::Blobs(100),
        Until::Levels(0),
        Until::Levels(2),
        Until::Links,
    ] {
        let mut killed = Indexer::new(&fixture, repo).await;
        let nothing = killed.index_until(MAIN, &whole, until).await.unwrap();
        assert!(nothing.is_none());
        read += killed.read;
        let state = index::ref_state(&killed.client, repo, MAIN).await.unwrap();
        assert_eq!(state, None);
        assert_eq!(
            fixture
                .count("select count(*) from leasectl.index_files")
                .await,
            0
        );
        drop(killed.client);
        fixture.settle(killed.lease.complete(done())).await;
    }
    let rows = fixture.count(ROWS).await;
    let mut last = Indexer::new(&fixture, repo).await;
    last.index(MAIN, &whole).await.unwrap();
    assert_eq!((read, last.read), (300, 0), "each blob was read once");
    assert_eq!(
        fixture.count(ROWS).await,
        rows + 2,
        "only the root and the ref are new"
    );
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_files")
            .await,
        300
    );
}

#[tokio::test]
async fn progress_is_durable_with_each_batch() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let durable = "select count(*) from leasectl.job where durable";
    assert_eq!(fixture.count(durable).await, 0);
    let whole = tree(&Dir::generated(20));
    indexer
        .index_until(MAIN, &whole, Until::Blobs(1))
        .await
        .unwrap();
    assert_eq!(fixture.count(durable).await, 1);
}

#[tokio::test]
async fn a_run_that_lost_its_lease_writes_nothing() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let mut stale = Indexer::new(&fixture, repo).await;
    let whole = tree(&Dir::generated(40));
    let known = stale.index("refs/heads/known", &whole).await.unwrap();
    fixture
        .age(stale.lease.job().id, Duration::from_secs(31))
        .await;
    let taken = fixture.reclaim(&owner("two"), Lane::Index, 1).await;
    assert_eq!(taken.len(), 1);
    let rows = fixture.count(ROWS).await;

    let lost = |result: Result<(), IndexError>| {
        assert!(matches!(result, Err(IndexError::LeaseLost)), "{result:?}");
    };
    let blob = stale.extracted(77_777);
    let Indexer {
        client,
        fence,
        scope,
        ..
    } = &mut stale;
    lost(
        index::store_payloads(client, &*fence, scope, &[blob])
            .await
            .map(drop),
    );
    lost(
        index::store_dirs(client, &*fence, scope, &[])
            .await
            .map(drop)
            .and(Err(IndexError::LeaseLost)),
    );
    let empty = index::NewDir {
        oid: tree::commit(5),
        context: index::Context::default(),
        files: Vec::new(),
        dirs: Vec::new(),
    };
    lost(
        index::store_dirs(client, &*fence, scope, &[empty])
            .await
            .map(drop),
    );
    let leads = HashMap::from([(
        "part0/group0/file0.rs".to_owned(),
        vec![Some("x".to_owned())],
    )]);
    lost(
        index::store_links(client, &*fence, scope, known.root.dir, &leads)
            .await
            .map(drop),
    );
    let rule = Extractor {
        name: "trigram",
        version: 9,
    };
    lost(
        index::open_scope(client, &*fence, repo, &[rule])
            .await
            .map(drop),
    );
    assert!(matches!(
        fence.begin(client).await,
        Err(FenceError::LeaseLost)
    ));
    assert_eq!(fixture.count(ROWS).await, rows);
}

#[tokio::test]
async fn a_ref_is_replaced_at_the_commit_and_says_who_did_it() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let (old, new) = (tree(&Dir::generated(20)), tree(&Dir::generated(21)));
    let before = indexer.index(MAIN, &old).await.unwrap();
    let next = indexer.index("refs/heads/next", &new).await.unwrap();

    let Indexer { client, fence, .. } = &mut indexer;
    let fenced = fence.begin(client).await.unwrap();
    let replacing = NewRef {
        repo_id: repo,
        name: MAIN,
        commit: tree::commit(2),
        root: next.root.dir,
        links: None,
    };
    index::publish(&fenced, &replacing).await.unwrap().unwrap();
    let reader = fixture.client().await;
    assert_eq!(
        index::ref_state(&reader, repo, MAIN).await.unwrap(),
        Some(before)
    );
    let token = fenced.token().get();
    fenced.commit().await.unwrap();
    let after = index::ref_state(&reader, repo, MAIN)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((after.root, after.commit), (next.root, tree::commit(2)));
    let stored = "select token from leasectl.index_ref where ref = 'refs/heads/main'";
    assert_eq!(fixture.count(stored).await, token);

    let fenced = fence.begin(client).await.unwrap();
    assert_eq!(
        index::unpublish(&fenced, repo, &[MAIN, "refs/heads/none"])
            .await
            .unwrap(),
        1
    );
    fenced.commit().await.unwrap();
    assert_eq!(index::ref_state(&reader, repo, MAIN).await.unwrap(), None);
}
