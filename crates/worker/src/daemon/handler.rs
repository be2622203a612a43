//! What a kind of job brings to the worker: one handler, and what it is given to work with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use leasectl_core::database::Database;
use leasectl_core::failure::JobError;
use leasectl_core::kind::{KindSpec, Kinds, Lane};
use leasectl_core::lease::{ClaimedJob, Fence};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::metrics::KindMetrics;
use super::progress::ProgressReporter;

/// Runs the jobs of one kind.
///
/// A handler may run the same job again after a crash, so whatever it writes is written in a
/// transaction opened by [`JobContext::fence`], and is right to write twice.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The kind that this handler runs.
    fn spec(&self) -> KindSpec;

    /// Runs one job and returns its result.
    ///
    /// When [`JobContext::cancel`] is triggered it returns soon, with whatever it has; after a
    /// grace its future is dropped. What it returns then matters only if it is a result.
    ///
    /// # Errors
    /// A retryable failure spends one attempt; a permanent one ends the job.
    async fn run(&self, context: JobContext) -> Result<Value, JobError>;
}

/// What a handler is given.
#[derive(Debug)]
pub struct JobContext {
    /// The job.
    pub job: ClaimedJob,
    /// Opens transactions that only the holder of this lease can commit.
    pub fence: Fence,
    /// Tells how far the handler has come. Without any progress the lease expires.
    pub progress: ProgressReporter,
    /// Triggered when the handler is to stop.
    pub cancel: CancellationToken,
    /// The database, for reading and for fenced transactions.
    pub database: Database,
}

/// The handlers of a worker, one per kind.
#[derive(Clone, Default)]
pub struct Handlers {
    by_kind: BTreeMap<&'static str, Arc<dyn Handler>>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_kind.keys()).finish()
    }
}

impl Handlers {
    /// No handler.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These handlers and one more; one of the same kind is replaced.
    #[must_use]
    pub fn with(mut self, handler: Arc<dyn Handler>) -> Self {
        self.by_kind.insert(handler.spec().name, handler);
        self
    }

    /// The kinds that the handlers run, and the standard ones.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        self.by_kind
            .values()
            .fold(Kinds::standard(), |kinds, handler| {
                kinds.with(handler.spec())
            })
    }

    /// The handlers of lanes that are switched on.
    pub(crate) fn served(&self, is_on: impl Fn(Lane) -> bool) -> ServedKinds {
        let served = self
            .by_kind
            .values()
            .filter(|handler| is_on(handler.spec().lane));
        ServedKinds {
            by_name: served
                .map(|handler| {
                    let spec = handler.spec();
                    let metrics = KindMetrics::new(spec.name);
                    (
                        spec.name,
                        Arc::new(ServedKind {
                            spec,
                            handler: Arc::clone(handler),
                            metrics,
                        }),
                    )
                })
                .collect(),
        }
    }
}

/// One kind that this worker runs.
pub(crate) struct ServedKind {
    pub(crate) spec: KindSpec,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) metrics: KindMetrics,
}

/// The kinds that this worker runs.
pub(crate) struct ServedKinds {
    by_name: BTreeMap<&'static str, Arc<ServedKind>>,
}

impl ServedKinds {
    /// The kind of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ServedKind>> {
        self.by_name.get(name)
    }

    /// The names of all kinds.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.by_name.keys().copied().collect()
    }

    /// Every kind.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &KindSpec> {
        self.by_name.values().map(|kind| &kind.spec)
    }

    /// Whether some kind runs in the lane.
    pub(crate) fn serve(&self, lane: Lane) -> bool {
        self.by_name.values().any(|kind| kind.spec.lane == lane)
    }
}
