//! The worker's own listener: `/metrics` and `/healthz`, nothing else.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use leasectl_core::database::Database;
use metrics_exporter_prometheus::BuildError;
use tokio::net::TcpListener;

use super::MetricsHandle;

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics could not be set up or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Another recorder was there first.
    #[error("could not install the metrics recorder")]
    Install(#[source] BuildError),
    /// No thread could be started.
    #[error("could not start the thread that keeps metrics small")]
    Upkeep(#[source] io::Error),
    /// The address cannot be listened on.
    #[error("could not listen on {address} for metrics")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The listener failed.
    #[error("could not go on serving metrics")]
    Serve(#[source] io::Error),
}

/// A bound listener that is not served yet, so that a wrong address shows before work begins.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Binds the address; port 0 picks a free one.
    ///
    /// # Errors
    /// [`MetricsError::Bind`].
    pub async fn bind(address: SocketAddr) -> Result<Self, MetricsError> {
        let failed = |source| MetricsError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done.
    ///
    /// # Errors
    /// [`MetricsError::Serve`] when the listener fails.
    pub async fn serve(
        self,
        metrics: MetricsHandle,
        database: Database,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), MetricsError> {
        let routes = Router::new()
            .route("/metrics", get(page))
            .route("/healthz", get(async || "ok\n"))
            .with_state((metrics, database));
        axum::serve(self.listener, routes)
            .with_graceful_shutdown(stop)
            .await
            .map_err(MetricsError::Serve)
    }
}

async fn page(State((metrics, database)): State<(MetricsHandle, Database)>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, PROMETHEUS_TEXT)],
        metrics.render(&database).await,
    )
}
