//! Sends settlements: whatever has finished goes out in one statement, on several connections.
//!
//! A settlement is repeated until the database has answered, with the same slice: it is fenced by
//! owner and token, and the database knows which it applied. Waiting is bounded by the channel: when
//! no settlement gets through, no slot is freed and nothing more is claimed.

use std::collections::BTreeSet;
use std::sync::Arc;

use leasectl_core::database::DatabaseError;
use leasectl_core::kind::Lane;
use leasectl_core::lease::{Outcome, Settled, Settlement, settle};
use tokio::sync::{Mutex, mpsc};

use super::outage::{Outage, chain};
use super::running::{Finished, RunningJob};
use super::shared::{Heard, Shared};
use super::verdict::StopReason;

/// How often a statement that the server refuses, rather than cannot answer, is repeated.
const MAX_REFUSALS: u32 = 5;

/// One of the loops that settle.
pub(crate) struct Settler {
    shared: Arc<Shared>,
    finished: Arc<Mutex<mpsc::Receiver<Finished>>>,
    outage: Outage,
}

/// Jobs and their settlements, position by position.
struct Batch {
    jobs: Vec<Arc<RunningJob>>,
    settlements: Vec<Settlement>,
}

impl Batch {
    fn iter(&self) -> impl Iterator<Item = (&Arc<RunningJob>, &Settlement)> {
        self.jobs.iter().zip(&self.settlements)
    }
}

impl Settler {
    pub(crate) fn new(shared: Arc<Shared>, finished: Arc<Mutex<mpsc::Receiver<Finished>>>) -> Self {
        let outage = shared
            .outages
            .watch("settle", shared.settings.poll_interval);
        Self {
            shared,
            finished,
            outage,
        }
    }

    /// Settles until the channel is closed and empty.
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.next_batch().await {
            self.settle(batch).await;
        }
    }

    /// Everything that has finished by now, up to a batch; nothing when there will be no more.
    async fn next_batch(&self) -> Option<Batch> {
        let most = self.shared.settings.pipeline.batch;
        let mut finished = Vec::with_capacity(most.min(64));
        if self
            .finished
            .lock()
            .await
            .recv_many(&mut finished, most)
            .await
            == 0
        {
            return None;
        }
        let mut batch = Batch {
            jobs: Vec::new(),
            settlements: Vec::new(),
        };
        for Finished { job, settlement } in finished {
            batch.jobs.push(job);
            batch.settlements.push(settlement);
        }
        Some(batch)
    }

    async fn settle(&mut self, batch: Batch) {
        match self.send(&batch.settlements).await {
            Ok(settled) => self.applied(&batch, &settled),
            Err(error) if batch.settlements.len() == 1 => self.give_up(&batch, &error),
            Err(_) => {
                // One of them is refused: the others must not suffer for it.
                for (job, settlement) in batch.jobs.into_iter().zip(batch.settlements) {
                    let single = Batch {
                        jobs: vec![job],
                        settlements: vec![settlement],
                    };
                    match self.send(&single.settlements).await {
                        Ok(settled) => self.applied(&single, &settled),
                        Err(error) => self.give_up(&single, &error),
                    }
                }
            }
        }
    }

    /// Sends until the database has answered; an error is a refusal that repetition did not cure.
    async fn send(&mut self, settlements: &[Settlement]) -> Result<Vec<Settled>, DatabaseError> {
        let mut refusals = 0;
        loop {
            let error = match self.send_once(settlements).await {
                Ok(settled) => {
                    self.outage.over();
                    return Ok(settled);
                }
                Err(error) => error,
            };
            if !error.is_unavailable() {
                refusals += 1;
                if refusals == MAX_REFUSALS {
                    self.outage.over();
                    return Err(error);
                }
            }
            tokio::time::sleep(self.outage.failed(&error)).await;
        }
    }

    async fn send_once(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, DatabaseError> {
        let client = self.shared.database.client().await?;
        let answer = self.shared.answer(settle(&client, settlements)).await;
        let Some(Ok(settled)) = answer else {
            return self.shared.heard(client, answer);
        };
        let left = left_to_others(&self.shared, settlements, &settled);
        // What was settled stays settled.
        if self.shared.wake_others(&client, left).await == Heard::Nothing {
            drop(self.shared.database.give_up(client));
        }
        Ok(settled)
    }

    fn applied(&self, batch: &Batch, settled: &[Settled]) {
        for ((job, settlement), settled) in batch.iter().zip(settled) {
            let outcome = settlement.outcome().as_str();
            match settled {
                Settled::Applied { .. } | Settled::AlreadyApplied => {
                    job.kind.metrics.settled(outcome);
                }
                // Its handler was stopped for it: no news, and counted then.
                Settled::LeaseLost if job.stop_reason().is_some_and(StopReason::ends_trust) => {
                    tracing::info!(
                        job = %job.key.job_id, token = %job.key.token, outcome,
                        "others took the lease over meanwhile"
                    );
                }
                Settled::LeaseLost => {
                    job.kind.metrics.lost.increment(1);
                    tracing::warn!(
                        job = %job.key.job_id, token = %job.key.token, outcome,
                        "lease lost before its settlement; the outcome is dropped"
                    );
                }
            }
        }
        self.forget(batch);
    }

    fn give_up(&self, batch: &Batch, error: &DatabaseError) {
        for (job, settlement) in batch.iter() {
            let outcome = settlement.outcome().as_str();
            tracing::error!(
                job = %job.key.job_id, token = %job.key.token, outcome, error = chain(error),
                "the database refuses this settlement; the lease is left to expire"
            );
        }
        self.forget(batch);
    }

    /// Heartbeats stop, and the lanes may have a next job.
    fn forget(&self, batch: &Batch) {
        self.shared
            .registry
            .remove(batch.jobs.iter().map(|job| &job.key));
        self.shared
            .hints
            .give(batch.jobs.iter().map(|job| job.kind.spec.lane));
    }
}

/// The lanes with jobs that others are to take, who need not wait for their next poll, nor for this worker to have
/// ended: what it handed back, and what waited in lanes that it has no room for or takes nothing from now.
fn left_to_others(
    shared: &Shared,
    settlements: &[Settlement],
    settled: &[Settled],
) -> BTreeSet<Lane> {
    let (mut released, mut freed) = (BTreeSet::new(), BTreeSet::new());
    for (settlement, settled) in settlements.iter().zip(settled) {
        if *settlement.outcome() == Outcome::Released {
            released.insert(settlement.lane);
        } else if let Settled::Applied {
            lane_waits: true, ..
        } = settled
        {
            freed.insert(settlement.lane);
        }
    }
    let freed: Vec<_> = freed.into_iter().collect();
    released.extend(shared.for_others(&freed));
    released
}
