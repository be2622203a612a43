//! I7: what becomes of a state once the faults stop.
//!
//! It need not be true that everybody recovers: handlers that live stay wedged and only beat, stopped
//! processes stay stopped, and answers under way are gone. One fresh worker does the rest, and every
//! accepted job must come to its end within a bounded time.

use crate::database::{Beaten, Database, Ended, Enqueuing, Stored};
use crate::ids::{JobId, OwnerId};
use crate::mutant::Mutant;
use crate::packet::Outcome;
use crate::scenario::Scenario;
use crate::state::State;
use crate::worker::Mode;

/// Ticks in which everything must be over: an expiry, a claim for each job, and some to spare.
const TICKS: usize = 16;

impl State {
    /// Whether every accepted job ends when nothing goes wrong any more.
    pub(crate) fn ends_when_calm(&self, scenario: &Scenario) -> bool {
        let mut database = self.database;
        let mut wedged = self.workers;
        if !database.up {
            database.start();
        }
        database.transactions = Default::default();
        database.locked = None;
        for job in JobId::ALL {
            if let Some(committed) = database.commit_enqueue(scenario, job) {
                database = committed;
            }
        }
        for _ in 0..TICKS {
            for (owner, worker) in OwnerId::ALL.into_iter().zip(&mut wedged) {
                let Some(handler) = worker.handler.filter(|_| worker.mode == Mode::Live) else {
                    continue;
                };
                match database.beat(scenario, owner, handler.job, handler.token, false) {
                    Beaten::Kept { .. } => {}
                    Beaten::Skipped | Beaten::Missed => worker.stop_handler(),
                }
            }
            sweep(scenario, &mut database);
            run_one(scenario, &mut database);
            if database.everything_ended() {
                return true;
            }
            database.tick();
        }
        false
    }
}

/// What every poll of every worker does.
fn sweep(scenario: &Scenario, database: &mut Database) {
    for job in JobId::ALL {
        let activated = database.activate_staged(scenario, job);
        *database = activated.unwrap_or(*database);
        let woken = database.wake_due(scenario, job);
        *database = woken.unwrap_or(*database);
        database.bury(scenario, job);
    }
    if !scenario.is(Mutant::PromotesOnlyWhenSettling) {
        let promoted = database.promote(scenario);
        *database = promoted.unwrap_or(*database);
    }
}

/// The fresh worker takes what it can get and completes it.
fn run_one(scenario: &Scenario, database: &mut Database) {
    let owner = OwnerId::REPLACEMENT;
    let over = JobId::ALL
        .into_iter()
        .find(|&job| database.reclaimable(scenario, owner, job));
    let lease = over
        .and_then(|job| database.reclaim(scenario, owner, job))
        .or_else(|| database.claim(scenario, owner));
    let Some(lease) = lease else { return };
    match database.settle(scenario, owner, lease.job, lease.token, Outcome::Completed) {
        Ended::Applied if scenario.is(Mutant::PromotesOnlyWhenSettling) => {
            let promoted = database.promote(scenario);
            *database = promoted.unwrap_or(*database);
        }
        Ended::Applied | Ended::Refused(_) | Ended::Collided => {}
    }
}

impl Database {
    fn everything_ended(&self) -> bool {
        self.jobs.iter().all(|row| {
            row.ended() || (row.state == Stored::Absent && row.enqueuing == Enqueuing::No)
        })
    }
}
