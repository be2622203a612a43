//! Where things lie in the cache, and how they get there so that a crash leaves nothing half-made.
//!
//! ```text
//! <root>/<repository id>/lock        held while the clone is made, changed or removed
//!                       /use         held (shared) while somebody reads the clone
//!                       /clone.git   the bare mirror, with its stamp inside
//!                       /worktrees   checked-out commits
//!                       /derived     files that callers make from the clone and can make again
//!                       /failure     how the last attempt to clone ended, for those who waited
//!                       /new-…       a clone or worktree in the making
//!                       /old-…       something that is being deleted
//! ```
//!
//! **Invariant:** whatever starts with `new-` or `old-` belongs to the holder of `lock`; when
//! nobody holds it, it is garbage.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use uuid::Uuid;

/// Prefix of things in the making.
const NEW: &str = "new-";
/// Prefix of things that are being deleted.
const OLD: &str = "old-";

/// The paths of one repository's clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path, id: Uuid) -> Self {
        Self {
            dir: root.join(id.to_string()),
        }
    }

    /// The directory that holds everything of this repository.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn usage(&self) -> PathBuf {
        self.dir.join("use")
    }

    pub(crate) fn clone_dir(&self) -> PathBuf {
        self.dir.join("clone.git")
    }

    pub(crate) fn worktrees(&self) -> PathBuf {
        self.dir.join("worktrees")
    }

    /// Held while a worktree is made.
    pub(crate) fn worktrees_lock(&self) -> PathBuf {
        self.dir.join("worktrees.lock")
    }

    /// A fresh name for a worktree in the making.
    pub(crate) fn fresh_worktree(&self) -> PathBuf {
        self.worktrees().join(unique(NEW))
    }

    /// Deletes worktrees that were never finished. Needs the worktrees' lock.
    pub(crate) fn sweep_worktrees(&self) -> io::Result<()> {
        sweep(&self.worktrees())
    }

    pub(crate) fn failure(&self) -> PathBuf {
        self.dir.join("failure")
    }

    /// A fresh name for something in the making; the holder of the lock uses it.
    pub(crate) fn fresh(&self) -> PathBuf {
        self.dir.join(unique(NEW))
    }

    /// Puts the clone and its worktrees aside and deletes them. Needs the lock.
    pub(crate) fn discard_clone(&self) -> io::Result<()> {
        for path in [self.clone_dir(), self.worktrees()] {
            let aside = self.dir.join(unique(OLD));
            match fs::rename(&path, &aside) {
                Ok(()) => remove_all(&aside)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Deletes what earlier holders of the lock left behind. Needs the lock.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        sweep(&self.dir)
    }

    /// Moves the whole directory out of the way, for deletion. Needs the lock.
    pub(crate) fn set_aside(&self, root: &Path) -> io::Result<PathBuf> {
        let aside = root.join(unique(OLD));
        fs::rename(&self.dir, &aside)?;
        Ok(aside)
    }
}

/// Deletes whatever in `dir` was never finished or only half removed.
pub(crate) fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(NEW.as_bytes()) || name.starts_with(OLD.as_bytes()) {
            remove_all(&entry.path())?;
        }
    }
    Ok(())
}

/// The ids of all repositories that have a directory beneath `root`.
pub(crate) fn repositories(root: &Path) -> io::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(root)? {
        if let Some(id) = entry?
            .file_name()
            .to_str()
            .and_then(|name| Uuid::try_parse(name).ok())
        {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Deletes a file or a directory with all it holds; it may be gone already.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Bytes on disk beneath `path`; what vanishes meanwhile counts nothing.
pub(crate) fn disk_usage(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(meta) = fs::symlink_metadata(path) else {
        return 0;
    };
    let mut bytes = meta.blocks() * 512;
    if meta.is_dir()
        && let Ok(entries) = fs::read_dir(path)
    {
        bytes += entries
            .flatten()
            .map(|entry| disk_usage(&entry.path()))
            .sum::<u64>();
    }
    bytes
}

/// Writes a new file and sees it safely to the disk.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    io::Write::write_all(&mut file, content)?;
    file.sync_all()
}

/// Replaces `path` by `content` in one step, by way of its neighbour `<path>.lock`.
pub(crate) fn replace_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let lock = lock_name(path);
    write_synced(&lock, content)?;
    fs::rename(&lock, path)
}

/// The name that Git uses for the next version of a file while it is written.
pub(crate) fn lock_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Makes renames and new names in a directory last.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A name that no other call of any living process makes.
fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    format!(
        "{prefix}{}-{}.{}-{}",
        std::process::id(),
        boot.tv_sec,
        boot.tv_nsec,
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
