//! The claim loop: takes dead leases first, then fresh jobs, whenever there is room and reason.
//!
//! **Invariant.** A claim that was sent is waited for: the leases that it returns are either run or
//! handed back, also when the worker is ending. What a claim took whose answer was lost is looked for
//! and handed back, without an attempt spent.

use std::sync::Arc;

use leasectl_core::database::{Client, DatabaseError};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{
    ClaimCursor, ClaimRequest, Lease, Reclaimed, Settled, claim_onward, reclaim, settle, unheard,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::attempt;
use super::liveness::Stops;
use super::outage::{Outage, chain};
use super::pacing::{Pacing, Room, Step};
use super::running::{Finished, RunningJob};
use super::shared::{Heard, Shared};
use super::unheard::Unheard;
use super::verdict::Verdict;

/// The claim loop's state.
pub(crate) struct Claimer {
    shared: Arc<Shared>,
    settlements: mpsc::Sender<Finished>,
    pacing: Pacing,
    /// Rewound whenever a look saw ready jobs, so that more urgent newcomers wait for one poll at most.
    cursor: ClaimCursor,
    unheard: Unheard,
    outage: Outage,
    /// Told when the recovery pass is over and the first claim was answered.
    ready: Option<oneshot::Sender<()>>,
}

/// What to ask for in one round.
struct Round {
    reclaim: bool,
    asks: Vec<(Lane, usize)>,
}

impl Claimer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        settlements: mpsc::Sender<Finished>,
        ready: oneshot::Sender<()>,
    ) -> Self {
        let settings = &shared.settings;
        let pacing = Pacing::new(settings.pipeline.batch);
        let outage = shared
            .outages
            .watch("claim", settings.poll_interval.mul_f64(2.0));
        let unheard = Unheard::new(settings.answer_timeout, settings.poll_interval);
        Self {
            shared,
            settlements,
            pacing,
            cursor: ClaimCursor::default(),
            unheard,
            outage,
            ready: Some(ready),
        }
    }

    /// Claims until a shutdown is requested.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shared.shutdown.clone();
        if self.shared.kinds.names().is_empty() {
            tracing::warn!("no lane with a handler is switched on; nothing will be claimed");
            self.tell_ready();
        }
        loop {
            let round = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                round = self.next_permitted_round() => round,
            };
            let Err(error) = self.carry_out(&round).await else {
                self.outage.over();
                continue;
            };
            for (lane, _) in &round.asks {
                self.pacing.hint(*lane);
            }
            if round.reclaim {
                for (lane, _) in &round.asks {
                    self.pacing.somebody_died(*lane);
                }
            }
            let delay = self.outage.failed(&error);
            tokio::select! {
                () = shutdown.requested() => break,
                () = tokio::time::sleep(delay) => {}
            }
        }
        self.hand_back_unheard().await;
    }

    /// The last look for what this worker was given and never heard of.
    async fn hand_back_unheard(&mut self) {
        if self.unheard.wanted().is_none() {
            return;
        }
        let handed_back = async {
            let client = self.shared.database.client().await?;
            self.look_for_unheard(&client).await
        };
        if let Err(error) = handed_back.await {
            tracing::debug!(error = chain(&error), "no last look for unheard leases");
        }
    }

    /// Waits until this worker may claim, and there is room and reason to ask.
    async fn next_permitted_round(&mut self) -> Round {
        loop {
            self.shared.liveness.may_claim().await;
            self.shared.vigil.well().await;
            let round = self.next_round().await;
            if self.shared.liveness.phase().may_claim() && self.shared.vigil.is_well() {
                return round;
            }
        }
    }

    /// Waits until there is room and reason to ask.
    async fn next_round(&mut self) -> Round {
        loop {
            for lane in self.shared.hints.take() {
                self.pacing.hint(lane);
            }
            for lane in self.shared.hints.take_dead() {
                self.pacing.somebody_died(lane);
            }
            if self.shared.hints.take_seen() {
                self.cursor.rewind();
            }
            let slots = Arc::clone(&self.shared.slots);
            let room = |lane| Room {
                capacity: slots.capacity(lane),
                free: slots.free(lane),
            };
            let now = Instant::now();
            let until = match self.pacing.step(now, room) {
                Step::Round { reclaim, asks } => return Round { reclaim, asks },
                Step::Wait => None,
                Step::WaitUntil(moment) => Some(moment),
            };
            if self.unheard.is_due(now) {
                return Round {
                    reclaim: false,
                    asks: Vec::new(),
                };
            }
            let until = until.into_iter().chain(self.unheard.due()).min();
            tokio::select! {
                () = self.shared.hints.given() => {}
                () = slots.freed() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    async fn carry_out(&mut self, round: &Round) -> Result<(), DatabaseError> {
        let shared = Arc::clone(&self.shared);
        let client = if round.reclaim {
            shared.client_to_take_over().await?
        } else {
            shared.database.client().await?
        };
        let (owner, lease) = (&shared.settings.owner, &shared.settings.lease);
        let kinds = shared.kinds.names();
        let mut asks = round.asks.clone();
        let stops = shared.liveness.stops();
        if self.unheard.is_due(Instant::now()) {
            match self.look_for_unheard(&client).await {
                Err(DatabaseError::NoAnswer) => return Err(shared.database.give_up(client)),
                looked => looked?,
            }
        }
        if round.reclaim {
            self.pacing.reclaiming(&asks);
            let request = ClaimRequest {
                slots: &asks,
                kinds: &kinds,
            };
            let answer = shared.answer(reclaim(&client, owner, lease, &request));
            let Some(reclaimed) = answer.await else {
                self.unheard.suspect(Instant::now());
                return Err(shared.database.give_up(client));
            };
            if reclaimed.is_err() {
                self.unheard.suspect(Instant::now());
            }
            self.took_over(&mut asks, reclaimed?, stops);
        }
        if !asks.is_empty() {
            self.pacing.claiming(&asks);
            let request = ClaimRequest {
                slots: &asks,
                kinds: &kinds,
            };
            let claiming = claim_onward(&client, owner, lease, &request, &mut self.cursor);
            let claimed = shared.answer(claiming).await;
            let is_cut_short = self.cursor.take_cut_short();
            if is_cut_short || !matches!(claimed, Some(Ok(_))) {
                self.unheard.suspect(Instant::now());
            }
            let leases = shared.heard(client, claimed)?;
            self.unheard.heard(&leases);
            for (lane, asked) in &asks {
                let got = leases
                    .iter()
                    .filter(|lease| lease.job().lane == *lane)
                    .count();
                self.pacing.claimed(*lane, *asked, got);
                if is_cut_short {
                    self.pacing.hint(*lane);
                }
            }
            self.count_claims(&leases);
            self.start(leases, stops);
        }
        self.tell_ready();
        Ok(())
    }

    /// Hands back what the database says that this worker holds and that it never heard of. No claim
    /// is under way meanwhile: only this loop claims.
    async fn look_for_unheard(&mut self, client: &Client) -> Result<(), DatabaseError> {
        let Some((since, heard)) = self.unheard.wanted() else {
            return Ok(());
        };
        let owner = &self.shared.settings.owner;
        let released = async {
            let releases = unheard(client, owner, since, heard).await?;
            let settled = settle(client, &releases).await?;
            Ok((releases, settled))
        };
        let released = self.shared.answer(released).await;
        let (releases, settled) = released.unwrap_or(Err(DatabaseError::NoAnswer))?;
        let lanes = releases.iter().map(|release| release.lane).collect();
        for (lease, settled) in releases.iter().zip(settled) {
            if settled == Settled::LeaseLost {
                // Others took it over between the two statements.
                continue;
            }
            tracing::warn!(
                job = %lease.key().job_id, token = %lease.key().token, kind = lease.kind,
                "handed back a lease whose claim was never answered"
            );
            if let Some(kind) = self.shared.kinds.get(&lease.kind) {
                kind.metrics.settled(lease.outcome().as_str());
            }
        }
        self.unheard.looked(Instant::now());
        match self.shared.wake_others(client, lanes).await {
            Heard::Something => Ok(()),
            Heard::Nothing => Err(DatabaseError::NoAnswer),
        }
    }

    fn tell_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more when the worker ends before it was ready.
            let _ = ready.send(());
        }
    }

    /// Starts the jobs of dead owners, and takes their room from what is asked for next.
    fn took_over(
        &mut self,
        asks: &mut Vec<(Lane, usize)>,
        reclaimed: Vec<Reclaimed>,
        stops: Stops,
    ) {
        self.unheard
            .heard(reclaimed.iter().map(|taken| &taken.lease));
        let taken = |lane| {
            let of_it = reclaimed
                .iter()
                .filter(|taken| taken.lease.job().lane == lane);
            of_it.count()
        };
        *asks = self.pacing.reclaimed(asks, taken);
        if self.ready.is_some() {
            for lane in Lane::ALL
                .into_iter()
                .filter(|lane| self.shared.kinds.serve(*lane))
            {
                tracing::info!(%lane, reclaimed = taken(lane), "start-up recovery");
            }
        }
        for taken in &reclaimed {
            self.log_takeover(taken);
        }
        let leases = reclaimed.into_iter().map(|taken| taken.lease).collect();
        self.start(leases, stops);
    }

    fn log_takeover(&self, taken: &Reclaimed) {
        let job = taken.lease.job();
        tracing::warn!(
            job = %job.id, kind = %job.kind, lane = %job.lane, reason = taken.reason.as_str(),
            from_owner = %taken.from_owner, to_owner = %self.shared.settings.owner,
            token = %taken.lease.key().token, "reclaimed the job of a dead lease"
        );
        if let Some(kind) = self.shared.kinds.get(&job.kind) {
            kind.metrics.reclaimed(taken.reason);
        }
    }

    fn count_claims(&self, leases: &[Lease]) {
        for lease in leases {
            let job = lease.job();
            if let Some(kind) = self.shared.kinds.get(&job.kind) {
                kind.metrics.claims.increment(1);
                kind.metrics
                    .queue_wait_seconds
                    .record(job.ready_at.until(job.claimed_at));
            }
        }
    }

    /// Runs a handler for each lease; hands them back instead when the worker is ending, or when
    /// its handlers were stopped for want of a liveness lock after the claim was sent.
    fn start(&self, leases: Vec<Lease>, stops: Stops) {
        let shared = &self.shared;
        let mut started = Vec::with_capacity(leases.len());
        for lease in leases {
            match shared.kinds.get(&lease.job().kind) {
                Some(kind) => started.push(RunningJob::new(lease, Arc::clone(kind))),
                None => tracing::error!(job = %lease.job().id, "claimed a kind without a handler"),
            }
        }
        shared.registry.insert(&started);
        for job in started {
            let slot = shared.slots.take(job.kind.spec.lane);
            let settlements = self.settlements.clone();
            if shared.shutdown.is_requested() || shared.liveness.stops() != stops {
                let released = job.end(Verdict::Release);
                shared.attempts.spawn(async move {
                    if let Some(released) = released {
                        drop(settlements.send(released).await);
                    }
                    drop(slot);
                });
            } else {
                let attempt = attempt::run(Arc::clone(shared), job, settlements, slot);
                let threads = shared.handler_threads.handle();
                shared.attempts.spawn_on(attempt, threads);
            }
        }
    }
}

/// Sleeps until that moment; for ever without one.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
