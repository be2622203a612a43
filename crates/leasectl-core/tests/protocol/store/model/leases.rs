//! The model's leases: claimed, kept, lost and settled.

use std::collections::{BTreeMap, BTreeSet};

use leasectl_core::job::{CancelOutcome, PublicState, RetryOutcome};
use leasectl_core::kind::Lane;

use super::{Answer, Ending, Job, Minted, Model, Over, State, When};

impl Model {
    fn mint(&mut self, job: usize, owner: usize) {
        let lease = self.minted.len();
        self.minted.push(Minted {
            job,
            owner,
            settled: false,
        });
        self.jobs[job].state = State::Running { lease, over: None };
    }

    /// The job of a lease that is still held, over or not.
    pub(super) fn held_job(&self, lease: usize) -> Option<usize> {
        let job = self.minted[lease].job;
        let held =
            matches!(self.jobs[job].state, State::Running { lease: now, .. } if now == lease);
        held.then_some(job)
    }

    fn by_urgency(&self, wanted: impl Fn(&Job) -> bool) -> Vec<usize> {
        let mut jobs = self.select(wanted);
        jobs.sort_by_key(|job| (self.jobs[*job].rank(), self.jobs[*job].seq));
        jobs
    }

    /// Takes so many ready jobs of each lane.
    pub(in super::super) fn claim(&mut self, owner: usize, free: usize) {
        let mut jobs = self.by_urgency(|job| job.state == State::Ready);
        let mut left = BTreeMap::from([(Lane::Fetch, free), (Lane::Stack, free)]);
        jobs.retain(|job| {
            let left = left.entry(self.jobs[*job].ask.lane).or_default();
            let takes = *left > 0;
            *left -= usize::from(takes);
            takes
        });
        for job in &jobs {
            self.mint(*job, owner);
            let job = &mut self.jobs[*job];
            job.attempt += 1;
            (job.merges, job.durable) = (false, false);
        }
        self.answer = Answer::Claimed(jobs);
    }

    pub(in super::super) fn reclaim(&mut self, owner: usize) {
        let jobs = self.by_urgency(|job| job.is_over() && job.may_run_again());
        let mut taken = Vec::new();
        for n in jobs {
            let State::Running {
                lease,
                over: Some(over),
            } = self.jobs[n].state
            else {
                continue;
            };
            taken.push((n, lease, over));
            let job = &mut self.jobs[n];
            job.ended.push((lease, "lost"));
            if job.durable {
                job.crashes = 0;
            } else {
                job.attempt += 1;
                job.crashes += 1;
            }
            job.durable = false;
            self.mint(n, owner);
        }
        self.answer = Answer::Reclaimed(taken);
    }

    pub(in super::super) fn bury(&mut self) {
        let dead = self.select(|job| job.is_over() && !job.may_run_again());
        for job in &dead {
            if let State::Running { lease, .. } = self.jobs[*job].state {
                self.jobs[*job].ended.push((lease, "lost"));
            }
            let state = if self.jobs[*job].cancel_requested {
                PublicState::Cancelled
            } else {
                PublicState::Error
            };
            self.finish(*job, state);
        }
        self.promote(&self.places(&dead));
        self.answer = Answer::Buried(dead.into_iter().collect());
    }

    pub(in super::super) fn beat(&mut self, leases: &BTreeSet<usize>) {
        let held = leases.iter().filter_map(|lease| {
            let job = &self.jobs[self.held_job(*lease)?];
            (!job.is_over()).then_some((*lease, job.cancel_requested))
        });
        self.answer = Answer::Held(held.collect());
    }

    pub(in super::super) fn settle(&mut self, endings: &[(usize, Ending)]) {
        let mut places = BTreeSet::new();
        let mut settled = Vec::new();
        for (lease, ending) in endings {
            let Some(job) = self.held_job(*lease) else {
                settled.push(Err(self.minted[*lease].settled));
                continue;
            };
            if self.anybody_waits(self.jobs[job].place()) {
                places.insert(self.jobs[job].place());
            }
            self.end(job, *lease, *ending);
            self.minted[*lease].settled = true;
            settled.push(Ok(self.jobs[job].public_state()));
        }
        self.promote(&places);
        self.answer = Answer::Settled(settled);
    }

    fn end(&mut self, n: usize, lease: usize, ending: Ending) {
        let job = &mut self.jobs[n];
        let cancelled = job.cancel_requested;
        let retries = job.attempt < job.max_attempts;
        let (outcome, finished) = match ending {
            Ending::Complete => ("completed", Some(PublicState::Completed)),
            Ending::Cancelled => ("cancelled", Some(PublicState::Cancelled)),
            Ending::Retryable | Ending::Permanent if cancelled => {
                ("failed", Some(PublicState::Cancelled))
            }
            Ending::Retryable if retries => ("failed", None),
            Ending::Retryable | Ending::Permanent => ("failed", Some(PublicState::Error)),
            Ending::Release if cancelled => ("cancelled", Some(PublicState::Cancelled)),
            Ending::Release => ("released", None),
        };
        job.ended.push((lease, outcome));
        match (finished, ending) {
            (Some(state), _) => self.finish(n, state),
            (None, Ending::Release) => {
                job.state = State::Ready;
                job.attempt -= 1;
                job.durable = false;
            }
            (None, _) => {
                job.state = State::Scheduled;
                job.ask.when = Some(When::Future);
                (job.crashes, job.durable) = (0, false);
            }
        }
    }

    /// A fenced write, with or without durable progress.
    pub(in super::super) fn write(&mut self, lease: usize, durable: bool) {
        let held = self.held_job(lease);
        if let Some(job) = held {
            let job = &mut self.jobs[job];
            self.written[job.ask.repo] = Some(lease);
            if durable {
                (job.durable, job.crashes) = (true, 0);
            }
        }
        self.answer = Answer::Fenced(held.is_some());
    }

    pub(in super::super) fn cancel(&mut self, n: usize) {
        let outcome = match self.jobs[n].state {
            State::Finished(state) => CancelOutcome::AlreadyFinished(state),
            State::Running { .. } => {
                self.jobs[n].cancel_requested = true;
                CancelOutcome::Requested
            }
            State::Scheduled | State::Waiting | State::Ready => {
                self.finish(n, PublicState::Cancelled);
                self.promote(&self.places(&[n]));
                CancelOutcome::Cancelled
            }
        };
        self.answer = Answer::Cancelled(outcome);
    }

    pub(in super::super) fn retry(&mut self, n: usize) {
        let outcome = match self.jobs[n].state {
            State::Finished(_) => {
                let seq = self.next_seq;
                self.next_seq += 1;
                let job = &mut self.jobs[n];
                job.seq = seq;
                job.state = State::Waiting;
                job.ask.when = None;
                job.max_attempts = job.attempt + 5;
                (job.crashes, job.durable, job.cancel_requested) = (0, false, false);
                self.promote(&self.places(&[n]));
                RetryOutcome::Accepted
            }
            State::Scheduled | State::Waiting | State::Ready | State::Running { .. } => {
                RetryOutcome::NotFinished(self.jobs[n].public_state())
            }
        };
        self.answer = Answer::Retried(outcome);
    }

    // ── Time ──────────────────────────────────────────────────────────────────────────────────

    /// A lease's owner falls silent, or its handler stands still for too long.
    pub(in super::super) fn age(&mut self, lease: usize, why: Over) {
        if let Some(job) = self.held_job(lease)
            && let State::Running { over, .. } = &mut self.jobs[job].state
        {
            *over = Some(over.map_or(why, |before| before.max(why)));
        }
        self.answer = Answer::Nothing;
    }

    /// The time of everything that is scheduled comes.
    pub(in super::super) fn come_due(&mut self) {
        for job in &mut self.jobs {
            if job.state == State::Scheduled {
                job.ask.when = Some(When::Past);
            }
        }
        self.answer = Answer::Nothing;
    }
}
