//! Nothing inside a repository is run, and no secret leaves its place.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use leasectl_remote::{Locality, RefName};
use leasectl_repo::{CacheSettings, CloneCache, CredentialSource, serve::Fault};

use crate::support::{World, ensure, fetch, git, whole};

const CANARY: &str = "canary-2f9d1c";

/// A cache whose only difference is where credentials come from.
fn with_credentials(world: &World, credentials: CredentialSource) -> CloneCache {
    CloneCache::open(CacheSettings {
        credentials,
        ..world.settings()
    })
    .unwrap()
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn credentials_are_found_in_tokens_files_and_helpers() {
    let world = World::new();
    let remote = world
        .serve_with(Fault::RequireBasic(format!("bot:{CANARY}")))
        .await;
    let target = world.target_at(&remote.url("origin.git"));
    let authority = target.url.as_str().split('/').nth(2).unwrap().to_owned();
    let tokens = world.dir.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    fs::write(
        tokens.join(authority.replace(':', "_")),
        format!("bot:{CANARY}\n"),
    )
    .unwrap();
    let helper = world.dir.path().join("helper");
    script(
        &helper,
        &format!("cat >/dev/null; echo username=bot; echo password={CANARY}"),
    );
    let token = format!("bot:{CANARY}");
    for credentials in [
        CredentialSource::none().with_token(&authority, &token),
        CredentialSource::none().with_token("127.0.0.1", &token),
        CredentialSource::none().with_token_dir(tokens),
        CredentialSource::none().with_helper(helper, Vec::new()),
    ] {
        let cache = with_credentials(&world, credentials);
        fetch(&cache, &target)
            .await
            .unwrap_or_else(|error| panic!("{}", whole(&error)));
        assert!(!format!("{cache:?}").contains(CANARY));
        assert!(cache.remove(world.id).unwrap());
    }
}

#[tokio::test]
async fn wrong_credentials_fail_to_authenticate_without_being_repeated() {
    let world = World::new();
    let remote = world
        .serve_with(Fault::RequireBasic("bot:right".to_owned()))
        .await;
    let target = world.target_at(&remote.url("origin.git"));
    let cache = with_credentials(
        &world,
        CredentialSource::none().with_token("127.0.0.1", CANARY),
    );
    let error = fetch(&cache, &target).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("auth_failed", false));
    assert!(!whole(&error).contains(CANARY) && !format!("{error:?}").contains(CANARY));
}

#[tokio::test]
async fn a_secret_is_in_no_file_of_the_clone() {
    let world = World::new();
    let remote = world
        .serve_with(Fault::RequireBasic(format!("bot:{CANARY}")))
        .await;
    let target = world.target_at(&remote.url("origin.git"));
    let token = format!("bot:{CANARY}");
    let cache = with_credentials(
        &world,
        CredentialSource::none().with_token("127.0.0.1", &token),
    );
    fetch(&cache, &target).await.unwrap();
    let found = crate::support::hermetic("grep")
        .args(["-r", "-a", "-l", CANARY])
        .arg(world.root())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[tokio::test]
async fn only_public_addresses_are_reached_unless_local_ones_are_allowed() {
    let world = World::new();
    let settings = CacheSettings {
        locality: Locality::PublicOnly,
        ..world.settings()
    };
    let cache = CloneCache::open(settings).unwrap();
    // Registered while local remotes were allowed; the child judges again by what a name resolves to.
    for url in [
        "https://localhost/a/b",
        "http://127.0.0.1/a/b",
        "ssh://git@localhost/a/b",
        "/etc",
    ] {
        let error = fetch(&cache, &world.target_at(url)).await.unwrap_err();
        assert!(!error.retryable(), "{url}: {}", whole(&error));
        assert_eq!(error.code(), "invalid_argument", "{url}: {}", whole(&error));
    }
}

#[tokio::test]
async fn configuration_inside_a_clone_runs_nothing() {
    let world = World::new();
    world.origin.commit(
        "main",
        ".gitattributes",
        "* filter=evil diff=evil merge=evil\n",
    );
    let (cache, target) = (world.cache(), world.target());
    let mark = world.dir.path().join("ran");
    let evil = world.dir.path().join("evil");
    script(&evil, &format!("touch {}; cat", mark.display()));
    let evil = evil.to_str().unwrap();
    let clone = ensure(&cache, &target).await.unwrap();
    // Hide the change from the stamp, as an attacker with access to the disk would.
    let config = clone.path().join("config");
    let stamp_file = clone.path().join("leasectl-stamp.json");
    for (key, value) in [
        ("core.sshCommand", evil),
        ("core.fsmonitor", evil),
        ("core.hooksPath", evil),
        ("credential.helper", evil),
        ("filter.evil.smudge", evil),
        ("filter.evil.clean", evil),
        ("filter.evil.process", evil),
        ("diff.evil.textconv", evil),
        ("merge.evil.driver", evil),
        ("uploadpack.packObjectsHook", evil),
        (
            "url.file:///nowhere/.insteadOf",
            world.origin.path.to_str().unwrap(),
        ),
    ] {
        git(clone.path(), &["config", key, value]);
    }
    let meta = fs::metadata(&config).unwrap();
    let modified = meta
        .modified()
        .unwrap()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let text = fs::read_to_string(&stamp_file).unwrap();
    let mut stamp: serde_json::Value = serde_json::from_str(&text).unwrap();
    stamp["config"] = serde_json::json!({
        "size": meta.len(), "mtime_s": modified.as_secs(), "mtime_ns": modified.subsec_nanos(),
    });
    fs::write(&stamp_file, stamp.to_string()).unwrap();

    world.origin.commit("main", "more", "more\n");
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!(
        (report.recloned, report.refs_updated),
        (None, 1),
        "the clone was used as it is"
    );
    let worktree = cache
        .worktree(&report.clone, &RefName::parse("main").unwrap())
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(worktree.join("more")).unwrap(), "more\n");
    assert!(!mark.exists(), "something inside the repository was run");
}

#[tokio::test]
async fn configuration_of_the_served_repository_runs_nothing_here() {
    let world = World::new();
    let mark = world.dir.path().join("ran");
    let evil = world.dir.path().join("evil");
    script(&evil, &format!("touch {}; cat", mark.display()));
    world.origin.git(&[
        "config",
        "uploadpack.packObjectsHook",
        evil.to_str().unwrap(),
    ]);
    fetch(&world.cache(), &world.target()).await.unwrap();
    assert!(!mark.exists());
}

#[tokio::test]
async fn links_out_of_a_worktree_stay_links() {
    let world = World::new();
    let stream = "commit refs/heads/main\ncommitter A <a@example.com> 1700000001 +0000\ndata 1\nx\nfrom refs/heads/main^0\nM 120000 inline out\ndata 11\n/etc/passwd\n";
    let file = world.dir.path().join("stream");
    fs::write(&file, stream).unwrap();
    let mut command = crate::support::hermetic("git");
    command
        .current_dir(&world.origin.path)
        .args(["fast-import", "--quiet"]);
    assert!(
        command
            .stdin(fs::File::open(&file).unwrap())
            .status()
            .unwrap()
            .success()
    );
    let cache = world.cache();
    let clone = ensure(&cache, &world.target()).await.unwrap();
    let path = cache
        .worktree(&clone, &RefName::parse("main").unwrap())
        .await
        .unwrap();
    assert_eq!(
        fs::read_link(path.join("out")).unwrap(),
        Path::new("/etc/passwd")
    );
}
