//! Trust domains: nothing that is known in one is known in another.

use leasectl_core::index;

use crate::fixture::Fixture;
use crate::indexer::Indexer;
use crate::tree::{self, Dir, tree};

const MAIN: &str = "refs/heads/main";

async fn moves_to(fixture: &Fixture, repo: leasectl_core::ids::RepoId, domain: &str) {
    let sql = "update leasectl.repository set trust_domain = $2 where id = $1";
    fixture.execute(sql, &[&repo.as_uuid(), &domain]).await;
}

#[tokio::test]
async fn another_trust_domain_knows_nothing_of_the_same_content() {
    let fixture = Fixture::new().await;
    let (one, secret) = (
        fixture.repository("a").await,
        fixture.repository("secret").await,
    );
    moves_to(&fixture, secret, "vault").await;
    let whole = tree(&Dir::generated(60));
    Indexer::new(&fixture, one)
        .await
        .index(MAIN, &whole)
        .await
        .unwrap();

    let mut other = Indexer::new(&fixture, secret).await;
    let known = index::known_blobs(&other.client, &other.scope, &[tree::blob(1)])
        .await
        .unwrap();
    assert_eq!(known, [None]);
    let context = index::Context::default();
    let known = index::known_dirs(&other.client, &other.scope, &[(whole.oid, context)])
        .await
        .unwrap();
    assert_eq!(known, [None]);
    other.index(MAIN, &whole).await.unwrap();
    assert_eq!(other.read, 60);
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_blob")
            .await,
        120
    );
}

#[tokio::test]
async fn a_tree_of_one_trust_domain_is_not_published_in_another() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let state = indexer.index(MAIN, &Dir::of([("x.rs", 1)])).await.unwrap();
    moves_to(&fixture, repo, "vault").await;
    let fenced = indexer.fence.begin(&mut indexer.client).await.unwrap();
    let new = index::NewRef {
        repo_id: repo,
        name: "refs/heads/other",
        commit: state.commit,
        root: state.root.dir,
        links: None,
    };
    assert_eq!(index::publish(&fenced, &new).await.unwrap(), None);
}

#[tokio::test]
async fn a_view_names_only_blobs_of_the_repository_that_is_asked() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.repository("a").await, fixture.repository("b").await);
    Indexer::new(&fixture, one)
        .await
        .index(MAIN, &Dir::of([("x.rs", 1), ("y.rs", 2)]))
        .await
        .unwrap();
    Indexer::new(&fixture, two)
        .await
        .index(MAIN, &Dir::of([("x.rs", 1)]))
        .await
        .unwrap();
    for view in ["index_files", "index_symbols", "index_imports"] {
        let sql = format!("select distinct path from leasectl.{view} where repo_id = $1");
        let rows = fixture
            .client()
            .await
            .query(&sql, &[&two.as_uuid()])
            .await
            .unwrap();
        let paths: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(paths, ["x.rs"], "{view}");
    }
}

#[tokio::test]
async fn a_trust_domain_has_a_checked_name() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    for bad in ["", "A", "a b", "-a", "a-", &"x".repeat(64)] {
        let sql = "update leasectl.repository set trust_domain = $2 where id = $1";
        let refused = fixture
            .client()
            .await
            .execute(sql, &[&repo.as_uuid(), &bad])
            .await
            .unwrap_err();
        assert_eq!(
            refused.as_db_error().unwrap().constraint(),
            Some("repository_trust_domain_format")
        );
    }
    moves_to(&fixture, repo, "team-7.internal").await;
}

#[tokio::test]
async fn a_removed_repository_takes_its_refs_and_leaves_shared_content() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.repository("a").await, fixture.repository("b").await);
    for repo in [one, two] {
        Indexer::new(&fixture, repo)
            .await
            .index(MAIN, &Dir::of([("x.rs", 1)]))
            .await
            .unwrap();
    }
    fixture
        .execute(
            "delete from leasectl.repository where id = $1",
            &[&one.as_uuid()],
        )
        .await;
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_ref")
            .await,
        1
    );
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.index_files")
            .await,
        1
    );
}
