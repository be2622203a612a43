//! One administrative statement, for callers inside or outside an async runtime.

use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// An administrative statement failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The server refused the connection or the statement.
    #[error("the database server refused an administrative statement")]
    Refused(#[from] tokio_postgres::Error),
    /// No runtime could be set up for it.
    #[error("could not set up a connection to the database server")]
    Runtime(#[from] std::io::Error),
    /// The server did not answer in time.
    #[error("the database server did not answer within {} s", LIMIT.as_secs())]
    TimedOut,
}

/// Runs one statement over a connection of its own.
///
/// It blocks, on a thread of its own, because callers may stand inside a runtime.
pub(crate) fn execute(url: &str, statement: &str) -> Result<(), SqlError> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| run(url, statement))
            .join()
            .unwrap_or(Err(SqlError::TimedOut))
    })
}

fn run(url: &str, statement: &str) -> Result<(), SqlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let work = async {
            let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
            let driver = tokio::spawn(connection);
            client.batch_execute(statement).await?;
            drop(client);
            // The server has answered; how the connection closes is of no interest.
            drop(driver.await);
            Ok(())
        };
        tokio::time::timeout(LIMIT, work)
            .await
            .unwrap_or(Err(SqlError::TimedOut))
    })
}
