//! A private PostgreSQL server in a data directory: found, started, shared by several processes, stopped.
//!
//! leasectl keeps everything that must last in PostgreSQL. So that a first run needs no set-up, this
//! crate runs a server of its own below the data directory: reached only over a Unix socket in a
//! folder that nobody else can enter, started by the first process that needs it, shared by the
//! others, and stopped by whoever leaves last .
//!
//! **Invariant:** the crate never touches a cluster that it did not create, never upgrades one, and
//! never turns durability off, with one exception: [`scratch`], whose servers are thrown away.

mod account;
mod binaries;
mod cluster;
mod config;
mod download;
mod embedded;
mod lock;
mod postmaster;
mod process;
pub mod scratch;
mod settings;
mod socket;
mod sql;

pub use account::AccountError;
pub use binaries::FindError;
pub use cluster::{ClusterError, Mode};
pub use config::{Downloads, EmbeddedOptions};
pub use download::DownloadError;
pub use embedded::{Embedded, EmbeddedError, Left};
