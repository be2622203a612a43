//! Worktrees: written without a lease, and never in the way of who has one.

use std::path::Path;
use std::time::Duration;

use leasectl_core::database::Client;
use leasectl_core::ids::RepoId;
use leasectl_core::index::{
    self, CollectCursor, Context, DirId, IndexError, LocalRun, NewDir, NewFile, NewRef, Published,
    RefState, Treatment, WorktreeRef,
};

use crate::fixture::Fixture;
use crate::indexer::{FIRST, Indexer};
use crate::runs::ROWS;
use crate::tree::{self, Dir, tree};

const MAIN: &str = "refs/heads/main";

fn of(folder: &str) -> WorktreeRef {
    WorktreeRef::of("host", Path::new(folder))
}

fn new_ref(repo_id: RepoId, root: DirId, commit: u64) -> NewRef<'static> {
    NewRef {
        repo_id,
        name: "",
        commit: tree::commit(commit),
        root,
        links: None,
    }
}

async fn state(client: &Client, repo: RepoId, name: &WorktreeRef) -> Option<RefState> {
    index::ref_state(client, repo, name.as_str()).await.unwrap()
}

#[tokio::test]
async fn a_run_without_a_lease_stores_and_publishes_a_worktree() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut client = fixture.client().await;
    let run = LocalRun::begin(&client, of("/srv/a")).await.unwrap();
    let scope = index::open_scope(&mut client, &run, repo, &FIRST).await;
    let scope = scope.unwrap().unwrap();
    let treatment = Treatment {
        text: true,
        ..Treatment::default()
    };
    let treatments = index::treatment_ids(&mut client, &run, &[treatment]).await;
    let blob = index::NewBlob {
        oid: tree::blob(1),
        bytes: 9,
        text: Some(index::TextPayload::Vector {
            lines: 1,
            vector: tree::vector(1),
            hint: None,
        }),
        tags: Vec::new(),
    };
    let blobs = index::store_payloads(&mut client, &run, &scope, &[blob]).await;
    let file = NewFile {
        name: tree::name("a"),
        blob: blobs.unwrap()[0],
        treatment: treatments.unwrap()[0],
    };
    let dir = NewDir {
        oid: tree::blob(2),
        context: Context::default(),
        files: vec![file],
        dirs: Vec::new(),
    };
    let dirs = index::store_dirs(&mut client, &run, &scope, &[dir]).await;
    let new = new_ref(repo, dirs.unwrap()[0], 1);
    let published = index::publish_worktree(&mut client, &run, &new).await;
    let now = state(&client, repo, &of("/srv/a")).await.unwrap();
    assert_eq!(published.unwrap(), Published::Here(now));
    assert_eq!(now.root.files, 1);
}

#[tokio::test]
async fn of_two_runs_the_one_that_began_later_has_the_last_word() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let before = indexer.index(MAIN, &tree(&Dir::generated(3))).await;
    let after = indexer.index(MAIN, &tree(&Dir::generated(4))).await;
    let (before, after) = (before.unwrap().root, after.unwrap().root);
    let mut client = fixture.client().await;
    let early = LocalRun::begin(&client, of("/srv/a")).await.unwrap();
    let late = LocalRun::begin(&client, of("/srv/a")).await.unwrap();
    let mut publish = async |run: &LocalRun, root: DirId, commit: u64| {
        let new = new_ref(repo, root, commit);
        let published = index::publish_worktree(&mut client, run, &new).await;
        published.unwrap()
    };
    let first = publish(&early, before.dir, 1).await;
    assert!(matches!(first, Published::Here(state) if state.root == before));
    let second = publish(&late, after.dir, 2).await;
    assert!(matches!(second, Published::Here(state) if state.root == after));
    // Sent again because the answer was lost.
    let again = publish(&late, after.dir, 2).await;
    assert!(matches!(again, Published::Here(state) if state.root == after));
    let stale = publish(&early, before.dir, 1).await;
    assert!(matches!(stale, Published::Later(state) if state.root == after));
    let now = state(&client, repo, &of("/srv/a")).await.unwrap();
    assert_eq!((now.root, now.commit), (after, tree::commit(2)));
}

#[tokio::test]
async fn the_tree_of_a_commit_is_found_by_it_and_never_that_of_a_worktree() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let main = indexer.index(MAIN, &tree(&Dir::generated(3))).await;
    let main = main.unwrap();
    let mut client = fixture.client().await;
    let scope = indexer.scope.clone();
    let found = index::known_commit(&client, &scope, main.commit).await;
    assert_eq!(found.unwrap(), Some(main.root));
    // What is in a worktree is not what its commit has.
    let run = LocalRun::begin(&client, of("/srv/a")).await.unwrap();
    let unpushed = tree::commit(77);
    let new = new_ref(repo, main.root.dir, 77);
    let published = index::publish_worktree(&mut client, &run, &new).await;
    assert!(matches!(published, Ok(Published::Here(_))));
    let found = index::known_commit(&client, &scope, unpushed).await;
    assert_eq!(found.unwrap(), None);
}

#[tokio::test]
async fn a_job_publishes_no_worktree_and_a_worktree_is_no_branch() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let name = of("/srv/a");
    let refused = indexer
        .index(name.as_str(), &tree(&Dir::generated(3)))
        .await;
    assert!(
        matches!(refused, Err(IndexError::ForWorktrees)),
        "{refused:?}"
    );
    let main = indexer.index(MAIN, &tree(&Dir::generated(3))).await;
    let main = main.unwrap();
    let mut client = fixture.client().await;
    let run = LocalRun::begin(&client, name).await.unwrap();
    // The name of the new ref is not looked at.
    let new = NewRef {
        name: MAIN,
        ..new_ref(repo, main.root.dir, 2)
    };
    index::publish_worktree(&mut client, &run, &new)
        .await
        .unwrap();
    let now = index::ref_state(&client, repo, MAIN).await.unwrap();
    assert_eq!(now, Some(main));
}

#[tokio::test]
async fn a_worktree_of_a_repository_that_is_gone_is_published_nowhere() {
    let fixture = Fixture::new().await;
    let (repo, other) = (fixture.repository("a").await, fixture.repository("b").await);
    let mut indexer = Indexer::new(&fixture, repo).await;
    let state = indexer.index(MAIN, &tree(&Dir::generated(3))).await;
    let root = state.unwrap().root.dir;
    fixture
        .execute(
            "update leasectl.repository set trust_domain = 'other' where id = $1",
            &[&other.as_uuid()],
        )
        .await;
    let mut client = fixture.client().await;
    let run = LocalRun::begin(&client, of("/srv/a")).await.unwrap();
    let gone: RepoId = "0193e0a0-0000-7000-8000-000000000000".parse().unwrap();
    let rows = fixture.count(ROWS).await;
    for nowhere in [gone, other] {
        let new = new_ref(nowhere, root, 1);
        let published = index::publish_worktree(&mut client, &run, &new).await;
        assert!(matches!(published, Ok(Published::Nowhere)), "{published:?}");
    }
    assert_eq!(fixture.count(ROWS).await, rows);
}

#[tokio::test]
async fn a_worktree_is_forgotten_when_asked_and_when_nobody_indexed_it_for_thirty_days() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut indexer = Indexer::new(&fixture, repo).await;
    let main = indexer.index(MAIN, &tree(&Dir::generated(3))).await;
    let root = main.unwrap().root.dir;
    let mut client = fixture.client().await;
    let (asked, old, recent) = (of("/srv/asked"), of("/srv/old"), of("/srv/recent"));
    for name in [&asked, &old, &recent] {
        let run = LocalRun::begin(&client, name.clone()).await.unwrap();
        let new = new_ref(repo, root, 1);
        let published = index::publish_worktree(&mut client, &run, &new).await;
        assert!(matches!(published, Ok(Published::Here(_))));
        let of = index::repository_of_worktree(&client, name).await.unwrap();
        assert_eq!(of, Some(repo));
    }
    let forget = async || index::forget_worktree(&client, repo, &asked).await.unwrap();
    assert!(forget().await);
    assert!(!forget().await);
    let of = index::repository_of_worktree(&client, &asked).await;
    assert_eq!(of.unwrap(), None);

    let age = "update leasectl.index_ref set indexed_at = now() - $2::float8 * interval '1 day' \
                where ref = $1";
    for (name, days) in [(old.as_str(), 30.1), (recent.as_str(), 29.9), (MAIN, 300.0)] {
        fixture.execute(age, &[&name, &days]).await;
    }
    let grace = Duration::from_secs(86_400);
    let round = index::collect(&fixture.database, grace, 1_000, CollectCursor::default()).await;
    assert_eq!(round.unwrap().0.worktrees, 1);
    assert_eq!(state(&client, repo, &old).await, None);
    assert!(state(&client, repo, &recent).await.is_some());
    assert!(
        index::ref_state(&client, repo, MAIN)
            .await
            .unwrap()
            .is_some()
    );
}
