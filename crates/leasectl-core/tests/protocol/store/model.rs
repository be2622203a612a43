//! What the store is held against: the queue and its leases as plain values, one step at a time.
//!
//! It says what each operation must answer and leave behind. It knows no SQL, no locks and no clock:
//! a lease is over when a step said so, a time is past or in the future.

mod accepting;
mod leases;

use std::collections::BTreeSet;

use leasectl_core::job::{CancelOutcome, PublicState, RetryOutcome};
use leasectl_core::kind::Lane;

/// Where a time to start lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum When {
    Past,
    Future,
}

/// A job to accept.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Ask {
    pub(super) repo: usize,
    pub(super) lane: Lane,
    /// Stands for the arguments.
    pub(super) note: u8,
    pub(super) priority: i16,
    pub(super) when: Option<When>,
}

impl Ask {
    /// Ascending order of urgency; the stack lane knows none.
    fn rank(&self) -> i16 {
        if self.lane == Lane::Stack {
            0
        } else {
            -self.priority
        }
    }

    /// Whether the job stands outside its lane until its time comes.
    fn is_delayed(&self) -> bool {
        self.lane != Lane::Stack && self.when == Some(When::Future)
    }
}

/// Why a lease is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Over {
    Stale,
    Expired,
    /// Its owner was seen to be dead.
    Dead,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Scheduled,
    Waiting,
    Ready,
    Running { lease: usize, over: Option<Over> },
    Finished(PublicState),
}

/// How a handler ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Complete,
    Retryable,
    Permanent,
    Cancelled,
    Release,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Job {
    pub(super) ask: Ask,
    pub(super) seq: usize,
    pub(super) staged: bool,
    /// Whether an equal newcomer is merged into it.
    pub(super) merges: bool,
    pub(super) state: State,
    pub(super) attempt: i16,
    pub(super) max_attempts: i16,
    pub(super) crashes: i16,
    pub(super) durable: bool,
    pub(super) cancel_requested: bool,
    /// The leases that ended and how, oldest first.
    pub(super) ended: Vec<(usize, &'static str)>,
}

/// A lease ever minted.
#[derive(Clone, Debug)]
pub(super) struct Minted {
    pub(super) job: usize,
    pub(super) owner: usize,
    /// A settlement of it took effect.
    pub(super) settled: bool,
}

/// What the last step must answer.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Answer {
    Nothing,
    /// For each job asked for: which it is, where it stands, whether it was there before.
    Accepted(Vec<(usize, PublicState, bool)>),
    /// The jobs, most urgent first; their leases are the newest ones, in this order.
    Claimed(Vec<usize>),
    Reclaimed(Vec<(usize, usize, Over)>),
    Buried(BTreeSet<usize>),
    /// The leases that are still held, and whether somebody asked them to stop.
    Held(BTreeSet<(usize, bool)>),
    /// For each settlement: where the job stands, or whether it was applied before.
    Settled(Vec<Result<PublicState, bool>>),
    Fenced(bool),
    Swept {
        due: usize,
        activated: usize,
        promoted: Vec<Lane>,
    },
    Cancelled(CancelOutcome),
    Retried(RetryOutcome),
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) jobs: Vec<Job>,
    pub(super) minted: Vec<Minted>,
    /// The lease that wrote last, of each repository.
    pub(super) written: [Option<usize>; 2],
    pub(super) answer: Answer,
    next_seq: usize,
}

impl Job {
    fn rank(&self) -> i16 {
        self.ask.rank()
    }

    fn place(&self) -> (usize, Lane) {
        (self.ask.repo, self.ask.lane)
    }

    fn is_equal(&self, ask: &Ask) -> bool {
        (self.place(), self.ask.note) == ((ask.repo, ask.lane), ask.note)
    }

    fn holds_its_lane(&self) -> bool {
        match self.state {
            State::Ready | State::Running { .. } => true,
            State::Scheduled => self.ask.lane == Lane::Stack,
            State::Waiting | State::Finished(_) => false,
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Running { over: Some(_), .. })
    }

    fn may_run_again(&self) -> bool {
        !self.cancel_requested
            && (self.durable || (self.crashes < 2 && self.attempt < self.max_attempts))
    }

    pub(super) fn public_state(&self) -> PublicState {
        match self.state {
            State::Scheduled | State::Ready => PublicState::Queued,
            State::Waiting => PublicState::Waiting,
            State::Running { .. } => PublicState::Running,
            State::Finished(state) => state,
        }
    }

    /// An equal job is merged into this one.
    fn absorb(&mut self, other: &Ask) {
        self.ask.priority = self.ask.priority.max(other.priority);
        self.ask.when = match (self.ask.when, other.when) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (None, _) | (_, None) => None,
        };
        if self.state == State::Scheduled && other.when != Some(When::Future) {
            self.state = if self.ask.lane == Lane::Stack {
                State::Ready
            } else {
                State::Waiting
            };
        }
    }
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            jobs: Vec::new(),
            minted: Vec::new(),
            written: [None; 2],
            answer: Answer::Nothing,
            next_seq: 0,
        }
    }

    /// The leases that an owner ever held.
    pub(super) fn leases_of(&self, owner: usize) -> Vec<usize> {
        let mine = |lease: &usize| self.minted[*lease].owner == owner;
        (0..self.minted.len()).filter(mine).collect()
    }

    /// The leases that are held, over or not.
    pub(super) fn running(&self) -> Vec<usize> {
        let held = self.jobs.iter().filter_map(|job| match job.state {
            State::Running { lease, .. } => Some(lease),
            State::Scheduled | State::Waiting | State::Ready | State::Finished(_) => None,
        });
        held.collect()
    }

    /// Whether there is a lease that is over, of a job that may or may not run again.
    pub(super) fn any_over(&self, again: bool) -> bool {
        let over = |job: &Job| job.is_over() && job.may_run_again() == again;
        self.jobs.iter().any(over)
    }

    /// Whether a sweep may find something.
    pub(super) fn is_to_sweep(&self) -> bool {
        self.jobs.iter().any(|job| match job.state {
            State::Scheduled => job.ask.when == Some(When::Past),
            State::Waiting => true,
            State::Ready | State::Running { .. } | State::Finished(_) => false,
        })
    }

    fn holder(&self, place: (usize, Lane)) -> Option<usize> {
        let holds = |job: &Job| job.place() == place && job.holds_its_lane();
        self.jobs.iter().position(holds)
    }

    fn first_waiting(&self, place: (usize, Lane)) -> Option<usize> {
        let waits = |job: &Job| job.state == State::Waiting && !job.staged && job.place() == place;
        let waiting = (0..self.jobs.len()).filter(|n| waits(&self.jobs[*n]));
        waiting.min_by_key(|n| (self.jobs[*n].rank(), self.jobs[*n].seq))
    }

    fn anybody_waits(&self, place: (usize, Lane)) -> bool {
        let waits = |job: &Job| job.state == State::Waiting && job.place() == place;
        self.jobs.iter().any(waits)
    }

    fn equal_queued(&self, ask: &Ask) -> Option<usize> {
        let equal = |job: &Job| job.merges && job.is_equal(ask);
        self.jobs.iter().position(equal)
    }

    fn add(&mut self, ask: &Ask, state: State, staged: bool) -> usize {
        self.jobs.push(Job {
            ask: ask.clone(),
            seq: self.next_seq,
            staged,
            merges: !staged,
            state,
            attempt: 0,
            max_attempts: 5,
            crashes: 0,
            durable: false,
            cancel_requested: false,
            ended: Vec::new(),
        });
        self.next_seq += 1;
        self.jobs.len() - 1
    }

    fn finish(&mut self, job: usize, state: PublicState) {
        self.jobs[job].state = State::Finished(state);
        self.jobs[job].merges = false;
        self.jobs[job].staged = false;
    }

    /// Brings lanes into order; returns those that have a ready job then.
    fn promote(&mut self, places: &BTreeSet<(usize, Lane)>) -> Vec<Lane> {
        for place in places {
            let Some(first) = self.first_waiting(*place) else {
                continue;
            };
            match self.holder(*place) {
                Some(held)
                    if self.jobs[held].state == State::Ready
                        && self.jobs[held].rank() > self.jobs[first].rank() =>
                {
                    self.jobs[held].state = State::Waiting;
                }
                Some(_) => continue,
                None => {}
            }
            let first = &mut self.jobs[first];
            if first.ask.lane == Lane::Stack && first.ask.when == Some(When::Future) {
                first.state = State::Scheduled;
            } else {
                first.state = State::Ready;
            }
        }
        let is_ready = |place: &&(usize, Lane)| {
            let holder = self.holder(**place);
            holder.is_some_and(|held| self.jobs[held].state == State::Ready)
        };
        places
            .iter()
            .filter(is_ready)
            .map(|place| place.1)
            .collect()
    }

    pub(super) fn sweep(&mut self) {
        let is_due = |job: &Job| job.state == State::Scheduled && job.ask.when == Some(When::Past);
        let due: Vec<_> = self.select(is_due);
        let mut promoted = Vec::new();
        for job in &due {
            let job = &mut self.jobs[*job];
            if job.ask.lane == Lane::Stack {
                promoted.push(Lane::Stack);
                job.state = State::Ready;
            } else {
                job.state = State::Waiting;
            }
        }
        promoted.extend(self.promote(&self.places(&due)));
        let staged = self.select(|job| job.staged);
        for job in &staged {
            self.activate(*job);
        }
        promoted.extend(self.promote(&self.places(&staged)));
        let all: Vec<_> = (0..self.jobs.len()).collect();
        let mut free = self.places(&all);
        free.retain(|place| self.holder(*place).is_none());
        promoted.extend(self.promote(&free));
        promoted.sort_unstable();
        promoted.dedup();
        self.answer = Answer::Swept {
            due: due.len(),
            activated: staged.len(),
            promoted,
        };
    }

    fn activate(&mut self, staged: usize) {
        let ask = self.jobs[staged].ask.clone();
        if let Some(equal) = self.equal_queued(&ask) {
            self.jobs[equal].absorb(&ask);
            self.finish(staged, PublicState::Cancelled);
            return;
        }
        let job = &mut self.jobs[staged];
        (job.staged, job.merges) = (false, true);
        if ask.is_delayed() {
            job.state = State::Scheduled;
        }
    }

    fn select(&self, wanted: impl Fn(&Job) -> bool) -> Vec<usize> {
        let wanted = |n: &usize| wanted(&self.jobs[*n]);
        (0..self.jobs.len()).filter(wanted).collect()
    }

    fn places(&self, jobs: &[usize]) -> BTreeSet<(usize, Lane)> {
        jobs.iter().map(|job| self.jobs[*job].place()).collect()
    }
}
