//! A disk is a cache: whatever happens to a clone, the next call notices, makes a new one and goes on.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
};

use leasectl_remote::RefName;
use leasectl_repo::{NoProgress, ObjectId, RecloneReason};
use tokio_util::sync::CancellationToken;

use crate::support::{World, ensure, fetch, git};

/// Clones, does the damage, and expects the next call to clone again for that reason.
async fn repaired(damage: impl FnOnce(&World), reason: RecloneReason) {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    drop(ensure(&cache, &target).await.unwrap());
    damage(&world);
    let clone = ensure(&cache, &target).await.unwrap();
    assert_eq!(clone.recloned(), Some(reason));
    git(clone.path(), &["fsck", "--strict"]);
    assert_eq!(ensure(&cache, &target).await.unwrap().recloned(), None);
    assert!(world.leftovers().is_empty());

    // Another process, which has nothing cached, sees the same.
    let world = World::new();
    let target = world.target();
    drop(ensure(&world.cache(), &target).await.unwrap());
    // `fetch` takes the same way.
    let report = fetch(&world.cache(), &target).await.unwrap();
    assert_eq!(report.recloned, None);
}

pub(crate) fn truncate(path: &Path, to: u64) {
    make_writable(path);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(to)
        .unwrap();
}

#[expect(
    clippy::permissions_set_readonly_false,
    reason = "a pack in a private directory"
)]
fn make_writable(path: &Path) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
}

/// Overwrites everything but the first and last bytes with zeroes, without a trace in size or time.
fn zero_middle(path: &Path) {
    make_writable(path);
    let meta = fs::metadata(path).unwrap();
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(12)).unwrap();
    file.write_all(&vec![0; usize::try_from(meta.len()).unwrap() - 12 - 20])
        .unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
}

#[tokio::test]
async fn a_deleted_cache_directory_is_made_anew() {
    repaired(
        |world| fs::remove_dir_all(world.root()).unwrap(),
        RecloneReason::Missing,
    )
    .await;
}

#[tokio::test]
async fn a_deleted_clone_is_made_anew() {
    repaired(
        |world| fs::remove_dir_all(world.clone_dir()).unwrap(),
        RecloneReason::Missing,
    )
    .await;
}

#[tokio::test]
async fn an_emptied_clone_is_made_anew() {
    let empty = |world: &World| {
        fs::remove_dir_all(world.clone_dir()).unwrap();
        fs::create_dir(world.clone_dir()).unwrap();
    };
    repaired(empty, RecloneReason::Unfinished).await;
}

#[tokio::test]
async fn a_half_renamed_clone_is_made_anew() {
    let half = |world: &World| {
        let aside = world.clone_dir().with_file_name("new-1-1.1-1");
        fs::rename(world.clone_dir(), &aside).unwrap();
        fs::create_dir(world.clone_dir()).unwrap();
        fs::rename(aside.join("HEAD"), world.clone_dir().join("HEAD")).unwrap();
    };
    repaired(half, RecloneReason::Unfinished).await;
}

#[tokio::test]
async fn a_truncated_pack_is_noticed() {
    repaired(
        |world| truncate(&world.pack(), 100),
        RecloneReason::DamagedPack,
    )
    .await;
}

#[tokio::test]
async fn a_deleted_pack_is_noticed() {
    repaired(
        |world| fs::remove_file(world.pack()).unwrap(),
        RecloneReason::DamagedPack,
    )
    .await;
}

#[tokio::test]
async fn a_deleted_pack_index_is_noticed() {
    let damage = |world: &World| fs::remove_file(world.pack().with_extension("idx")).unwrap();
    repaired(damage, RecloneReason::DamagedPack).await;
}

#[tokio::test]
async fn a_missing_head_is_noticed() {
    let damage = |world: &World| fs::remove_file(world.clone_dir().join("HEAD")).unwrap();
    repaired(damage, RecloneReason::DamagedHead).await;
}

#[tokio::test]
async fn emptied_packed_refs_are_noticed() {
    let damage = |world: &World| truncate(&world.clone_dir().join("packed-refs"), 0);
    repaired(damage, RecloneReason::DamagedRefs).await;
}

#[tokio::test]
async fn a_missing_refs_directory_is_noticed() {
    let damage = |world: &World| fs::remove_dir_all(world.clone_dir().join("refs")).unwrap();
    repaired(damage, RecloneReason::DamagedLayout).await;
}

#[tokio::test]
async fn a_changed_configuration_is_noticed() {
    let damage = |world: &World| {
        git(&world.clone_dir(), &["config", "core.sshCommand", "false"]);
    };
    repaired(damage, RecloneReason::DamagedLayout).await;
}

#[tokio::test]
async fn a_garbled_stamp_is_noticed() {
    let damage =
        |world: &World| fs::write(world.clone_dir().join("leasectl-stamp.json"), "{").unwrap();
    repaired(damage, RecloneReason::Unfinished).await;
}

#[tokio::test]
async fn a_pack_zeroed_in_the_middle_is_noticed_by_the_next_fetch_with_news() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    drop(ensure(&cache, &target).await.unwrap());
    zero_middle(&world.pack());
    assert_eq!(
        ensure(&cache, &target).await.unwrap().recloned(),
        None,
        "the stamp cannot see it"
    );
    let head = world.origin.commit("main", "more", "more\n");
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!(report.recloned, Some(RecloneReason::CorruptObject));
    assert_eq!(report.head, Some(head));
    git(&world.clone_dir(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_pack_zeroed_in_the_middle_is_noticed_by_a_fetch_without_news() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    drop(ensure(&cache, &target).await.unwrap());
    zero_middle(&world.pack());
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!(report.recloned, Some(RecloneReason::CorruptObject));
}

#[tokio::test]
async fn a_needed_commit_that_cannot_be_read_is_cloned_again() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    drop(ensure(&cache, &target).await.unwrap());
    zero_middle(&world.pack());
    let needs = [ObjectId::from_hex(world.origin.id_of("main").as_bytes()).unwrap()];
    let clone = cache
        .ensure_clone(&target, &needs, &NoProgress, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(clone.recloned(), Some(RecloneReason::CorruptObject));
    git(clone.path(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_reader_that_meets_a_corrupt_object_has_the_clone_made_anew() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    let clone = ensure(&cache, &target).await.unwrap();
    zero_middle(&world.pack());
    let main = RefName::parse("main").unwrap();
    assert_eq!(
        cache.worktree(&clone, &main).await.unwrap_err().code(),
        "clone_corrupt"
    );
    let clone = ensure(&cache, &target).await.unwrap();
    assert_eq!(clone.recloned(), Some(RecloneReason::CorruptObject));
    cache.worktree(&clone, &main).await.unwrap();
}

#[tokio::test]
async fn lock_files_of_dead_processes_do_not_stop_a_fetch() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    for name in [
        "packed-refs.lock",
        "HEAD.lock",
        "config.lock",
        "refs/heads/main.lock",
        "shallow.lock",
    ] {
        fs::write(world.clone_dir().join(name), "").unwrap();
    }
    let head = world.origin.commit("main", "more", "more\n");
    let report = fetch(&cache, &target).await.unwrap();
    assert_eq!((report.recloned, report.head), (None, Some(head)));
    assert!(!world.clone_dir().join("packed-refs.lock").exists());
}

#[tokio::test]
async fn packs_of_a_fetch_that_died_are_deleted() {
    let world = World::new();
    let (cache, target) = (world.cache(), world.target());
    fetch(&cache, &target).await.unwrap();
    let packs = world.clone_dir().join("objects/pack");
    let orphans = ["tmp_pack_1", ".tmpabc", "pack-0000.pack", "pack-0000.keep"];
    for name in orphans {
        fs::write(packs.join(name), "garbage").unwrap();
    }
    assert_eq!(fetch(&cache, &target).await.unwrap().recloned, None);
    assert!(orphans.iter().all(|name| !packs.join(name).exists()));
    git(&world.clone_dir(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn stale_temporaries_are_swept_when_the_cache_opens() {
    let world = World::new();
    let target = world.target();
    drop(ensure(&world.cache(), &target).await.unwrap());
    let dir = world.root().join(world.id.to_string());
    for name in ["new-1-2.3-4", "old-1-2.3-5"] {
        fs::create_dir_all(dir.join(name).join("objects")).unwrap();
    }
    fs::create_dir(world.root().join("old-1-2.3-6")).unwrap();
    let cache = world.cache();
    assert!(world.leftovers().is_empty());
    assert!(!world.root().join("old-1-2.3-6").exists());
    assert_eq!(ensure(&cache, &target).await.unwrap().recloned(), None);
}
