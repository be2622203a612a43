//! Proves that this worker lives, on a thread, a runtime and a connection of its own.
//!
//! Threads that handlers keep, or an exhausted pool, must not look like death. One statement beats for every lease; what does not come back is lost, and its
//! handler is stopped at once. A beat that gets no answer is repeated until the trust window ends,
//! and then, whatever the database would say, the handlers are stopped.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use leasectl_core::database::{Client, Database, DatabaseError};
use leasectl_core::lease::{Beat, BeatReply, LeaseKey, heartbeat, still_held};
use leasectl_core::time::BootInstant;
use leasectl_core::worker;
use metrics::Histogram;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::metrics::heartbeat_seconds;
use super::outage::Outage;
use super::rhythm::{self, Rhythm};
use super::running::RunningJob;
use super::shared::Shared;
use super::verdict::StopReason;
use super::vigil;

/// How long the end waits for a beat that is under way.
const LAST_BEAT: Duration = Duration::from_millis(500);

/// The thread that beats.
pub(crate) struct HeartbeatThread {
    thread: JoinHandle<()>,
    end: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl HeartbeatThread {
    /// Starts to beat, over a connection of its own.
    pub(crate) fn spawn(shared: Arc<Shared>, own: Database) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (alive, ended) = oneshot::channel();
        let end = CancellationToken::new();
        let told_to_end = end.clone();
        let thread = std::thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || {
                // Dropped when this thread ends for whatever reason, a panic included.
                let _alive: oneshot::Sender<()> = alive;
                runtime.block_on(async {
                    let heart = Heart::new(Arc::clone(&shared), own);
                    tokio::select! {
                        () = heart.beat(&told_to_end) => {}
                        () = watch_trust(&shared) => {}
                        () = vigil::keep(&shared) => {}
                    }
                });
            })?;
        Ok(Self { thread, end, ended })
    }

    /// Waits until the thread has ended, which before the end of the worker means that it broke.
    pub(crate) async fn ended(&mut self) {
        // An error is what a dropped sender gives: the thread is gone.
        drop((&mut self.ended).await);
    }

    /// Stops beating and joins the thread.
    pub(crate) async fn end(self) {
        self.end.cancel();
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the heartbeat thread panicked");
        }
    }
}

/// Jobs with the version of the progress that goes out, and their beats, position by position.
#[derive(Default)]
struct Tick {
    jobs: Vec<(Arc<RunningJob>, u64)>,
    beats: Vec<Beat>,
}

struct Heart {
    shared: Arc<Shared>,
    database: Database,
    /// Leases that the last full beat did not renew because somebody else had their rows locked; they
    /// are beaten for at every round until they are renewed or lost.
    locked: HashSet<LeaseKey>,
    outage: Outage,
    seconds: Histogram,
}

impl Heart {
    fn new(shared: Arc<Shared>, database: Database) -> Self {
        let outage = shared
            .outages
            .watch("heartbeat", rhythm::longest_pause(&shared.rules));
        Self {
            shared,
            database,
            locked: HashSet::new(),
            outage,
            seconds: heartbeat_seconds(),
        }
    }

    /// Beats until it is told to end. A beat that is under way then is waited for a moment: its
    /// statement must not come after the one that signs this worker off.
    async fn beat(mut self, end: &CancellationToken) {
        let interval = self.shared.settings.lease.heartbeat_interval();
        let mut rhythm = Rhythm::new(interval, Instant::now());
        loop {
            let started = Instant::now();
            let is_full = rhythm.is_beat(started);
            let cut_short = async {
                end.cancelled().await;
                tokio::time::sleep(LAST_BEAT).await;
            };
            let beaten = tokio::select! {
                beaten = self.beat_in_time(is_full) => beaten,
                () = cut_short => return,
            };
            let pause = match beaten {
                Ok(()) => {
                    self.outage.over();
                    let next = rhythm.answered(started);
                    next.saturating_duration_since(Instant::now())
                }
                Err(error) => self.outage.failed(&error),
            };
            tokio::select! {
                () = end.cancelled() => return,
                () = self.shared.liveness.row_is_old() => rhythm.hurry(Instant::now()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One round trip: for every lease, or only for those with news. A connection that gives no
    /// answer is given up, so that the next beat tries another one.
    async fn beat_in_time(&mut self, is_full: bool) -> Result<(), DatabaseError> {
        let tick = self.tick(is_full);
        if !is_full && tick.jobs.is_empty() {
            return Ok(());
        }
        let patience = rhythm::answer_patience(&self.shared.rules);
        let no_answer = |_elapsed| DatabaseError::ConnectTimeout;
        let client = timeout(patience, self.database.client())
            .await
            .map_err(no_answer)??;
        let beaten = timeout(patience, self.beat_over(&client, &tick, is_full)).await;
        if beaten.is_err() {
            drop(Client::take(client));
        }
        beaten.map_err(no_answer)?
    }

    async fn beat_over(
        &mut self,
        client: &Client,
        tick: &Tick,
        is_full: bool,
    ) -> Result<(), DatabaseError> {
        let shared = Arc::clone(&self.shared);
        let settings = &shared.settings;
        if !tick.jobs.is_empty() {
            let sent = BootInstant::now();
            let replies = heartbeat(client, &settings.owner, &settings.lease, &tick.beats).await?;
            self.seconds.record(sent.elapsed());
            let missing = self.take_replies(sent, tick, &replies);
            if is_full {
                self.locked.clear();
            }
            if !missing.is_empty() {
                let held = still_held(client, &settings.owner, &missing).await?;
                self.locked.extend(&held);
                self.lost(tick, &missing);
            }
        }
        if is_full {
            let draining = self.shared.shutdown.is_requested();
            let lock = self.shared.liveness.lock_claim();
            let liveness = worker::beat(client, &self.shared.record, draining, lock).await?;
            self.shared.liveness.row_says(liveness);
        }
        Ok(())
    }

    /// The leases of one round trip, and what is said of each.
    ///
    /// A handler that was told to stop because its lease is gone is not beaten for: its lease, if
    /// nobody has taken it yet, must become stale.
    fn tick(&self, is_full: bool) -> Tick {
        let mut tick = Tick::default();
        for job in self.shared.registry.snapshot() {
            if job.stop_reason().is_some_and(StopReason::ends_trust) {
                continue;
            }
            let mut beat = Beat {
                key: job.key,
                advanced: false,
                progress: None,
                message: None,
            };
            let mut version = 0;
            match job.progress.unsent() {
                Some(unsent) => {
                    beat.advanced = unsent.advanced;
                    beat.progress = unsent.progress;
                    beat.message = unsent.message;
                    version = unsent.version;
                }
                None if is_full || self.locked.contains(&job.key) => {}
                None => continue,
            }
            tick.jobs.push((job, version));
            tick.beats.push(beat);
        }
        tick
    }

    /// Renews what came back; answers what did not.
    fn take_replies(
        &mut self,
        sent: BootInstant,
        tick: &Tick,
        replies: &[BeatReply],
    ) -> Vec<LeaseKey> {
        let replies: HashMap<_, _> = replies.iter().map(|reply| (reply.key, reply)).collect();
        let mut missing = Vec::new();
        for ((job, version), beat) in tick.jobs.iter().zip(&tick.beats) {
            self.locked.remove(&job.key);
            let Some(reply) = replies.get(&job.key) else {
                missing.push(job.key);
                continue;
            };
            job.renewed(sent, beat.advanced);
            job.progress.sent(*version);
            if reply.cancel_requested && job.stop(StopReason::CancelRequested) {
                tracing::info!(job = %job.key.job_id, "cancel requested; stopping the handler");
            }
        }
        missing
    }

    /// Stops the handlers of leases that did not come back and are not merely locked. When a
    /// settlement is under way that is no news.
    fn lost(&self, tick: &Tick, missing: &[LeaseKey]) {
        let lost: HashSet<_> = missing
            .iter()
            .filter(|key| !self.locked.contains(key))
            .collect();
        for (job, _) in tick.jobs.iter().filter(|(job, _)| lost.contains(&job.key)) {
            if job.is_held() && job.stop(StopReason::LeaseLost) {
                job.kind.metrics.lost.increment(1);
                tracing::warn!(
                    job = %job.key.job_id, token = %job.key.token, kind = job.kind.spec.name,
                    owner = %self.shared.settings.owner, "lease lost; stopping the handler"
                );
            }
        }
    }
}

/// Stops handlers whose trust window, or whose patience for progress, has ended.
async fn watch_trust(shared: &Shared) {
    let mut looked = BootInstant::now();
    let mut stood_still = None;
    loop {
        tokio::time::sleep(shared.rules.check_every()).await;
        let now = BootInstant::now();
        if rhythm::stood_still(&shared.rules, now.since(looked)) {
            tracing::warn!(
                seconds = now.since(looked).as_secs_f64(),
                "this process stood still"
            );
            stood_still = Some(now);
        }
        looked = now;
        let stopped = shared
            .registry
            .stop_untrusted(now, &shared.rules, stood_still);
        for (job, reason) in stopped {
            tracing::warn!(
                job = %job.key.job_id, token = %job.key.token, kind = job.kind.spec.name,
                reason = reason.as_str(), "stopping the handler"
            );
            if reason.ends_trust() {
                job.kind.metrics.lost.increment(1);
            }
        }
    }
}
