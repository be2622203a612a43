//! What every route shares.

use std::ops::Deref;
use std::sync::Arc;

use leasectl_core::database::Database;
use leasectl_core::job::{self, EnqueueError, EnqueueRequest, Enqueued};
use leasectl_core::kind::{KindSpec, Kinds};
use leasectl_core::wakeup::Notifier;
use leasectl_core::webhook::Deliveries;
use leasectl_remote::Locality;
use leasectl_service::MetricsHandle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::readiness::Readiness;
use crate::routes::webhooks::expect_deliveries;
use crate::webhook::WebhookSecrets;

/// How many event streams are open at once.
const MAX_STREAMS: usize = 64;

/// How many large bodies of webhooks are in memory at once.
const MAX_LARGE_BODIES: usize = 8;

/// What every route shares; cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

/// The parts of a [`Service`].
pub struct Parts {
    /// The queue.
    pub database: Database,
    /// The kinds of jobs that are accepted.
    pub kinds: Kinds,
    /// Which remotes may be registered.
    pub locality: Locality,
    /// Wakes idle workers.
    pub notifier: Notifier,
    /// Which forges may send webhooks.
    pub webhooks: WebhookSecrets,
    /// Receives what they send.
    pub deliveries: Deliveries,
    /// Places for large bodies of webhooks.
    pub large_bodies: Semaphore,
    /// What this process counted.
    pub metrics: MetricsHandle,
    /// Cancelled when the service stops.
    pub stopping: CancellationToken,
    /// Places for event streams.
    pub streams: Arc<Semaphore>,
    /// What the last probe found.
    pub(crate) readiness: Readiness,
}

impl Service {
    /// A service over an open database. Must be called within a runtime.
    #[must_use]
    pub fn new(
        database: Database,
        locality: Locality,
        webhooks: WebhookSecrets,
        metrics: MetricsHandle,
        stopping: CancellationToken,
    ) -> Self {
        let notifier = Notifier::start(database.clone());
        let streams = Arc::new(Semaphore::new(MAX_STREAMS));
        let kinds = Kinds::standard();
        expect_deliveries();
        Self(Arc::new(Parts {
            deliveries: Deliveries::over(database.clone()),
            database,
            kinds,
            locality,
            webhooks,
            large_bodies: Semaphore::new(MAX_LARGE_BODIES),
            notifier,
            metrics,
            stopping,
            streams,
            readiness: Readiness::default(),
        }))
    }

    /// Commits jobs, all or none, and wakes whoever may run them.
    ///
    /// # Errors
    /// When a repository is unknown, a time too far away, or the database away.
    pub(crate) async fn accept(
        &self,
        jobs: Vec<(KindSpec, EnqueueRequest)>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let (kinds, requests): (Vec<KindSpec>, Vec<EnqueueRequest>) = jobs.into_iter().unzip();
        let accepted = job::enqueue(&self.database, &requests).await?;
        self.notifier.notify(kinds.iter().map(|kind| kind.lane));
        for (kind, job) in kinds.iter().zip(&accepted) {
            if !job.deduplicated {
                metrics::counter!("leasectl_jobs_enqueued_total", "kind" => kind.name).increment(1);
            }
        }
        Ok(accepted)
    }
}

impl Deref for Service {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
