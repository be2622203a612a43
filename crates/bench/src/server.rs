//! The PostgreSQL server that everything is measured on: thrown away, but as durable as any.

use std::path::PathBuf;

use leasectl_core::database::{Database, DatabaseUrl, PoolOptions};
use leasectl_core::migrations;
use leasectl_embedded::Mode;
use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};
use tokio_postgres::NoTls;

use crate::error::BenchError;
use crate::noop;

/// What differs from the defaults of PostgreSQL. `fsync`, `synchronous_commit` and
/// `full_page_writes` are on.
const SETTINGS: [(&str, &str); 2] = [("shared_buffers", "1GB"), ("max_wal_size", "4GB")];

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    scratch: ScratchServer,
}

/// One database of it, with our schema.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) url: String,
    pub(crate) database: Database,
    /// A connection of the benchmark's own, beside what is measured.
    pub(crate) own: tokio_postgres::Client,
}

impl Server {
    pub(crate) fn start() -> Result<Self, BenchError> {
        Self::start_with(&[])
    }

    /// One with more settings.
    pub(crate) fn start_with(more: &[(&str, &str)]) -> Result<Self, BenchError> {
        let settings = SETTINGS.iter().chain(more).fold(
            ScratchSettings::new().durable(),
            |settings, (name, value)| settings.with(name, value),
        );
        Ok(Self {
            scratch: ScratchServer::start(settings)?,
        })
    }

    /// What readers of a report must know about the server.
    pub(crate) fn describe() -> String {
        let settings = SETTINGS.map(|(name, value)| format!("{name} {value}"));
        format!(
            "server: fsync and synchronous_commit on, {}",
            settings.join(", ")
        )
    }

    /// An empty database's URL.
    pub(crate) fn empty_database(&self) -> Result<String, BenchError> {
        Ok(self.scratch.create_database()?)
    }

    /// A database with our schema and no jobs; the pool has that many connections, two at least.
    pub(crate) async fn queue(&self, connections: usize) -> Result<Queue, BenchError> {
        let url = self.empty_database()?;
        // Migrating takes two.
        let database = open(&url, connections.max(2))?;
        migrations::apply(&database, &noop::kinds()).await?;
        let own = connect(&url).await?;
        Ok(Queue { url, database, own })
    }

    /// The server's main process.
    pub(crate) fn pid(&self) -> Result<u32, BenchError> {
        let pid = self.scratch.pid();
        pid.ok_or_else(|| BenchError::Unexpected("the server does not run".to_owned()))
    }

    /// Stops the server; blocks until it has ended.
    pub(crate) fn stop(&self, mode: Mode) -> Result<(), BenchError> {
        Ok(self.scratch.stop(mode)?)
    }

    /// Starts the stopped server again; blocks until it runs.
    pub(crate) fn start_again(&self) -> Result<(), BenchError> {
        Ok(self.scratch.start_again()?)
    }

    /// The socket at which it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        let name = format!(".s.PGSQL.{}", self.scratch.port());
        self.scratch.socket_dir().join(name)
    }

    /// A database's URL over a TCP port of the loopback address that leads to the socket.
    pub(crate) fn url_over(port: u16, url: &str) -> String {
        let database = url.rsplit('/').next().unwrap_or_default();
        format!("postgres://leasectl@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// The arguments with which PostgreSQL's own programs reach a database of this server.
    pub(crate) fn program_arguments(&self, url: &str) -> Vec<String> {
        let database = url.rsplit('/').next().unwrap_or_default();
        vec![
            format!("--host={}", self.scratch.socket_dir().display()),
            format!("--port={}", self.scratch.port()),
            "--username=leasectl".to_owned(),
            database.to_owned(),
        ]
    }
}

/// A pool of that many connections.
pub(crate) fn open(url: &str, connections: usize) -> Result<Database, BenchError> {
    open_as(url, connections, "leasectl-bench")
}

/// The same under a name of its own.
pub(crate) fn open_as(url: &str, connections: usize, name: &str) -> Result<Database, BenchError> {
    let options = PoolOptions {
        max_size: connections,
        application_name: name.to_owned(),
    };
    Ok(Database::open(&DatabaseUrl::parse(url)?, options)?)
}

/// One plain connection.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client, BenchError> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Makes what was filled in look like a table that has been there for a while.
pub(crate) async fn settle_down(client: &tokio_postgres::Client) -> Result<(), BenchError> {
    client.batch_execute("vacuum analyze").await?;
    client.batch_execute("checkpoint").await?;
    Ok(())
}
