//! What branches cost: as much as they differ.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::fixture::Fixture;
use crate::indexer::Indexer;
use crate::tree::{Dir, tree};

const FILES: u64 = 2_300;
const CHANGED: u64 = 23;
const BRANCHES: u64 = 40;

/// Bytes of the index by table, with indexes and what is stored out of line.
async fn sizes(fixture: &Fixture) -> BTreeMap<String, i64> {
    let sql = "select c.relname::text, pg_total_relation_size(c.oid) from pg_class c \
                where c.relnamespace = 'leasectl'::regnamespace and c.relkind = 'r' and c.relname like 'index\\_%'";
    let rows = fixture.client().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn branches_cost_as_much_as_they_differ() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let files = Dir::generated(FILES);
    let start = Instant::now();
    indexer
        .index("refs/heads/main", &tree(&files))
        .await
        .unwrap();
    let first = start.elapsed();
    let before = sizes(&fixture).await;
    let paths: Vec<&String> = files.keys().collect();
    let start = Instant::now();
    for branch in 0..BRANCHES {
        let mut changed = files.clone();
        for n in 0..CHANGED {
            let picked = (branch * 41 + n * 97) % FILES;
            let path = paths[usize::try_from(picked).unwrap()];
            changed.insert(path.clone(), 1_000_000 + branch * CHANGED + n);
        }
        indexer
            .index(&format!("refs/heads/b{branch}"), &tree(&changed))
            .await
            .unwrap();
    }
    let each = start.elapsed() / u32::try_from(BRANCHES).unwrap();
    let after = sizes(&fixture).await;

    let source = FILES * 9_000;
    let share = |bytes: i64| bytes * 1_000 / i64::try_from(source).unwrap();
    let total: i64 = before.values().sum();
    let grown: i64 = after.values().sum::<i64>() - total;
    let per_branch = grown / i64::try_from(BRANCHES).unwrap();
    for (table, bytes) in &before {
        let more = (after[table] - bytes) / i64::try_from(BRANCHES).unwrap();
        eprintln!(
            "{table}: {bytes} bytes, {} per mille of the source; {more} for each branch",
            share(*bytes)
        );
    }
    eprintln!(
        "first {first:?}, then {each:?} and {per_branch} bytes for each of {BRANCHES} branches"
    );
    let vectors = i64::try_from(FILES).unwrap() * 1_200;
    assert!(
        before["index_text"] * 100 < vectors * 122,
        "a vector is stored with much around it"
    );
    assert!(share(before["index_tags"]) <= 100);
    // The payloads of 23 of 2,300 files are 1 % of all; directories above them come on top.
    assert!(per_branch < total / 25, "{per_branch} of {total}");
    assert_eq!(
        indexer.read,
        usize::try_from(FILES + CHANGED * BRANCHES).unwrap()
    );
}
