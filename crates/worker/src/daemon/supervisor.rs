//! The life of one worker: registers, runs its loops, drains, and leaves nothing behind.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use leasectl_core::database::{ConnectError, Database, DatabaseError, DatabaseUrl};
use leasectl_core::kind::Lane;
use leasectl_core::{wakeup, worker};
use thiserror::Error;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::claimer::Claimer;
use super::handler::Handlers;
use super::heartbeat::HeartbeatThread;
use super::liveness::Phase;
use super::outage::chain;
use super::own_thread::OwnThread;
use super::running::Finished;
use super::settings::WorkerSettings;
use super::settler::Settler;
use super::shared::Shared;
use super::shutdown::Shutdown;
use super::verdict::StopReason;
use super::{attempt, collector, listener, liveness, lookout, maintenance, systemd};

/// How long an end without waiting may take to hand leases back.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long settlements that are under way may take when every handler has ended.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(5);

/// How long the first try to hold the liveness lock is waited for.
const FIRST_LOCK: Duration = Duration::from_secs(5);

/// The parts without which no lease may be held, and no handler waited for.
const HEARTBEAT: &str = "heartbeat";
const LIVENESS: &str = "liveness session";
const HANDLERS: &str = "supply of threads for handlers";

/// A worker could not start, or one of its parts broke.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// A connection cannot be set up.
    #[error("cannot set up the worker's connections")]
    Connect(#[from] ConnectError),
    /// The database refuses the worker.
    #[error("the database refuses to register the worker; is the schema up to date?")]
    Register(#[source] DatabaseError),
    /// The threads for handlers cannot be started.
    #[error("cannot start the threads for handlers")]
    StartHandlers(#[source] io::Error),
    /// The heartbeat thread cannot be started.
    #[error("cannot start the heartbeat thread")]
    StartHeartbeat(#[source] io::Error),
    /// The thread of the liveness session cannot be started.
    #[error("cannot start the thread of the liveness session")]
    StartLiveness(#[source] io::Error),
    /// A part of the worker ended although nobody asked for it.
    #[error("the worker's {0} broke; its leases were handed back")]
    Broken(&'static str),
}

/// Claims and runs jobs until a shutdown is requested and the drain is over.
///
/// The database may be away, now or later: the worker waits for it without a bound. `direct` is
/// where to listen for wakeups, which a pooler in transaction mode cannot pass on.
///
/// # Errors
/// When the database refuses the worker, or a part of the worker breaks; never because the database
/// is away.
pub async fn run(
    settings: WorkerSettings,
    database: Database,
    direct: DatabaseUrl,
    handlers: Handlers,
    shutdown: Shutdown,
) -> Result<(), DaemonError> {
    // Handlers use the pool too, and may block the threads on which they do.
    database.drive_here();
    let shared =
        Shared::new(settings, database, &handlers, shutdown).map_err(DaemonError::StartHandlers)?;
    let liveness = hold_lock(&shared, &direct).await?;
    if !register(&shared).await? {
        return Ok(());
    }
    let (mut supervisor, ready) = Supervisor::start(shared, liveness, direct)?;
    let broken = supervisor.watch(ready).await;
    // Whatever broke, the leases are handed back.
    if let Some(part) = broken {
        supervisor.shared.shutdown.request();
        if [HEARTBEAT, LIVENESS, HANDLERS].contains(&part) {
            // Nothing keeps the leases or watches over trust any more, or no handler can get on: none
            // may be waited for.
            supervisor.shared.shutdown.request();
        }
    }
    supervisor.drain().await;
    broken.map_or(Ok(()), |part| Err(DaemonError::Broken(part)))
}

/// Holds the liveness lock before the worker is known to anybody, if that takes no long time.
async fn hold_lock(
    shared: &Arc<Shared>,
    direct: &DatabaseUrl,
) -> Result<Option<OwnThread>, DaemonError> {
    let Some(grace) = shared.settings.death_grace else {
        return Ok(None);
    };
    let thread = liveness::spawn(Arc::clone(shared), direct.clone(), grace);
    let thread = thread.map_err(DaemonError::StartLiveness)?;
    let decided = shared.liveness.until(|phase| phase != Phase::Starting);
    tokio::select! {
        () = decided => {}
        () = shared.shutdown.requested() => {}
        () = tokio::time::sleep(FIRST_LOCK) => {}
    }
    Ok(Some(thread))
}

/// Makes the worker known; answers whether it is, or whether a shutdown came first.
async fn register(shared: &Shared) -> Result<bool, DaemonError> {
    let mut outage = shared.outages.watch("start", Duration::from_secs(5));
    loop {
        let registered = async {
            let client = shared.database.client().await?;
            let lock = shared.liveness.lock_claim();
            let answer = shared.answer(worker::beat(&client, &shared.record, false, lock));
            let answer = answer.await;
            shared.heard(client, answer)
        };
        match registered.await {
            Ok(liveness) => {
                outage.over();
                shared.liveness.row_says(liveness);
                return Ok(true);
            }
            Err(error) if !error.is_unavailable() => return Err(DaemonError::Register(error)),
            Err(error) => {
                let delay = outage.failed(&error);
                let slept = timeout(delay, shared.shutdown.requested()).await;
                if slept.is_ok() {
                    return Ok(false);
                }
            }
        }
    }
}

/// A running worker.
struct Supervisor {
    shared: Arc<Shared>,
    claimer: JoinHandle<()>,
    settlers: JoinSet<()>,
    /// Listener, looks, sweeps, retention, watchdog: they run until they are aborted.
    others: JoinSet<()>,
    heartbeat: HeartbeatThread,
    liveness: Option<OwnThread>,
    settlements: mpsc::Sender<Finished>,
}

impl Supervisor {
    fn start(
        shared: Arc<Shared>,
        liveness: Option<OwnThread>,
        direct: DatabaseUrl,
    ) -> Result<(Self, oneshot::Receiver<()>), DaemonError> {
        let own = shared.database.dedicated("heartbeat")?;
        let heartbeat = HeartbeatThread::spawn(Arc::clone(&shared), own)
            .map_err(DaemonError::StartHeartbeat)?;
        let pipeline = shared.settings.pipeline;
        let (settlements, finished) = mpsc::channel(2 * pipeline.batch.max(1));
        let finished = Arc::new(Mutex::new(finished));
        let mut settlers = JoinSet::new();
        for _ in 0..pipeline.settlers.max(1) {
            settlers.spawn(Settler::new(Arc::clone(&shared), Arc::clone(&finished)).run());
        }
        let mut others = JoinSet::new();
        others.spawn(listener::listen(Arc::clone(&shared), direct));
        let to_sweep = Arc::new(Notify::new());
        others.spawn(lookout::look_out(
            Arc::clone(&shared),
            Arc::clone(&to_sweep),
        ));
        others.spawn(maintenance::sweep(Arc::clone(&shared), to_sweep));
        others.spawn(maintenance::schedule(Arc::clone(&shared)));
        others.spawn(maintenance::keep_history(Arc::clone(&shared)));
        others.spawn(collector::collect(Arc::clone(&shared)));
        let vigil = &shared.vigil;
        others.spawn(systemd::feed_watchdog(Arc::clone(vigil)));
        let (counts_here, counts_there) = (Arc::clone(vigil), Arc::clone(vigil));
        others.spawn(async move { counts_here.count_main().await });
        // Not one of the others: threads that handlers block would not let it end.
        let threads = shared.handler_threads.handle();
        drop(threads.spawn(async move { counts_there.count_handlers().await }));
        others.spawn(attempt::end_overdue(
            Arc::clone(&shared),
            settlements.clone(),
        ));
        let (tell_ready, ready) = oneshot::channel();
        let claimer = Claimer::new(Arc::clone(&shared), settlements.clone(), tell_ready);
        let claimer = tokio::spawn(claimer.run());
        Ok((
            Self {
                shared,
                claimer,
                settlers,
                others,
                heartbeat,
                liveness,
                settlements,
            },
            ready,
        ))
    }

    /// Waits until a shutdown is requested; answers which part broke, if one did.
    async fn watch(&mut self, mut ready: oneshot::Receiver<()>) -> Option<&'static str> {
        let shutdown = self.shared.shutdown.clone();
        let mut is_ready = false;
        let ended = loop {
            tokio::select! {
                () = shutdown.requested() => return None,
                told = &mut ready, if !is_ready => {
                    is_ready = true;
                    if told.is_ok() {
                        tracing::info!("worker ready owner={}", self.shared.settings.owner);
                        systemd::ready();
                    }
                }
                () = self.heartbeat.ended() => break HEARTBEAT,
                () = ended(&mut self.liveness) => break LIVENESS,
                () = self.shared.vigil.given_up() => break HANDLERS,
                _ = &mut self.claimer => break "claim loop",
                Some(_) = self.settlers.join_next() => break "settling",
                Some(_) = self.others.join_next() => break "maintenance",
            }
        };
        // The claim loop ends by itself when a shutdown is requested.
        (!shutdown.is_requested()).then_some(ended)
    }

    /// Lets handlers finish, then stops them, and hands back every lease that is left.
    async fn drain(mut self) {
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        tracing::info!(timeout = ?shared.settings.drain_timeout, "draining");
        systemd::stopping();
        let marking = tokio::spawn(mark_draining(Arc::clone(&shared)));
        let at_once = tokio::select! {
            biased;
            () = shared.shutdown.requested_at_once() => true,
            () = self.wait_for_handlers(started) => false,
        };
        let last = if at_once { AT_ONCE } else { LAST_SETTLEMENTS };
        let deadline = Instant::now() + last;
        self.hand_back(deadline).await;
        self.others.shutdown().await;
        self.heartbeat.end().await;
        // Nothing writes this worker's row any more.
        if timeout_at(deadline, marking).await.is_ok() {
            sign_off(&shared, deadline).await;
        }
        // Last: while the worker's row is there, its lock is.
        if let Some(liveness) = self.liveness.take() {
            liveness.end().await;
        }
        tracing::info!(
            seconds = started.elapsed().as_secs_f64(),
            at_once,
            "worker ended"
        );
    }

    /// Waits for the claim loop and every handler; after the drain's time-out they are stopped.
    async fn wait_for_handlers(&mut self, started: Instant) {
        let settings = &self.shared.settings;
        let attempts = &self.shared.attempts;
        let until = started + settings.drain_timeout;
        // The claim loop may be waiting for the answer to a claim, whose leases it then hands back.
        if !self.claimer.is_finished() && timeout_at(until, &mut self.claimer).await.is_err() {
            self.claimer.abort();
        }
        attempts.close();
        if timeout_at(until, attempts.wait()).await.is_err() {
            tracing::warn!(
                handlers = attempts.len(),
                "drain timed out; stopping handlers"
            );
            self.shared.registry.stop_all(StopReason::Drain);
            let grace = settings.stop_grace + AT_ONCE;
            if timeout(grace, attempts.wait()).await.is_err() {
                tracing::error!(
                    handlers = attempts.len(),
                    "handlers did not stop; leaving them"
                );
            }
        }
    }

    /// Settles what is left until the deadline: leases nobody took yet are released.
    async fn hand_back(&mut self, deadline: Instant) {
        let shared = Arc::clone(&self.shared);
        self.claimer.abort();
        shared.registry.stop_all(StopReason::Drain);
        let settlements = self.settlements.clone();
        let hand_back = async {
            for released in shared.registry.end_all() {
                drop(settlements.send(released).await);
            }
            // Every attempt that ended handed its settlement to the channel before.
            shared.registry.until(false).await;
        };
        if timeout_at(deadline, hand_back).await.is_err() {
            tracing::warn!("not every lease could be handed back in time");
        }
        self.settlers.shutdown().await;
    }
}

/// Waits until the thread has ended, if there is one.
async fn ended(thread: &mut Option<OwnThread>) {
    match thread {
        Some(thread) => thread.ended().await,
        None => std::future::pending().await,
    }
}

/// Tells the others what was handed back, and removes this worker's row.
async fn sign_off(shared: &Shared, deadline: Instant) {
    let served = Lane::ALL.into_iter();
    let served: Vec<_> = served
        .filter(|lane| shared.slots.capacity(*lane) > 0)
        .collect();
    let sign_off = async {
        let client = shared.database.client().await?;
        wakeup::announce(&client, &served).await?;
        worker::deregister(&client, &shared.settings.owner).await
    };
    match timeout_at(deadline, sign_off).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "the worker could not sign off"),
        Err(_elapsed) => tracing::warn!("the worker could not sign off in time"),
    }
}

async fn mark_draining(shared: Arc<Shared>) {
    let marked = async {
        let client = shared.database.client().await?;
        let lock = shared.liveness.lock_claim();
        worker::beat(&client, &shared.record, true, lock).await
    };
    if let Err(error) = marked.await {
        tracing::debug!(%error, "the worker could not be marked as draining");
    }
}
