//! What the schema refuses, however wrong the code is.

use std::collections::HashMap;

use leasectl_core::index::{self, BlobId, Context, DirId, IndexError, NewBlob, NewDir};
use tokio_postgres::error::SqlState;

use crate::fixture::Fixture;
use crate::indexer::{Indexer, Until};
use crate::tree::{self, Dir};

const MAIN: &str = "refs/heads/main";

async fn refusal(fixture: &Fixture, sql: &str) -> SqlState {
    let refused = fixture.client().await.execute(sql, &[]).await.unwrap_err();
    refused.code().expect("the server refused").clone()
}

#[tokio::test]
async fn payloads_and_directories_are_never_changed() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    indexer
        .index(MAIN, &tree::tree(&Dir::generated(200)))
        .await
        .unwrap();
    for sql in [
        "update leasectl.index_text set lines = 1",
        "update leasectl.index_tags set symbols = 'f1  x'",
        "update leasectl.index_dir set file_blobs = '{}', file_names = '', file_treatments = '{}'",
        "update leasectl.index_links set files = '{}'",
    ] {
        assert_eq!(
            refusal(&fixture, sql).await,
            SqlState::RESTRICT_VIOLATION,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn what_is_named_cannot_be_deleted() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    indexer
        .index(MAIN, &tree::tree(&Dir::generated(200)))
        .await
        .unwrap();
    for sql in [
        "delete from leasectl.index_root",
        "delete from leasectl.index_dir where id = (select min(id) from leasectl.index_dir)",
        "delete from leasectl.index_dir where id = (select max(id) from leasectl.index_dir)",
        "delete from leasectl.index_links where id = (select min(id) from leasectl.index_links)",
        "delete from leasectl.index_links where id = (select max(id) from leasectl.index_links)",
        "delete from leasectl.index_blob where id = (select min(id) from leasectl.index_blob)",
        "delete from leasectl.index_ruleset",
        "delete from leasectl.index_extractor",
        "delete from leasectl.index_domain",
    ] {
        assert_eq!(
            refusal(&fixture, sql).await,
            SqlState::FOREIGN_KEY_VIOLATION,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn a_directory_needs_all_that_it_names_and_every_payload() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let whole = Dir::of([("x.rs", 1)]);
    indexer
        .index_until(MAIN, &whole, Until::Blobs(1))
        .await
        .unwrap();
    let known = index::known_blobs(&indexer.client, &indexer.scope, &[tree::blob(1)])
        .await
        .unwrap();
    let good = known[0].clone().unwrap().id;

    // One without symbols, one without anything.
    let no_tags = NewBlob {
        tags: Vec::new(),
        ..indexer.extracted(2)
    };
    let bare = NewBlob {
        text: None,
        tags: Vec::new(),
        ..indexer.extracted(3)
    };
    let Indexer {
        client,
        fence,
        scope,
        ..
    } = &mut indexer;
    let lacking = index::store_payloads(client, &*fence, scope, &[no_tags, bare])
        .await
        .unwrap();
    let gone = gone_blob(&fixture).await;
    for bad in [lacking[0], lacking[1], gone] {
        let dir = indexer.new_dir(&whole, &HashMap::from([(1, bad)]), &HashMap::new());
        let Indexer {
            client,
            fence,
            scope,
            ..
        } = &mut indexer;
        let refused = index::store_dirs(client, &*fence, scope, &[dir]).await;
        assert!(matches!(refused, Err(IndexError::Gone)), "{refused:?}");
    }
    let dir = indexer.new_dir(&whole, &HashMap::from([(1, good)]), &HashMap::new());
    let id = index::store_dirs(&mut indexer.client, &indexer.fence, &indexer.scope, &[dir])
        .await
        .unwrap()[0];

    let parent = |below: DirId, number| NewDir {
        oid: tree::commit(number),
        context: Context::default(),
        files: Vec::new(),
        dirs: vec![(tree::name("d"), below)],
    };
    let Indexer {
        client,
        fence,
        scope,
        ..
    } = &mut indexer;
    let outer = index::store_dirs(client, &*fence, scope, &[parent(id, 8)])
        .await
        .unwrap();
    fixture
        .execute(
            "delete from leasectl.index_dir where oid = $1",
            &[&tree::commit(8).as_bytes()],
        )
        .await;
    let refused = index::store_dirs(client, &*fence, scope, &[parent(outer[0], 9)]).await;
    assert!(matches!(refused, Err(IndexError::Gone)), "{refused:?}");
}

/// The number of a blob that is not there any more.
async fn gone_blob(fixture: &Fixture) -> BlobId {
    let repo = fixture.repository("gone").await;
    let mut other = Indexer::new(fixture, repo).await;
    other
        .index_until(MAIN, &Dir::of([("z.rs", 4)]), Until::Blobs(1))
        .await
        .unwrap();
    let known = index::known_blobs(&other.client, &other.scope, &[tree::blob(4)])
        .await
        .unwrap();
    let oid = tree::blob(4);
    fixture
        .execute(
            "delete from leasectl.index_blob where oid = $1",
            &[&oid.as_bytes()],
        )
        .await;
    known[0].clone().unwrap().id
}

#[tokio::test]
async fn a_few_directories_that_name_each_other_do_not_stand_for_any_number_of_paths() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let Indexer {
        client,
        fence,
        scope,
        ..
    } = &mut indexer;
    let mut below: Option<DirId> = None;
    for level in 0..10_u64 {
        let dir = NewDir {
            oid: tree::commit(level),
            context: Context::default(),
            files: Vec::new(),
            dirs: below
                .iter()
                .flat_map(|&id| (0..10).map(move |n| (tree::name(&format!("d{n}")), id)))
                .collect(),
        };
        match index::store_dirs(client, &*fence, scope, &[dir]).await {
            Ok(ids) => below = Some(ids[0]),
            Err(IndexError::TreeTooLarge) => {
                assert_eq!(level, 7, "ten million paths");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("a tree of ten thousand million paths was taken");
}
