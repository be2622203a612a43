//! The PostgreSQL server that everything is measured on: thrown away, but as durable as any.

use leasectl_core::database::{Database, DatabaseUrl, PoolOptions};
use leasectl_core::migrations;
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
        let settings = SETTINGS.iter().fold(
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
    let options = PoolOptions {
        max_size: connections,
        application_name: "leasectl-bench".to_owned(),
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
