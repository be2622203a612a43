//! A Git remote over HTTP on loopback whose rate and faults the test controls.

use std::path::PathBuf;

use leasectl_repo::serve::{Fault, LocalRemote, Seen, ServeOptions};
use tempfile::TempDir;

use crate::git::{Origin, noise};
use crate::runtime::{block_on, runtime};

/// A running remote and the repositories that it serves.
#[derive(Debug)]
pub struct Remote {
    served: Option<LocalRemote>,
    root: TempDir,
}

impl Remote {
    /// Serves nothing yet, as fast as it can and without faults.
    ///
    /// # Panics
    /// When no port is free or git is missing.
    #[must_use]
    pub fn start() -> Self {
        let root = tempfile::Builder::new()
            .prefix("lt-remote-")
            .tempdir()
            .expect("a folder");
        let served = block_on(LocalRemote::start(
            root.path().to_owned(),
            ServeOptions::default(),
        ));
        Self {
            served: Some(served.expect("a remote")),
            root,
        }
    }

    /// Makes a repository of that name (`owner/name`) with one commit.
    ///
    /// # Panics
    /// When git refuses.
    #[must_use]
    pub fn repository(&self, name: &str) -> Origin {
        let origin = Origin::create(&self.folder(name));
        origin.commit("main", "README.md", format!("# {name}\n").as_bytes());
        origin
    }

    /// Makes a repository whose clone takes that many bytes over the wire.
    ///
    /// # Panics
    /// When git refuses.
    #[must_use]
    pub fn heavy_repository(&self, name: &str, bytes: usize) -> Origin {
        let origin = self.repository(name);
        origin.commit("main", "heavy.bin", &noise(bytes, 7));
        origin
    }

    /// The URL of the repository of that name.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        self.served().url(&format!("{name}.git"))
    }

    /// Where the repository of that name lies.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("{name}.git"))
    }

    /// Misbehaves in that way from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.served().set_fault(fault);
    }

    /// Serves at that rate from now on; `None` is as fast as it can.
    pub fn set_bytes_per_second(&self, rate: Option<u64>) {
        self.served().set_bytes_per_second(rate);
    }

    /// What it has seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.served().seen()
    }

    fn served(&self) -> &LocalRemote {
        self.served.as_ref().expect("it is taken on drop only")
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _inside = runtime().enter();
        drop(self.served.take());
    }
}
