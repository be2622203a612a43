//! What a fetch brings, and what it takes away.

use leasectl_repo::RecloneReason;

use crate::support::{World, ensure, fetch, fetch_some, git, whole};

#[tokio::test]
async fn a_clone_over_http_has_everything_the_remote_has() {
    let world = World::new();
    world.origin.commit("topic", "t", "t\n");
    world.origin.git(&["tag", "-a", "-m", "one", "v1", "main"]);
    world
        .origin
        .git(&["update-ref", "refs/pull/7/head", "refs/heads/topic"]);
    world
        .origin
        .git(&["update-ref", "refs/other/thing", "refs/heads/topic"]);
    let remote = world.serve().await;
    let report = fetch(&world.cache(), &world.target_at(&remote.url("origin.git")))
        .await
        .unwrap();

    assert_eq!(report.recloned, Some(RecloneReason::Missing));
    assert_eq!(report.default_branch.as_deref(), Some("main"));
    assert_eq!(report.head.unwrap(), world.origin.id_of("main"));
    assert_eq!(
        (
            report.refs_created,
            report.refs_updated,
            report.refs_deleted
        ),
        (4, 0, 0)
    );
    assert!(report.change_refs_changed && report.head_changed && report.bytes_received > 0);
    let names: Vec<_> = report
        .branches
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["main", "topic"]);
    git(&world.clone_dir(), &["fsck", "--strict", "--no-dangling"]);
    let wanted = world
        .origin
        .git(&["for-each-ref", "refs/heads", "refs/tags", "refs/pull"]);
    assert_eq!(git(&world.clone_dir(), &["for-each-ref"]), wanted);
    assert_eq!(
        git(&world.clone_dir(), &["show-ref", "-d", "v1"]),
        world.origin.git(&["show-ref", "-d", "v1"])
    );
    assert!(world.leftovers().is_empty());
}

#[tokio::test]
async fn a_clone_of_a_local_path_works_like_any_other() {
    let world = World::new();
    let report = fetch(&world.cache(), &world.target()).await.unwrap();
    assert_eq!(report.head.unwrap(), world.origin.id_of("main"));
    git(&world.clone_dir(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_fetch_with_nothing_new_changes_nothing() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    let stamp = std::fs::read(world.clone_dir().join("leasectl-stamp.json")).unwrap();
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!(report.recloned, None);
    assert_eq!(
        (
            report.refs_created,
            report.refs_updated,
            report.refs_deleted
        ),
        (0, 0, 0)
    );
    assert!(!report.head_changed && !report.change_refs_changed);
    assert_eq!(
        report.branches.len(),
        1,
        "branches are reported all the same"
    );
    assert_eq!(
        std::fs::read(world.clone_dir().join("leasectl-stamp.json")).unwrap(),
        stamp
    );
}

#[tokio::test]
async fn a_fetch_brings_new_commits_and_new_branches() {
    let world = World::new();
    let remote = world.serve().await;
    let (cache, target) = (world.cache(), world.target_at(&remote.url("origin.git")));
    fetch(&cache, &target).await.unwrap();
    let main = world.origin.commit("main", "more", "more\n");
    let topic = world.origin.commit("topic", "t", "t\n");
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!(
        (report.recloned, report.refs_created, report.refs_updated),
        (None, 1, 1)
    );
    assert!(report.head_changed);
    assert_eq!(
        report.branches,
        [("main".to_owned(), main), ("topic".to_owned(), topic)]
    );
    git(&world.clone_dir(), &["fsck", "--strict"]);
    assert_eq!(
        ensure(&cache, &target).await.unwrap().recloned(),
        None,
        "its stamp fits"
    );
}

#[tokio::test]
async fn references_that_the_remote_deleted_are_deleted() {
    let world = World::new();
    world.origin.commit("gone", "g", "g\n");
    world
        .origin
        .git(&["update-ref", "refs/pull/1/head", "gone"]);
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    world.origin.git(&["branch", "-D", "gone"]);
    world.origin.git(&["update-ref", "-d", "refs/pull/1/head"]);
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!(
        (
            report.refs_created,
            report.refs_updated,
            report.refs_deleted
        ),
        (0, 0, 2)
    );
    assert!(report.change_refs_changed && !report.head_changed);
    assert_eq!(
        git(&world.clone_dir(), &["for-each-ref"]),
        world.origin.git(&["for-each-ref"])
    );
}

#[tokio::test]
async fn a_changed_default_branch_is_followed() {
    let world = World::new();
    let trunk = world.origin.commit("trunk", "t", "t\n");
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    world
        .origin
        .git(&["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!(report.default_branch.as_deref(), Some("trunk"));
    assert_eq!(report.head.as_deref(), Some(trunk.as_str()));
    assert!(report.head_changed);
    assert_eq!(
        git(&world.clone_dir(), &["symbolic-ref", "HEAD"]),
        "refs/heads/trunk"
    );
    assert_eq!(
        ensure(&cache, &target).await.unwrap().recloned(),
        None,
        "its stamp fits"
    );
}

#[tokio::test]
async fn a_force_push_is_followed_and_a_careful_refspec_refuses_it() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    let before = world.origin.id_of("main");
    world.origin.commit("other", "o", "o\n");
    world
        .origin
        .git(&["update-ref", "refs/heads/main", "refs/heads/other"]);
    let careful = fetch_some(&cache, &target, &["refs/heads/main:refs/heads/main"])
        .await
        .unwrap();
    assert_eq!(
        (careful.refs_updated, careful.head.as_deref()),
        (0, Some(before.as_str()))
    );
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!(report.head.unwrap(), world.origin.id_of("other"));
    git(&world.clone_dir(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_repository_with_sha256_is_cloned_and_fetched() {
    let world = World::with_hash("sha256");
    let remote = world.serve().await;
    let (cache, target) = (world.cache(), world.target_at(&remote.url("origin.git")));
    fetch(&cache, &target).await.unwrap();
    let head = world.origin.commit("main", "more", "more\n");
    assert_eq!(head.len(), 64);
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!((report.recloned, report.head), (None, Some(head)));
    git(&world.clone_dir(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn an_empty_repository_is_cloned_and_filled_later() {
    let world = World::new();
    let empty = world.dir.path().join("remotes/empty.git");
    git(
        world.dir.path(),
        &[
            "init",
            "-q",
            "--bare",
            "-b",
            "trunk",
            empty.to_str().unwrap(),
        ],
    );
    let (cache, target) = (world.cache(), world.target_at(empty.to_str().unwrap()));
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!((report.head.as_deref(), report.branches.len()), (None, 0));
    assert_eq!(ensure(&cache, &target).await.unwrap().recloned(), None);
    let head = crate::support::Origin { path: empty }.commit("trunk", "f", "f\n");
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!((report.recloned, report.head), (None, Some(head)));
    assert_eq!(report.default_branch.as_deref(), Some("trunk"));
}

#[tokio::test]
async fn a_refspec_limits_what_is_fetched_and_what_is_deleted() {
    let world = World::new();
    world.origin.commit("a", "a", "a\n");
    world.origin.commit("b", "b", "b\n");
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    world.origin.git(&["branch", "-D", "a"]);
    world.origin.git(&["branch", "-D", "b"]);
    let report = fetch_some(&cache, &target, &["+refs/heads/a:refs/heads/a"])
        .await
        .unwrap();
    assert_eq!(report.refs_deleted, 1);
    let names: Vec<_> = report
        .branches
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["b", "main"]);
    let error = fetch_some(&cache, &target, &["+refs/heads/a:refs/heads/a"])
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.retryable()),
        ("ref_not_found", false),
        "{}",
        whole(&error)
    );
}

#[tokio::test]
async fn a_loose_reference_that_somebody_made_gives_way_to_the_remote() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    git(
        &world.clone_dir(),
        &["update-ref", "refs/heads/main", "main~1"],
    );
    git(
        &world.clone_dir(),
        &["update-ref", "refs/heads/mine", "main~1"],
    );
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!((report.refs_updated, report.refs_deleted), (1, 1));
    assert_eq!(
        git(&world.clone_dir(), &["for-each-ref"]),
        world.origin.git(&["for-each-ref"])
    );
}

#[tokio::test]
async fn many_fetches_with_news_do_not_pile_up_packs() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    for number in 0..30 {
        world
            .origin
            .commit("main", &format!("more{number}"), "more\n");
        assert_eq!(fetch(&cache, &target).await.unwrap().recloned, None);
    }
    let packs = std::fs::read_dir(world.clone_dir().join("objects/pack")).unwrap();
    let packs = packs.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|extension| extension == "pack")
    });
    assert!(packs.count() < 20);
    assert_eq!(
        ensure(&cache, &target).await.unwrap().recloned(),
        None,
        "its stamp fits"
    );
    git(&world.clone_dir(), &["fsck", "--strict"]);
}
