//! How many faults of each kind there were.

use std::collections::BTreeMap;
use std::fmt;

use super::proxy::{Blow, Moment, Trap};

/// Counts by kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// One more of that kind, which really happened to something.
    pub(super) fn count(&mut self, kind: impl Into<String>) {
        *self.0.entry(kind.into()).or_default() += 1;
    }

    /// A trap that sprang.
    pub(super) fn trap(&mut self, trap: &Trap) {
        let blow = match trap.blow {
            Blow::Kill => "SIGKILL",
            Blow::Freeze => "SIGSTOP",
            Blow::Reset => "reset",
        };
        let moment = match trap.moment {
            Moment::BeforeItIsSent => "before",
            Moment::BeforeItIsAnswered => "after",
        };
        self.count(format!("{blow} {moment} {:?}", trap.statement));
    }

    /// All faults.
    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Adds another tally.
    pub(super) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.0 {
            writeln!(f, "{count:>8}  {kind}")?;
        }
        Ok(())
    }
}
