//! What can go wrong while measuring. A bar that is missed is a result, not an error.

use std::io;

use leasectl_core::database::{ConnectError, DatabaseError, DatabaseUrlError};
use leasectl_core::ids::RepoId;
use leasectl_core::job::EnqueueError;
use leasectl_core::kind::ArgsError;
use leasectl_core::migrations::MigrateError;
use leasectl_embedded::scratch::ScratchError;
use leasectl_repo::RepoError;
use leasectl_repo::serve::ServeError;
use leasectl_worker::daemon::DaemonError;

/// A scenario could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("the throw-away server failed")]
    Scratch(#[from] ScratchError),
    #[error("the database cannot be reached")]
    Connect(#[from] ConnectError),
    #[error("the database's URL cannot be used")]
    Url(#[from] DatabaseUrlError),
    #[error("a statement failed")]
    Database(#[from] DatabaseError),
    #[error("a statement of the benchmark failed")]
    Statement(#[from] tokio_postgres::Error),
    #[error("the schema could not be made")]
    Migrate(#[from] MigrateError),
    #[error("jobs were not accepted")]
    Enqueue(#[from] EnqueueError),
    #[error("the no-op kind refuses its own arguments")]
    Args(#[from] ArgsError),
    #[error("the worker failed")]
    Daemon(#[from] DaemonError),
    #[error("the HTTP service failed")]
    Api(#[from] leasectl_api::program::ProgramError),
    #[error("a request could not be made")]
    Http(#[from] reqwest::Error),
    #[error("the clone cache failed")]
    Repo(#[from] RepoError),
    #[error("the local remote failed")]
    Serve(#[from] ServeError),
    #[error("the machine does not tell what its processors did")]
    Host(#[from] procfs::ProcError),
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error("{program} ended with {status}: {output}")]
    Program {
        program: String,
        status: String,
        output: String,
    },
    #[error("{what} did not happen within {seconds} s")]
    TooLate { what: &'static str, seconds: u64 },
    #[error("{0}")]
    Unexpected(String),
    #[error("the lease of a job in repository {0} was lost while measuring")]
    LeaseLost(RepoId),
}
