//! Remotes that refuse, stall, drip, cut and exaggerate: each ends in its own typed error, in time.

use std::time::{Duration, Instant};

use leasectl_repo::{
    CacheSettings, CloneCache, Limits, NoProgress, Phase, Progress, RepoError,
    serve::{Fault, LocalRemote},
};
use tokio_util::sync::CancellationToken;

use crate::support::{Origin, World, ensure, fetch, limits, until, whole};

/// A repository of about two megabytes: enough to be in the middle of.
fn fat_world() -> World {
    let world = World::new();
    world.origin.fatten("main", 2_000_000);
    world
}

fn hasty(world: &World, limits: Limits) -> CloneCache {
    CloneCache::open(CacheSettings {
        limits,
        ..world.settings()
    })
    .unwrap()
}

async fn fails(world: &World, cache: &CloneCache, remote: &LocalRemote) -> RepoError {
    let error = fetch(cache, &world.target_at(&remote.url("origin.git")))
        .await
        .unwrap_err();
    assert!(!world.clone_dir().exists());
    assert!(world.leftovers().is_empty(), "{:?}", world.leftovers());
    error
}

async fn expect_code(fault: Fault, limits: Limits, code: &str, retryable: bool) {
    let world = fat_world();
    let remote = world.serve_with(fault).await;
    let cache = hasty(&world, limits);
    let started = Instant::now();
    let error = fails(&world, &cache, &remote).await;
    assert_eq!(
        (error.code(), error.retryable()),
        (code, retryable),
        "{}",
        whole(&error)
    );
    assert!(
        started.elapsed() < Duration::from_secs(50),
        "took {:?}",
        started.elapsed()
    );
    let text = error.to_string();
    assert!(
        !text.contains("http://") && !text.contains(world.dir.path().to_str().unwrap()),
        "{text}"
    );

    remote.set_fault(Fault::None);
    fetch(&world.cache(), &world.target_at(&remote.url("origin.git")))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_remote_that_refuses_is_unavailable() {
    expect_code(Fault::Refuse, limits(), "repo_unavailable", true).await;
}

#[tokio::test]
async fn a_remote_that_is_broken_is_unavailable() {
    expect_code(Fault::Status(503), limits(), "repo_unavailable", true).await;
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_not_found() {
    expect_code(Fault::Status(404), limits(), "remote_not_found", false).await;
}

#[tokio::test]
async fn a_remote_that_wants_credentials_that_nobody_has_fails_to_authenticate() {
    expect_code(
        Fault::RequireBasic("a:b".to_owned()),
        limits(),
        "auth_failed",
        false,
    )
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = "http://169.254.169.254/latest".to_owned();
    expect_code(
        Fault::Redirect(elsewhere),
        limits(),
        "remote_not_found",
        false,
    )
    .await;
}

#[tokio::test]
async fn a_remote_that_stalls_times_out() {
    let limits = Limits {
        silence: Duration::from_millis(500),
        ..limits()
    };
    expect_code(Fault::StallAfter(100_000), limits, "remote_timeout", true).await;
}

#[tokio::test]
async fn a_remote_that_drips_times_out_by_its_rate() {
    let limits = Limits {
        min_bytes_per_second: 1_000,
        rate_window: Duration::from_secs(1),
        ..limits()
    };
    expect_code(Fault::DripAfter(100_000), limits, "remote_timeout", true).await;
}

#[tokio::test]
async fn a_remote_that_drips_ends_at_the_deadline() {
    let limits = Limits {
        min_bytes_per_second: 0,
        wall_clock: Duration::from_secs(3),
        ..limits()
    };
    expect_code(Fault::DripAfter(100_000), limits, "remote_timeout", true).await;
}

#[tokio::test]
async fn a_remote_that_cuts_the_pack_in_the_middle_is_unavailable() {
    expect_code(Fault::CutAfter(100_000), limits(), "repo_unavailable", true).await;
}

#[tokio::test]
async fn more_or_larger_things_than_allowed_are_too_large() {
    let world = fat_world();
    let remote = world.serve().await;
    for limits in [
        Limits {
            max_bytes: 500_000,
            ..limits()
        },
        Limits {
            max_refs: 0,
            ..limits()
        },
        Limits {
            max_objects: 10,
            ..limits()
        },
        Limits {
            max_object_bytes: 10_000,
            ..limits()
        },
    ] {
        let cache = hasty(&world, limits);
        // Slow enough for objects to be counted before they are all there.
        remote.set_bytes_per_second(Some(2_000_000));
        let error = fails(&world, &cache, &remote).await;
        assert_eq!(
            (error.code(), error.retryable()),
            ("remote_too_large", false),
            "{}",
            whole(&error)
        );
        remote.set_bytes_per_second(None);
    }
}

#[tokio::test]
async fn an_object_that_is_larger_than_allowed_is_too_large_and_leaves_the_clone_as_it_was() {
    let world = World::new();
    let remote = world.serve().await;
    let cache = hasty(
        &world,
        Limits {
            max_object_bytes: 50_000,
            ..limits()
        },
    );
    let target = world.target_at(&remote.url("origin.git"));
    fetch(&cache, &target).await.unwrap();
    let clone = Origin {
        path: world.clone_dir(),
    };
    let before = clone.id_of("refs/heads/main");
    // Much less than the limit travels.
    let after = world.origin.commit("main", "zeros", &"0".repeat(50_001));
    let error = fetch(&cache, &target).await.unwrap_err();
    assert_eq!(
        (error.code(), error.retryable()),
        ("remote_too_large", false),
        "{}",
        whole(&error)
    );
    let text = error.to_string();
    assert!(text.contains("50000 bytes in one object"), "{text}");
    assert_eq!(clone.id_of("refs/heads/main"), before);
    fetch(&world.cache(), &target).await.unwrap();
    assert_eq!(clone.id_of("refs/heads/main"), after);
}

#[tokio::test]
async fn what_takes_more_memory_than_the_child_may_have_is_too_large() {
    let world = World::new();
    // Nothing of it travels, and it is a small object for the limit on objects.
    world.origin.commit("main", "zeros", &"0".repeat(100 << 20));
    let remote = world.serve().await;
    let most = 64 << 20;
    let cache = hasty(
        &world,
        Limits {
            max_memory_bytes: most,
            ..limits()
        },
    );
    let error = fails(&world, &cache, &remote).await;
    assert_eq!(
        (error.code(), error.retryable()),
        ("remote_too_large", false),
        "{}",
        whole(&error)
    );
    let text = error.to_string();
    assert!(text.contains(&format!("{most} bytes of memory")), "{text}");
}

#[tokio::test]
async fn a_page_that_is_not_git_is_not_found() {
    let world = World::new();
    let error = fetch(&world.cache(), &world.target_at("/nowhere/at/all"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "remote_not_found", "{}", whole(&error));
    let path = world.dir.path().join("plain");
    std::fs::create_dir(&path).unwrap();
    let error = fetch(&world.cache(), &world.target_at(path.to_str().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "remote_not_found", "{}", whole(&error));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unavailable() {
    let world = World::new();
    let target = world.target_at("https://no-such-host.invalid/a/b");
    let error = fetch(&world.cache(), &target).await.unwrap_err();
    assert_eq!(
        (error.code(), error.retryable()),
        ("repo_unavailable", true),
        "{}",
        whole(&error)
    );
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_over_https() {
    let world = World::new();
    let remote = world.serve().await;
    let url = remote.url("origin.git").replace("http://", "https://");
    let error = fetch(&world.cache(), &world.target_at(&url))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.retryable()),
        ("repo_unavailable", true),
        "{}",
        whole(&error)
    );
    assert_eq!(remote.seen().requests, 0);
}

#[tokio::test]
async fn cancelling_ends_a_clone_at_once_and_leaves_nothing() {
    let world = fat_world();
    let remote = world.serve_with(Fault::StallAfter(100_000)).await;
    let (cache, target) = (world.cache(), world.target_at(&remote.url("origin.git")));
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let sink = move |progress: &Progress| {
        if progress.phase == Phase::Receiving && progress.bytes_received > 50_000 {
            stop.cancel();
        }
    };
    let error = cache
        .ensure_clone(&target, &[], &sink, &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert!(!world.clone_dir().exists() && world.leftovers().is_empty());
    remote.set_fault(Fault::None);
    ensure(&cache, &target).await.unwrap();
}

#[tokio::test]
async fn dropping_the_future_kills_the_child_and_frees_the_lock() {
    let world = fat_world();
    let remote = world.serve_with(Fault::StallAfter(100_000)).await;
    let (cache, target) = (world.cache(), world.target_at(&remote.url("origin.git")));
    let never = CancellationToken::new();
    {
        let clone = cache.ensure_clone(&target, &[], &NoProgress, &never);
        tokio::pin!(clone);
        tokio::select! {
            _ = &mut clone => panic!("it cannot end"),
            () = until("the pack is being sent", || remote.seen().packs > 0) => {}
        }
    }
    remote.set_fault(Fault::None);
    ensure(&cache, &target).await.unwrap();
    assert!(world.leftovers().is_empty());
}

#[tokio::test]
async fn a_failed_fetch_leaves_the_clone_as_it_was() {
    let world = World::new();
    let remote = world.serve().await;
    let (cache, target) = (world.cache(), world.target_at(&remote.url("origin.git")));
    fetch(&cache, &target).await.unwrap();
    let before = crate::support::git(&world.clone_dir(), &["for-each-ref"]);
    world.origin.fatten("main", 500_000);
    remote.set_fault(Fault::CutAfter(100_000));
    assert_eq!(
        fetch(&cache, &target).await.unwrap_err().code(),
        "repo_unavailable"
    );
    assert_eq!(ensure(&cache, &target).await.unwrap().recloned(), None);
    assert_eq!(
        crate::support::git(&world.clone_dir(), &["for-each-ref"]),
        before
    );
    remote.set_fault(Fault::None);
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!((report.recloned, report.refs_updated), (None, 1));
    crate::support::git(&world.clone_dir(), &["fsck", "--strict"]);
}
