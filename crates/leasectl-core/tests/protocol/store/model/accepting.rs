//! The model's callers: jobs are accepted, merged or staged.

use leasectl_core::job::PublicState;
use leasectl_core::kind::Lane;

use super::{Answer, Ask, Model, State, When};

impl Model {
    pub(in super::super) fn enqueue(&mut self, asks: &[Ask]) {
        let before = self.clone();
        let accepted = self.insert(asks).unwrap_or_else(|| {
            *self = before;
            self.merge(asks)
        });
        let accepted = accepted.into_iter().map(|(job, merged)| {
            let state = self.jobs[job].public_state();
            (job, state, merged)
        });
        self.answer = Answer::Accepted(accepted.collect());
    }

    /// An equal queued job that is as urgent and starts no later. One that is due stays scheduled: the
    /// sweep wakes it.
    fn equal_unchanged(&self, ask: &Ask) -> Option<usize> {
        let equal = self.equal_queued(ask)?;
        let queued = &self.jobs[equal].ask;
        let is_as_early = queued.when.is_none() || (ask.when.is_some() && queued.when <= ask.when);
        (queued.priority >= ask.priority && is_as_early).then_some(equal)
    }

    /// The quick way: nothing of the batch changes anything.
    fn insert(&mut self, asks: &[Ask]) -> Option<Vec<(usize, bool)>> {
        let before = self.clone();
        let unchanged: Vec<_> = asks.iter().map(|ask| self.equal_unchanged(ask)).collect();
        let mut accepted = Vec::new();
        for (n, ask) in asks.iter().enumerate() {
            if let Some(equal) = unchanged[n] {
                accepted.push((equal, true));
                continue;
            }
            let place = (ask.repo, ask.lane);
            let held = before.holder(place).map(|held| &before.jobs[held]);
            let outranks =
                held.is_some_and(|held| held.state == State::Ready && held.rank() > -ask.priority);
            if self.equal_queued(ask).is_some()
                || (outranks && !ask.is_delayed() && ask.lane != Lane::Stack)
            {
                return None;
            }
            let rivals = asks.iter().enumerate().filter(|(m, rival)| {
                *m != n
                    && unchanged[*m].is_none()
                    && (rival.repo, rival.lane) == place
                    && !rival.is_delayed()
            });
            let is_first = rivals
                .map(|(m, rival)| (rival.rank(), m))
                .all(|rival| (ask.rank(), n) < rival);
            let state = if ask.is_delayed() {
                State::Scheduled
            } else if held.is_some() || !is_first || before.anybody_waits(place) {
                State::Waiting
            } else if ask.when == Some(When::Future) {
                State::Scheduled
            } else {
                State::Ready
            };
            accepted.push((self.add(ask, state, false), false));
        }
        Some(accepted)
    }

    /// The way for batches that collide: each job waits or is merged, then the lanes are ordered.
    fn merge(&mut self, asks: &[Ask]) -> Vec<(usize, bool)> {
        let accepted = asks.iter().map(|ask| match self.equal_queued(ask) {
            Some(equal) => {
                self.jobs[equal].absorb(ask);
                (equal, true)
            }
            None => {
                let state = if ask.is_delayed() {
                    State::Scheduled
                } else {
                    State::Waiting
                };
                (self.add(ask, state, false), false)
            }
        });
        let accepted = accepted.collect();
        self.promote(&asks.iter().map(|ask| (ask.repo, ask.lane)).collect());
        accepted
    }

    /// `leasectl.enqueue`.
    pub(in super::super) fn stage(&mut self, ask: &Ask) {
        let job = self.add(ask, State::Waiting, true);
        self.answer = Answer::Accepted(vec![(job, PublicState::Waiting, false)]);
    }
}
