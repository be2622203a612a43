//! Plans at realistic counts: made while the tables were empty, and used with 200,000 entries.

use std::time::{Duration, Instant};

use leasectl_core::database::{Client, Database};
use leasectl_core::index;

use crate::fixture::Fixture;
use crate::indexer::Indexer;
use crate::tree::{self, Dir, tree};

const MAIN: &str = "refs/heads/main";

/// 200,000 entries in 12,500 directories of no tree, 100,000 blobs, and their payloads.
const FILL: &str = "
    set session_replication_role = replica;
    insert into leasectl.index_blob (domain_id, oid, bytes)
    select d.id, substr(sha256(n::text::bytea), 1, 20), 9000
      from leasectl.index_domain d cross join generate_series(1, 100000) n;
    insert into leasectl.index_text (blob_id, extractor_id, lines, vector)
    select b.id, e.id, 300, 'x' from leasectl.index_blob b cross join leasectl.index_extractor e
     where e.name = 'trigram' on conflict do nothing;
    insert into leasectl.index_tags (blob_id, extractor_id, symbol_count, symbols)
    select b.id, e.id, 1, 'f1  x' from leasectl.index_blob b cross join leasectl.index_extractor e
     where e.name = 'tags.rust' on conflict do nothing;
    insert into leasectl.index_dir (domain_id, ruleset_id, oid, context, file_names, file_blobs, file_treatments,
                                    dir_names, dir_ids, paths_below, files_below, bytes_below, symbols_below)
    select m.id, r.id, substr(sha256(('dir' || n)::bytea), 1, 20), '', f.names, f.blobs,
           array_fill(t.id, array[16]), '', '{}', 16, 16, 0, 0
      from leasectl.index_domain m cross join leasectl.index_ruleset r cross join leasectl.index_treatment t
     cross join generate_series(1, 12500) n
     cross join lateral (select string_agg('f' || k, '/') as names, array_agg((n * 16 + k) % 100000 + 1) as blobs
                           from generate_series(1, 16) k where n > 0) f;
    set session_replication_role = origin";

/// Rows that the sessions of this transaction read, without an index and with one.
async fn rows_read(database: &Database) -> (i64, i64) {
    let read = "select coalesce(sum(seq_tup_read), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint \
                  from pg_stat_xact_user_tables where schemaname = 'leasectl' and relname like 'index\\_%'";
    let row = database
        .client()
        .await
        .unwrap()
        .query_one(read, &[])
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn no_plan_reads_all_of_a_table_that_was_empty_when_it_was_made() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let session = fixture.database.dedicated("plans").unwrap();
    let mut indexer = Indexer::new(&fixture, repo).await;
    indexer.client = session.client().await.unwrap();
    for round in 0..6 {
        indexer
            .index(MAIN, &Dir::of([("a/x.rs", 50_000 + round)]))
            .await
            .unwrap();
    }
    fixture.client().await.batch_execute(FILL).await.unwrap();

    let files = Dir::generated(64);
    let whole = tree(&files);
    let server = "select current_setting('server_version_num')::bigint";
    if fixture.count(server).await < 150_000 {
        eprintln!("SKIPPED: a server before 15 cannot be asked to publish its statistics");
        return;
    }
    let before = read_so_far(&indexer.client).await;
    let state = indexer.index(MAIN, &whole).await.unwrap();
    let (client, root) = (&indexer.client, state.root.dir);
    index::files(client, root).await.unwrap();
    index::symbols_named(client, root, "x").await.unwrap();
    let blobs: Vec<_> = (0..64).map(tree::blob).collect();
    index::known_blobs(client, &indexer.scope, &blobs)
        .await
        .unwrap();
    let read = read_so_far(client).await - before;
    assert!(
        (500..20_000).contains(&read),
        "{read} rows were read for 64 files"
    );
}

/// Rows of the index that sessions have read; those of this session are published first.
async fn read_so_far(client: &Client) -> i64 {
    let publish = "select pg_stat_force_next_flush()";
    client.batch_execute(publish).await.unwrap();
    let read = "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint from pg_stat_user_tables \
                 where schemaname = 'leasectl' and relname like 'index\\_%'";
    client.query_one(read, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_view_walks_the_tree_of_the_ref_that_is_asked_for_and_no_other() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    for branch in 0..50 {
        let mut files = Dir::generated(32);
        files.insert("new.rs".to_owned(), 70_000 + branch);
        indexer
            .index(&format!("refs/heads/b{branch}"), &tree(&files))
            .await
            .unwrap();
    }
    fixture.client().await.batch_execute(FILL).await.unwrap();
    let session = fixture.database.dedicated("view").unwrap();
    let client = session.client().await.unwrap();
    // A session of anybody, with the planner's own mind.
    client
        .batch_execute("reset enable_seqscan; reset plan_cache_mode; begin")
        .await
        .unwrap();
    drop(client);
    for (view, rows) in [
        ("index_files", 33),
        ("index_symbols", 33 * 16),
        ("index_imports", 33 * 4),
    ] {
        let (sequential, indexed) = rows_read(&session).await;
        let sql =
            format!("select * from leasectl.{view} where repo_id = $1 and ref = 'refs/heads/b7'");
        let found = session
            .client()
            .await
            .unwrap()
            .query(&sql, &[&repo.as_uuid()])
            .await
            .unwrap();
        assert_eq!(found.len(), rows, "{view}");
        let (sequential_after, indexed_after) = rows_read(&session).await;
        let walked = sequential_after - sequential + indexed_after - indexed;
        assert!(walked < 500, "{view} read {walked} rows");
    }
}

#[tokio::test]
async fn a_tree_that_is_known_is_found_in_a_few_rows() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let whole = tree(&Dir::generated(32));
    indexer.index(MAIN, &whole).await.unwrap();
    fixture.client().await.batch_execute(FILL).await.unwrap();
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        let root = index::known_root(&indexer.client, &indexer.scope, whole.oid)
            .await
            .unwrap();
        assert!(root.is_some());
        indexer.index(MAIN, &whole).await.unwrap();
        quickest = quickest.min(start.elapsed());
    }
    eprintln!("a known tree is published in {quickest:?}");
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
}
