//! A full disk.

use std::{fs, path::Path};

use crate::support::{World, fetch, hermetic, whole};

/// A small file system; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Result<Self, String> {
        fs::create_dir_all(path).unwrap();
        let mounted = hermetic("mount")
            .args(["-t", "tmpfs", "-o", "size=10m", "tmpfs"])
            .arg(path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(path)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = hermetic("umount").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_its_own_error_and_leaves_no_temporaries() {
    let world = World::new();
    let root = world.root();
    let _disk = match SmallDisk::mount(&root) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("SKIPPED: a full disk needs the right to mount a tmpfs ({reason})");
            return;
        }
    };
    let cache = world.cache();
    let target = world.target();
    world.origin.fatten("fat", 30_000_000);
    let error = fetch(&cache, &target).await.unwrap_err();
    assert_eq!(
        (error.code(), error.retryable()),
        ("disk_full", true),
        "{}",
        whole(&error)
    );
    assert!(!world.clone_dir().exists() && world.leftovers().is_empty());

    world.origin.git(&["branch", "-D", "fat"]);
    fetch(&cache, &target).await.unwrap();
    world.origin.fatten("fat", 30_000_000);
    let error = fetch(&cache, &target).await.unwrap_err();
    assert_eq!(error.code(), "disk_full", "{}", whole(&error));
    world.origin.git(&["branch", "-D", "fat"]);
    assert_eq!(
        fetch(&cache, &target).await.unwrap().recloned,
        None,
        "the clone survived"
    );
    let names = fs::read_dir(world.clone_dir().join("objects/pack")).unwrap();
    let names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names.iter().all(|name| name.starts_with("pack-")),
        "{names:?}"
    );
}
