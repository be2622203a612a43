//! A small disk, for running out of space on it.

use std::path::{Path, PathBuf};

use crate::process::Invocation;
use crate::skip::is_root;

/// A file system in memory of a fixed size; it is unmounted when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts it at a new folder, or says why that is impossible here.
    ///
    /// # Errors
    /// When the machine does not let this process mount.
    pub fn mount(path: &Path, bytes: u64) -> Result<Self, String> {
        if !is_root() {
            return Err("only root can mount a small disk".to_owned());
        }
        std::fs::create_dir(path).map_err(|error| error.to_string())?;
        let mounted = mount(path, &format!("size={bytes}"));
        if mounted.code == Some(0) {
            return Ok(Self {
                path: path.to_owned(),
            });
        }
        Err(format!(
            "a small disk cannot be mounted: {}",
            mounted.stderr.trim()
        ))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it larger, or smaller.
    ///
    /// # Panics
    /// When the machine refuses.
    #[track_caller]
    pub fn resize(&self, bytes: u64) {
        mount(&self.path, &format!("remount,size={bytes}")).ok();
    }
}

fn mount(path: &Path, options: &str) -> crate::process::Finished {
    Invocation::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .args([path])
        .run()
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a worker that is being killed may still have a file open.
        drop(
            Invocation::new("umount")
                .args(["--lazy"])
                .args([&self.path])
                .run(),
        );
    }
}
