//! What the loops of one worker share.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::sync::Arc;

use leasectl_core::database::{Client, Database, DatabaseError};
use leasectl_core::kind::Lane;
use leasectl_core::wakeup;
use leasectl_core::worker::WorkerRecord;
use tokio_util::task::TaskTracker;

use super::handler::{Handlers, ServedKinds};
use super::handler_threads::HandlerThreads;
use super::hints::Hints;
use super::liveness::LivenessBoard;
use super::outage::{OutageBoard, chain};
use super::running::Registry;
use super::settings::WorkerSettings;
use super::shutdown::Shutdown;
use super::slots::Slots;
use super::trust::TrustRules;
use super::vigil::Vigil;

/// Whether a connection still speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// An answer came, if only that it is broken.
    Something,
    /// None came in time: the connection is to be given up.
    Nothing,
}

/// What the loops of one worker share.
pub(crate) struct Shared {
    pub(crate) settings: WorkerSettings,
    /// What this worker says of itself.
    pub(crate) record: WorkerRecord,
    pub(crate) database: Database,
    pub(crate) kinds: ServedKinds,
    pub(crate) slots: Arc<Slots>,
    pub(crate) hints: Hints,
    pub(crate) registry: Registry,
    pub(crate) outages: OutageBoard,
    pub(crate) liveness: LivenessBoard,
    pub(crate) rules: TrustRules,
    pub(crate) shutdown: Shutdown,
    pub(crate) vigil: Arc<Vigil>,
    /// The tasks that run handlers.
    pub(crate) attempts: TaskTracker,
    /// What those tasks run on.
    pub(crate) handler_threads: HandlerThreads,
}

impl Shared {
    pub(crate) fn new(
        settings: WorkerSettings,
        database: Database,
        handlers: &Handlers,
        shutdown: Shutdown,
    ) -> io::Result<Arc<Self>> {
        let kinds = handlers.served(|lane| settings.concurrency.of(lane) > 0);
        let slots = Arc::new(Slots::new(settings.concurrency, |lane| kinds.serve(lane)));
        let rules = TrustRules::new(&settings.lease, settings.stop_grace);
        let record = WorkerRecord {
            owner: settings.owner.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kinds: kinds
                .iter()
                .map(|spec| (spec.name.to_owned(), slots.capacity(spec.lane)))
                .collect(),
            settings: settings.lease,
            death_grace: settings.death_grace,
        };
        let vigil = Vigil::new(settings.blocked_after, settings.lease.stale_after());
        Ok(Arc::new(Self {
            record,
            database,
            kinds,
            slots,
            hints: Hints::new(),
            registry: Registry::default(),
            outages: OutageBoard::default(),
            liveness: LivenessBoard::new(settings.death_grace),
            rules,
            shutdown,
            settings,
            vigil: Arc::new(vigil),
            attempts: TaskTracker::new(),
            handler_threads: HandlerThreads::start()?,
        }))
    }

    /// A connection to take over with what nobody holds any more.
    ///
    /// What this worker itself hands back after an outage goes first: taken over from itself, it would cost
    /// the job an attempt. That is waited for as long as others would wait before they take it over.
    pub(crate) async fn client_to_take_over(&self) -> Result<Client, DatabaseError> {
        // Before the database can be reached nothing could be handed back.
        let client = self.database.client().await?;
        let overdue = self.registry.overdue_settlements(&self.rules);
        if overdue.is_empty() {
            return Ok(client);
        }
        drop(client);
        let settled = self.registry.until_removed(&overdue);
        let limit = self.settings.lease.stale_after();
        if tokio::time::timeout(limit, settled).await.is_err() {
            tracing::warn!(
                leases = overdue.len(),
                "the leases of this worker are handed back slowly; taking over all the same"
            );
        }
        self.database.client().await
    }

    /// Those of the lanes from which others have to take: this worker has no room there, or takes nothing now.
    pub(crate) fn for_others(&self, lanes: &[Lane]) -> Vec<Lane> {
        let mut for_others = lanes.to_vec();
        for_others.retain(|lane| !self.takes() || self.slots.free(*lane) == 0);
        for_others
    }

    /// Whether this worker would take jobs now, if it had room for them.
    pub(crate) fn takes(&self) -> bool {
        !self.shutdown.is_requested() && self.vigil.is_well() && self.liveness.phase().may_claim()
    }

    /// Wakes others for jobs in those lanes. What they do not hear of they find by polling.
    pub(crate) async fn wake_others(&self, client: &Client, lanes: BTreeSet<Lane>) -> Heard {
        let lanes: Vec<_> = lanes.into_iter().collect();
        match self.answer(wakeup::announce(client, &lanes)).await {
            Some(Ok(())) => Heard::Something,
            Some(Err(error)) => {
                tracing::debug!(
                    error = chain(&error),
                    "the others find their jobs by polling"
                );
                Heard::Something
            }
            None => Heard::Nothing,
        }
    }

    /// Waits for the database's answer over that connection, but not for ever: a server ends its
    /// statements itself, a proxy may swallow them. Nothing is returned when none came.
    pub(crate) async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Option<Result<T, DatabaseError>> {
        let limit = self.settings.answer_timeout;
        tokio::time::timeout(limit, asked).await.ok()
    }

    /// The answer; without one the connection is given up.
    pub(crate) fn heard<T>(
        &self,
        client: Client,
        answer: Option<Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        answer.unwrap_or_else(|| Err(self.database.give_up(client)))
    }
}
