//! How a clone cache is set up, and the limits that untrusted remotes are held to.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use leasectl_remote::Locality;

use crate::credentials::CredentialSource;

/// Everything a [`CloneCache`](crate::CloneCache) needs to know.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Directory that holds all clones; it is made if it is missing.
    pub root: PathBuf,
    /// Which remotes are acceptable.
    pub locality: Locality,
    /// Limits on every operation.
    pub limits: Limits,
    /// Where credentials come from when a remote asks for them.
    pub credentials: CredentialSource,
    /// The program that runs [`git_child_main`](crate::git_child_main).
    pub git_child: ChildProgram,
}

/// Limits on one clone or fetch.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Longest time one clone or fetch may take.
    pub wall_clock: Duration,
    /// Longest time to wait while another thread or process works on the same clone.
    pub lock_wait: Duration,
    /// Longest time until a connection stands.
    pub connect_timeout: Duration,
    /// Longest time without receiving anything.
    pub silence: Duration,
    /// Lowest acceptable average rate, in bytes a second, over [`Self::rate_window`]; 0 accepts any.
    pub min_bytes_per_second: u32,
    /// The time over which the rate is measured.
    pub rate_window: Duration,
    /// Most bytes that one clone or fetch may receive.
    pub max_bytes: u64,
    /// Most references that a remote may offer.
    pub max_refs: u64,
    /// Most objects that a remote may send at once.
    pub max_objects: u64,
    /// Most memory of the child process, in bytes; packs that are mapped from the disk do not count.
    pub max_memory_bytes: u64,
    /// Largest single object that the child process reads into memory, in bytes.
    pub max_object_bytes: u64,
    /// Most memory that reading one object of a clone may take in this process, in bytes. A small object that
    /// is stored as a change of a large one takes twice as much as that one.
    pub max_read_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            wall_clock: Duration::from_secs(60 * 60),
            lock_wait: Duration::from_secs(65 * 60),
            connect_timeout: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            min_bytes_per_second: 16,
            rate_window: Duration::from_secs(180),
            max_bytes: 20 * GIB,
            max_refs: 2_000_000,
            max_objects: 50_000_000,
            max_memory_bytes: 8 * GIB,
            max_object_bytes: 2 * GIB,
            max_read_bytes: GIB / 8,
        }
    }
}

/// How to start the child process: a program and the arguments that select its hidden subcommand.
#[derive(Debug, Clone)]
pub struct ChildProgram {
    /// The program, usually the worker's own executable.
    pub program: PathBuf,
    /// Its arguments, usually `["git-child"]`.
    pub args: Vec<OsString>,
}
