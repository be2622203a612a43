//! What the views and the readers answer.

use leasectl_core::index::{self, BlobId, NewBlob, TagsPayload};

use crate::fixture::Fixture;
use crate::indexer::Indexer;
use crate::tree::{self, Dir, tree};

const MAIN: &str = "refs/heads/main";

#[tokio::test]
async fn the_views_answer_for_one_ref_of_one_repository() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let whole = Dir::of([
        ("x.rs", 1),
        ("src/part/deep.rs", 2),
        ("part0/group0/file0.rs", 3),
    ]);
    indexer.index(MAIN, &whole).await.unwrap();
    indexer
        .index("refs/heads/less", &Dir::of([("x.rs", 1)]))
        .await
        .unwrap();

    let client = fixture.client().await;
    let files = "select path, blob, language, bytes, lines from leasectl.index_files \
                  where repo_id = $1 and ref = $2 order by path collate \"C\"";
    let rows = client
        .query(files, &[&repo.as_uuid(), &MAIN])
        .await
        .unwrap();
    let paths: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(paths, ["part0/group0/file0.rs", "src/part/deep.rs", "x.rs"]);
    let deep = &rows[1];
    assert_eq!(deep.get::<_, String>(1), tree::blob(2).to_string());
    assert_eq!(deep.get::<_, &str>(2), "rust");
    assert_eq!((deep.get::<_, i64>(3), deep.get::<_, i32>(4)), (9_000, 300));

    let symbols = "select name, kind, line_start, line_end from leasectl.index_symbols \
                    where repo_id = $1 and ref = $2 and path = 'x.rs' order by line_start";
    let rows = client
        .query(symbols, &[&repo.as_uuid(), &MAIN])
        .await
        .unwrap();
    assert_eq!(rows.len(), 16);
    for (row, symbol) in rows.iter().zip(tree::symbols(1)) {
        assert_eq!(row.get::<_, String>(0), symbol.name);
        assert_eq!(row.get::<_, String>(1), symbol.kind.name());
        let lines = (
            row.get::<_, i32>(2).unsigned_abs(),
            row.get::<_, i32>(3).unsigned_abs(),
        );
        assert_eq!(lines, (symbol.line_start, symbol.line_end));
    }

    let imports = "select target, resolved_path, line from leasectl.index_imports \
                    where repo_id = $1 and ref = $2 and path = $3 order by line";
    for (path, content) in whole.paths() {
        let rows = client
            .query(imports, &[&repo.as_uuid(), &MAIN, &path])
            .await
            .unwrap();
        assert_eq!(rows.len(), 4);
        for (row, import) in rows.iter().zip(tree::imports(content)) {
            let leads = whole
                .paths()
                .contains_key(&import.target)
                .then(|| import.target.clone());
            assert_eq!(row.get::<_, String>(0), import.target);
            assert_eq!(row.get::<_, Option<String>>(1), leads);
            assert_eq!(row.get::<_, i32>(2).unsigned_abs(), import.line);
        }
    }
    let less = "select count(*) from leasectl.index_files where ref = 'refs/heads/less'";
    assert_eq!(fixture.count(less).await, 1);
}

#[tokio::test]
async fn links_lead_where_each_tree_has_the_target() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let mut files = Dir::generated(256);
    indexer.index(MAIN, &tree(&files)).await.unwrap();
    // Nothing about the importing files changes but what they lead to.
    let target = tree::imports(40)[0].target.clone();
    files.remove(&target);
    indexer
        .index("refs/heads/less", &tree(&files))
        .await
        .unwrap();
    let leads = |name: &str| {
        format!(
            "select count(*) from leasectl.index_imports where ref = '{name}' and resolved_path = '{target}'"
        )
    };
    assert!(fixture.count(&leads(MAIN)).await >= 1);
    assert_eq!(fixture.count(&leads("refs/heads/less")).await, 0);
    let outside = "select count(*) from leasectl.index_imports where target = 'outside' and resolved_path is not null";
    assert_eq!(fixture.count(outside).await, 0);
}

#[tokio::test]
async fn readers_answer_about_one_tree() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    indexer
        .index(MAIN, &tree(&Dir::generated(600)))
        .await
        .unwrap();
    let whole = Dir::of([("a/x.rs", 1), ("b/y.rs", 2), ("b/again.rs", 1)]);
    let state = indexer.index("refs/heads/other", &whole).await.unwrap();
    let client = &indexer.client;

    let wanted = tree::symbols(1)[3].clone();
    let found = index::symbols_named(client, state.root.dir, &wanted.name)
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|found| found.symbol == wanted));
    assert_eq!(
        index::symbols(client, state.root.dir).await.unwrap().len(),
        48
    );
    assert_eq!(
        index::imports(client, state.root.dir, state.root.links)
            .await
            .unwrap()
            .len(),
        12
    );
    // A name that is only a part of another's is not one.
    let part = &wanted.name[..wanted.name.len() - 1];
    assert!(
        index::symbols_named(client, state.root.dir, part)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn why_symbols_and_imports_are_left_out_is_told_of_the_extractor_that_is_asked() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let state = indexer.index(MAIN, &Dir::of([("x.rs", 1)])).await.unwrap();
    let reason = "too_slow".to_owned();
    let slow = NewBlob {
        tags: vec![(indexer.tags(), TagsPayload::Skipped { reason })],
        ..indexer.extracted(2)
    };
    let blobs = [indexer.extracted(1), slow];
    let Indexer {
        client,
        fence,
        scope,
        ..
    } = &mut indexer;
    let ids = index::store_payloads(client, &*fence, scope, &blobs)
        .await
        .unwrap();
    let client = &*client;
    for (blob, extractors, reason) in [
        (ids[0], &["tags.rust"][..], None),
        (ids[1], &["tags.rust"], Some("too_slow")),
        (ids[1], &["tags.go", "tags.rust"], Some("too_slow")),
        (ids[1], &["trigram"], None),
        (ids[1], &[], None),
    ] {
        let found = index::left_out(client, &state.root, blob, extractors).await;
        assert_eq!(found.unwrap().as_deref(), reason, "{extractors:?}");
    }
}

#[tokio::test]
async fn vectors_come_in_bounded_answers_until_all_are_there() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let state = indexer
        .index(MAIN, &tree(&Dir::generated(600)))
        .await
        .unwrap();
    let files = index::files(&indexer.client, state.root.dir).await.unwrap();
    let blobs: Vec<BlobId> = files.iter().map(|file| file.blob).collect();
    let (mut rest, mut found, mut answers) = (&blobs[..], Vec::new(), 0);
    while !rest.is_empty() {
        let (some, looked_at) = index::vectors(&indexer.client, &state.root, rest)
            .await
            .unwrap();
        assert!(some.len() <= 256);
        found.extend(some);
        rest = &rest[looked_at..];
        answers += 1;
    }
    assert_eq!((found.len(), answers), (600, 3));
    assert_eq!(found[0].1.len(), 1_200);
}
