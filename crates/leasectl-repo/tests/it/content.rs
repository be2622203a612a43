//! What a clone holds, read by id.

use std::fs;

use leasectl_remote::RefName;
use leasectl_repo::{
    AttributeRules, BlobRead, CacheSettings, CloneCache, Content, EntryKind, Limits, RepoError,
};

use crate::support::{World, ensure, limits};

async fn content(world: &World) -> Content {
    let cache = world.cache();
    let clone = ensure(&cache, &world.target()).await.unwrap();
    cache.content(&clone).await.unwrap()
}

fn name(text: &str) -> RefName {
    RefName::parse(text).unwrap()
}

#[tokio::test]
async fn branches_tags_commits_and_head_lead_to_their_trees() {
    for hash in ["sha1", "sha256"] {
        let world = World::with_hash(hash);
        let main = world.origin.id_of("refs/heads/main");
        world.origin.git(&["tag", "-a", "v1", "-m", "one", &main]);
        let handle = content(&world).await.handle();
        let tree = world.origin.id_of("main^{tree}");
        for (asked, shown) in [
            (None, "main"),
            (Some("main"), "main"),
            (Some("refs/heads/main"), "main"),
            (Some("v1"), "refs/tags/v1"),
            (Some(main.as_str()), main.as_str()),
        ] {
            let snapshot = handle.resolve(asked.map(name).as_ref()).unwrap();
            assert_eq!(snapshot.name, shown);
            assert_eq!(snapshot.commit.to_string(), main, "{asked:?}");
            assert_eq!(snapshot.tree.to_string(), tree, "{asked:?}");
        }
    }
}

#[tokio::test]
async fn what_leads_to_no_commit_is_ref_not_found() {
    let world = World::new();
    let tree = world.origin.id_of("main^{tree}");
    let handle = content(&world).await.handle();
    for asked in ["nope", "refs/heads/nope", &"1".repeat(40), &tree] {
        let error = handle.resolve(Some(&name(asked))).unwrap_err();
        assert!(
            matches!(error, RepoError::RefNotFound { .. }),
            "{asked}: {error}"
        );
    }
}

#[tokio::test]
async fn directories_and_blobs_are_read_as_git_has_them() {
    let world = World::new();
    world.origin.commit("main", "src/deep/a.rs", "fn a() {}");
    let handle = content(&world).await.handle();
    let root = handle.dir(handle.resolve(None).unwrap().tree).unwrap();
    let names: Vec<_> = root.iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(names, ["file0", "file1", "file2", "src"]);
    assert_eq!(root[3].kind, EntryKind::Dir);
    let deep = handle.dir(handle.dir(root[3].id).unwrap()[0].id).unwrap();
    let mut bytes = Vec::new();
    let read = handle.blob(deep[0].id, 100, &mut bytes).unwrap();
    assert_eq!(read, BlobRead::Whole);
    assert_eq!(bytes, b"fn a() {}");
    let read = handle.blob(deep[0].id, 8, &mut bytes).unwrap();
    assert_eq!(read, BlobRead::TooLong { bytes: 9 });
}

#[tokio::test]
async fn attributes_come_from_the_tree() {
    let world = World::new();
    let rules = "*.rs linguist-generated\n";
    world.origin.commit("main", "gen/.gitattributes", rules);
    world.origin.commit("main", "gen/a.rs", "fn a() {}");
    let handle = content(&world).await.handle();
    let root = handle.dir(handle.resolve(None).unwrap().tree).unwrap();
    let none = AttributeRules::default();
    let above = handle.rules_beneath(&none, "".into(), &root).unwrap();
    assert!(above.is_empty());
    let inside = handle.dir(root[3].id).unwrap();
    let rules = handle.rules_beneath(&above, "gen".into(), &inside).unwrap();
    let marks = rules.reader().marks("gen/a.rs".into());
    assert_eq!(marks.generated, Some(true));
}

#[tokio::test]
async fn a_damaged_pack_is_corrupt_and_nothing_else() {
    let world = World::new();
    let content = content(&world).await;
    let handle = content.handle();
    let root = handle.resolve(None).unwrap().tree;
    let entries = handle.dir(root).unwrap();
    let bytes = fs::read(world.pack()).unwrap();
    fs::write(world.pack(), vec![0; bytes.len()]).unwrap();
    let fresh = content.handle();
    let mut buffer = Vec::new();
    for entry in entries {
        let error = fresh.blob(entry.id, 1_000, &mut buffer).unwrap_err();
        assert!(matches!(error, RepoError::Corrupt { .. }), "{error}");
    }
}

/// Lines that have nothing in common.
fn lines(count: u64) -> String {
    let lines = (0..count).map(|number| {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        format!("{:016x}\n", mixed.wrapping_mul(mixed | 1))
    });
    lines.collect()
}

#[tokio::test]
async fn a_small_object_that_is_a_change_of_a_large_one_is_read_within_limits() {
    let world = World::new();
    let large = lines(10_000);
    let small = &large[..large.len() / 20];
    world.origin.commit("main", "story.txt", &large);
    world.origin.commit("main", "story.txt", small);
    let blob = world.origin.id_of("main:story.txt");
    world.origin.git(&["repack", "-adfq"]);
    let base = world.origin.git(&[
        "cat-file",
        "--batch-check=%(deltabase)",
        "--batch-all-objects",
    ]);
    assert!(
        base.contains(&world.origin.id_of("main~:story.txt")),
        "it is stored whole"
    );
    let read = async |limits: Limits| {
        let cache = CloneCache::open(CacheSettings {
            limits,
            ..world.settings()
        });
        let cache = cache.unwrap();
        let clone = ensure(&cache, &world.target()).await.unwrap();
        let handle = cache.content(&clone).await.unwrap().handle();
        let mut bytes = b"of before".to_vec();
        let read = handle.blob(blob.parse().unwrap(), 1 << 20, &mut bytes);
        (read.unwrap(), bytes)
    };

    let (whole, bytes) = read(limits()).await;
    assert_eq!(
        (whole, bytes.as_slice()),
        (BlobRead::Whole, small.as_bytes())
    );
    let tight = Limits {
        max_read_bytes: large.len() as u64,
        ..limits()
    };
    let (unread, bytes) = read(tight).await;
    let expected = BlobRead::TooLong {
        bytes: small.len() as u64,
    };
    assert_eq!((unread, bytes.len()), (expected, 0));
}

#[tokio::test]
async fn a_directory_that_takes_too_much_memory_is_no_damage() {
    let world = World::new();
    let cache = CloneCache::open(CacheSettings {
        limits: Limits {
            max_read_bytes: 1_000,
            ..limits()
        },
        ..world.settings()
    });
    let cache = cache.unwrap();
    for number in 0..100 {
        world.origin.commit("main", &format!("many/{number}"), "x");
    }
    let clone = ensure(&cache, &world.target()).await.unwrap();
    let handle = cache.content(&clone).await.unwrap().handle();
    let tree = world.origin.id_of("main:many");
    let error = handle.dir(tree.parse().unwrap()).unwrap_err();
    assert!(matches!(error, RepoError::Unwieldy { .. }), "{error}");
    assert_eq!(
        (error.code(), error.retryable()),
        ("remote_too_large", false)
    );
}
