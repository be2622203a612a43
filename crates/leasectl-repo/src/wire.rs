//! What the worker and its Git child say to each other: JSON, one message a line.
//!
//! The request and answers go to the child's standard input, which stays open for as long as the
//! parent lives; messages come back on its standard output.

use std::path::PathBuf;

use leasectl_remote::{Locality, RemoteUrl, RemoteUrlError};
use serde::{Deserialize, Serialize};

use crate::{
    error::{AuthAdvice, SizeLimit, TimeLimit},
    progress::Progress,
    settings::Limits,
};

/// The first line to the child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Where the clone lies; it does not exist yet if it is to be made.
    pub(crate) dir: PathBuf,
    /// Whether to make it.
    pub(crate) create: bool,
    /// The remote, in canonical form.
    pub(crate) url: String,
    /// Whether local remotes are allowed.
    pub(crate) allow_local: bool,
    /// Which references to mirror, as `+source:destination`.
    pub(crate) refspecs: Vec<String>,
    /// What the remote is held to.
    pub(crate) limits: Limits,
}

impl Request {
    pub(crate) fn locality(&self) -> Locality {
        if self.allow_local {
            Locality::AllowLocal
        } else {
            Locality::PublicOnly
        }
    }

    pub(crate) fn remote(&self) -> Result<RemoteUrl, RemoteUrlError> {
        RemoteUrl::parse(&self.url, self.locality())
    }
}

/// Further lines to the child.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The credentials that it asked for, if there are any. Never printed: no `Debug`.
    Credentials(Option<Login>),
}

/// A user and a secret.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) secret: String,
}

/// Lines from the child.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// How far it has come.
    Progress(Progress),
    /// The remote wants credentials.
    AskCredentials,
    /// It is done.
    Done(Outcome),
    /// It failed.
    Failed(Failure),
}

/// What a clone or fetch found and changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) default_branch: Option<String>,
    pub(crate) head: Option<String>,
    pub(crate) head_changed: bool,
    pub(crate) refs_created: u64,
    pub(crate) refs_updated: u64,
    pub(crate) refs_deleted: u64,
    pub(crate) change_refs_changed: bool,
    pub(crate) bytes_received: u64,
}

/// Why the child failed; texts are for logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    #[error("{0}")]
    Unavailable(String),
    #[error("the address is not public")]
    AddressRefused,
    #[error("{0}")]
    NotFound(String),
    #[error("the remote redirects")]
    Redirected,
    #[error("{1}")]
    Auth(AuthAdvice, String),
    #[error("{0}")]
    TimedOut(TimeLimit),
    #[error("more than {0}")]
    TooLarge(SizeLimit),
    #[error("the disk is full")]
    DiskFull,
    #[error("{0}")]
    Corrupt(String),
    #[error("the remote has no {0}")]
    RefNotFound(String),
    #[error("the program {0} is missing")]
    ToolMissing(String),
    #[error("{0}")]
    Local(String),
}
