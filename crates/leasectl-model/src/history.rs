//! The judge: it is told what happened, keeps its own books, and notes which rules were broken.
//! It never reads the rows whose handling it judges.

use crate::ids::{JOBS, JobId, OwnerId, Token, TokenSet};
use crate::rule::{Broken, Rule};

/// What the judge remembers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct History {
    /// The greatest token that was given out.
    last: Token,
    /// The lease that lives now.
    holder: Option<(JobId, OwnerId, Token)>,
    /// Tokens with an applied settlement.
    applied: TokenSet,
    /// Jobs, as bits, that are over.
    ended: u8,
    /// Jobs, as bits, that a user was told are accepted.
    pub(crate) acknowledged: u8,
    /// Losses in a row without durable progress.
    losses: [u8; JOBS],
    /// Attempts that should have been spent.
    spent: [u8; JOBS],
    /// Whether the live lease committed durable progress.
    durable: bool,
    /// What was broken.
    pub(crate) broken: Broken,
}

impl History {
    pub(crate) const START: Self = Self {
        last: Token(0),
        holder: None,
        applied: TokenSet::EMPTY,
        ended: 0,
        acknowledged: 0,
        losses: [0; JOBS],
        spent: [0; JOBS],
        durable: false,
        broken: Broken::NONE,
    };

    /// Notes a rule as broken unless it was kept.
    pub(crate) fn require(&mut self, rule: Rule, kept: bool) {
        if !kept {
            self.broken.insert(rule);
        }
    }

    fn is_live(&self, job: JobId, token: Token) -> bool {
        matches!(self.holder, Some((j, _, t)) if j == job && t == token)
    }

    /// A lease was given out. `attempt` is what the database counts, `most` its limit.
    pub(crate) fn claimed(
        &mut self,
        (job, owner, token): (JobId, OwnerId, Token),
        attempt: u8,
        most: u8,
    ) {
        self.require(Rule::TokensGrow, token > self.last);
        self.require(Rule::OneLease, self.holder.is_none());
        self.require(Rule::NoEffectAfterTheEnd, self.ended & job.bit() == 0);
        self.last = self.last.max(token);
        self.holder = Some((job, owner, token));
        self.durable = false;
        self.spent[job.index()] += 1;
        self.require(Rule::AttemptsCounted, attempt == self.spent[job.index()]);
        self.require(Rule::PoisonEnds, attempt <= most);
    }

    /// A lease was taken away because it was over. `limit` losses in a row are the most.
    pub(crate) fn lost(&mut self, job: JobId, again: bool, limit: u8) {
        let losses = &mut self.losses[job.index()];
        if self.durable {
            *losses = 0;
            self.spent[job.index()] -= u8::from(again);
        } else {
            *losses += 1;
        }
        let poison = again && *losses >= limit;
        self.holder = None;
        self.require(Rule::PoisonEnds, !poison);
        if !again {
            self.ended |= job.bit();
        }
    }

    /// A transaction with effects of a token committed.
    pub(crate) fn effect(&mut self, job: JobId, token: Token, durable: bool) {
        self.require(Rule::NoEffectAfterASuccessor, token >= self.last);
        self.require(Rule::NoEffectAfterTheEnd, self.ended & job.bit() == 0);
        self.require(Rule::EffectsUnderTheLease, self.is_live(job, token));
        if durable && self.is_live(job, token) {
            self.durable = true;
            self.losses[job.index()] = 0;
        }
    }

    /// A heartbeat of that lease was taken as proof of life; `over` says that the lease was over.
    pub(crate) fn beaten(&mut self, job: JobId, token: Token, over: bool) {
        self.require(Rule::NoResurrection, !over && self.is_live(job, token));
    }

    /// A worker is told that it lost that lease; `over` says that others may take it.
    pub(crate) fn told_lost(&mut self, job: JobId, token: Token, over: bool) {
        self.require(Rule::LostIsLost, over || !self.is_live(job, token));
    }

    /// A settlement was applied.
    pub(crate) fn settled(&mut self, job: JobId, token: Token, change: Change) {
        let first = !self.applied.contains(token);
        self.require(Rule::OneSettlement, first && self.is_live(job, token));
        self.applied.insert(token);
        self.holder = None;
        match change {
            Change::Ended => self.ended |= job.bit(),
            Change::Again => self.losses[job.index()] = 0,
            Change::HandedBack => {
                self.spent[job.index()] = self.spent[job.index()].saturating_sub(1);
            }
        }
    }

    /// A settlement was answered without effect: `already` says that it had taken effect before.
    pub(crate) fn refused(&mut self, token: Token, already: bool) {
        self.require(Rule::TrueAnswers, already == self.applied.contains(token));
    }

    /// A job was cancelled while nobody held it, or should have been.
    pub(crate) fn cancelled(&mut self, job: JobId) {
        self.ended |= job.bit();
        if matches!(self.holder, Some((j, _, _)) if j == job) {
            self.holder = None;
        }
    }

    /// A finished job runs again.
    pub(crate) fn retried(&mut self, job: JobId) {
        self.ended &= !job.bit();
        self.losses[job.index()] = 0;
    }
}

/// What a settlement does to a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// It is over.
    Ended,
    /// Another attempt follows.
    Again,
    /// The same attempt follows.
    HandedBack,
}
