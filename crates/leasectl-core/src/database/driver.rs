//! Which runtime drives the connections of a pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use deadpool_postgres::Connect;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};

use super::tls::Connector;

/// Opens the connections of a pool, and drives them on one runtime.
///
/// A connection answers only while the runtime lives on which it was opened. A pool that is shared
/// with code that may block its threads must not open its connections there.
pub(super) struct Driver {
    pub(super) tls: Connector,
    /// Until one is chosen, whoever opens a connection drives it.
    pub(super) runtime: Arc<OnceLock<Handle>>,
}

type Opened = Result<(Client, JoinHandle<()>), Error>;

impl Connect for Driver {
    fn connect(&self, config: &Config) -> Pin<Box<dyn Future<Output = Opened> + Send + '_>> {
        let opening = open(config.clone(), self.tls.clone());
        let Some(runtime) = self.runtime.get() else {
            return Box::pin(opening);
        };
        Box::pin(async move {
            match runtime.spawn(opening).await {
                Ok(opened) => opened,
                Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
                // The runtime is ending; the pool stops waiting for a connection by itself.
                Err(_cancelled) => std::future::pending().await,
            }
        })
    }
}

async fn open(config: Config, tls: Connector) -> Opened {
    let (client, connection) = config.connect(tls).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a database connection ended");
        }
    });
    Ok((client, driver))
}
