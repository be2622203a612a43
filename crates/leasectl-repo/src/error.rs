//! What can go wrong with a clone, told apart by what the caller should do about it.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

/// Why an operation on a clone failed.
///
/// The text is one sentence that says what to do. It names the remote by host or by the words "the
/// remote" only: never a local path, a credential or a URL. The technical cause hangs below as
/// [`source`](Error::source), for logs.
///
/// It is `Clone` because everybody who waited for the same clone gets the same failure.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// The remote could not be reached, or answered that it cannot serve now.
    #[error("the remote {remote} cannot be reached: check that it is up and try again")]
    Unavailable {
        /// Host of the remote, or "on this machine".
        remote: String,
        /// What happened.
        #[source]
        cause: Cause,
    },
    /// The address of the remote is not public, and only public ones are allowed.
    #[error(
        "the remote {remote} resolves to an address that is not public: use a public remote, or set LEASECTL_ALLOW_LOCAL=1"
    )]
    AddressRefused {
        /// Host of the remote.
        remote: String,
    },
    /// There is no repository behind the URL.
    #[error("there is no Git repository at this URL on {remote}: check the URL")]
    NotFound {
        /// Host of the remote, or "this machine".
        remote: String,
        /// What happened.
        #[source]
        cause: Cause,
    },
    /// The remote redirected to another URL, which is never followed.
    #[error("the remote {remote} redirects to another URL: register that URL instead")]
    Redirected {
        /// Host of the remote.
        remote: String,
    },
    /// The remote wants credentials that are missing, or refuses the ones that are configured.
    #[error("the remote {remote} refused access: {advice}")]
    AuthFailed {
        /// Host of the remote.
        remote: String,
        /// What to do about it.
        advice: AuthAdvice,
        /// What happened.
        #[source]
        cause: Cause,
    },
    /// The remote was silent, too slow, or not done before the deadline.
    #[error("the remote {remote} was too slow: {limit}; try again later or raise that limit")]
    TimedOut {
        /// Host of the remote.
        remote: String,
        /// The limit that was reached.
        limit: TimeLimit,
    },
    /// The remote holds more than this worker accepts.
    #[error("the repository on {remote} is too large: it has more than {limit}")]
    TooLarge {
        /// Host of the remote.
        remote: String,
        /// The limit that was reached.
        limit: SizeLimit,
    },
    /// A commit or a directory takes more memory to read than it may.
    #[error("a commit or a directory of the repository takes too much memory to be read here")]
    Unwieldy {
        /// What happened.
        #[source]
        cause: Cause,
    },
    /// A program that is needed to reach this remote is not installed.
    #[error("the program {tool} is missing on this worker: install it and try again")]
    ToolMissing {
        /// The program.
        tool: String,
    },
    /// The disk of the clone cache is full.
    #[error("the disk of the clone cache is full: free space or lower the disk budget")]
    DiskFull,
    /// The clone is damaged, or a new one was damaged too.
    #[error("the clone is damaged and was put aside: try again, and check the disk if it repeats")]
    Corrupt {
        /// What was found.
        #[source]
        cause: Cause,
    },
    /// The clone and its remote do not have this ref or commit.
    #[error("the remote does not have {reference}: check the name, or fetch and try again")]
    RefNotFound {
        /// The ref or commit.
        reference: String,
    },
    /// The request itself makes no sense.
    #[error("{what} is not valid: {why}")]
    InvalidArgument {
        /// What is not valid.
        what: String,
        /// Why it is not.
        why: String,
    },
    /// The caller asked to stop.
    #[error("the operation was cancelled")]
    Cancelled,
    /// Another process kept the lock of the clone for too long.
    #[error("another process is still working on this clone after {waited:?}: try again later")]
    Busy {
        /// How long this one waited.
        waited: Duration,
    },
    /// The cache directory cannot be used.
    #[error("the clone cache cannot be used ({doing}): check its permissions and its disk")]
    Cache {
        /// What was tried.
        doing: &'static str,
        /// What happened.
        #[source]
        cause: Cause,
    },
    /// A file of a worktree is not what it was when the worktree was looked at.
    #[error(
        "the file {path:?} changed while the worktree was read: try again, or have Git ignore it"
    )]
    Changed {
        /// The file, from the worktree's root.
        path: String,
    },
    /// A worktree on this machine cannot be read.
    #[error("the worktree cannot be read ({doing}): check its permissions, and git fsck")]
    Worktree {
        /// What was tried.
        doing: &'static str,
        /// What happened.
        #[source]
        cause: Cause,
    },
    /// The child process that does the Git work could not be run, or died.
    #[error("the Git process of this worker ended unexpectedly: try again, and see the log")]
    Child {
        /// What happened.
        #[source]
        cause: Cause,
    },
}

impl RepoError {
    /// The stable error code of the contract.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. }
            | Self::ToolMissing { .. }
            | Self::Busy { .. }
            | Self::Cache { .. }
            | Self::Changed { .. }
            | Self::Worktree { .. }
            | Self::Child { .. } => "repo_unavailable",
            Self::NotFound { .. } | Self::Redirected { .. } => "remote_not_found",
            Self::AuthFailed { .. } => "auth_failed",
            Self::TimedOut { .. } => "remote_timeout",
            Self::TooLarge { .. } | Self::Unwieldy { .. } => "remote_too_large",
            Self::DiskFull => "disk_full",
            Self::Corrupt { .. } => "clone_corrupt",
            Self::RefNotFound { .. } => "ref_not_found",
            Self::InvalidArgument { .. } | Self::AddressRefused { .. } => "invalid_argument",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::ToolMissing { .. }
            | Self::TimedOut { .. }
            | Self::DiskFull
            | Self::Corrupt { .. }
            | Self::Busy { .. }
            | Self::Cache { .. }
            | Self::Changed { .. }
            | Self::Child { .. } => true,
            Self::AddressRefused { .. }
            | Self::NotFound { .. }
            | Self::Redirected { .. }
            | Self::AuthFailed { .. }
            | Self::TooLarge { .. }
            | Self::Unwieldy { .. }
            | Self::RefNotFound { .. }
            | Self::InvalidArgument { .. }
            | Self::Worktree { .. }
            | Self::Cancelled => false,
        }
    }

    /// A local input or output error, told apart by whether the disk is full.
    pub(crate) fn local(doing: &'static str, error: io::Error) -> Self {
        if is_disk_full(&error) {
            Self::DiskFull
        } else {
            Self::Cache {
                doing,
                cause: Cause::new(error),
            }
        }
    }
}

/// Whether the error says that there is no space (or quota) left.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What to do when access is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthAdvice {
    /// No credentials are configured for the host.
    Configure,
    /// The configured credentials were refused.
    Renew,
    /// Credentials exist, but the remote uses clear-text HTTP.
    UseHttps,
}

impl fmt::Display for AuthAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure a token for this host, or check that the URL is right",
            Self::Renew => "the configured credentials are not accepted, renew them",
            Self::UseHttps => "credentials are never sent over clear-text http, use https",
        })
    }
}

/// Which limit on time was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeLimit {
    /// The connection was not made in time.
    Connect(Duration),
    /// Nothing was received for this long.
    Silence(Duration),
    /// Less than this many bytes a second were received.
    Rate(u32),
    /// The whole operation took longer than this.
    Total(Duration),
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(limit) => write!(f, "no connection within {limit:?}"),
            Self::Silence(limit) => write!(f, "nothing received for {limit:?}"),
            Self::Rate(limit) => write!(f, "less than {limit} bytes a second"),
            Self::Total(limit) => write!(f, "not done within {limit:?}"),
        }
    }
}

/// Which limit on size was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeLimit {
    /// Bytes received or written.
    Bytes(u64),
    /// References offered.
    Refs(u64),
    /// Objects sent.
    Objects(u64),
    /// Bytes of a single object.
    Object(u64),
    /// Memory needed, in bytes.
    Memory(u64),
}

impl fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(limit) => write!(f, "{limit} bytes"),
            Self::Refs(limit) => write!(f, "{limit} refs"),
            Self::Objects(limit) => write!(f, "{limit} objects"),
            Self::Object(limit) => write!(f, "{limit} bytes in one object"),
            Self::Memory(limit) => write!(f, "what fits into {limit} bytes of memory"),
        }
    }
}

/// A technical cause that can be shared between everybody who waited for the same work.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Wraps an error.
    pub(crate) fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
