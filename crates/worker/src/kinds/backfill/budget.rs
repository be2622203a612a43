//! What one job may study before it makes room for others.

use std::time::Duration;

use leasectl_core::changes::{BATCH, Budget};
use leasectl_core::time::BootInstant;

/// Changes of one pass, unless its job says otherwise.
const CHANGES: u32 = 1_000;
/// How long one pass takes, unless its job says otherwise.
const RUNTIME: Duration = Duration::from_secs(30 * 60);

/// What is left of a budget.
#[derive(Debug)]
pub(super) struct Left {
    changes: u32,
    began: BootInstant,
    runtime: Duration,
}

impl Left {
    /// The whole budget, from now on.
    pub(super) fn of(budget: Budget) -> Self {
        let given = budget.max_runtime_s.map(u64::from).map(Duration::from_secs);
        Self {
            changes: budget.max_changes.unwrap_or(CHANGES),
            began: BootInstant::now(),
            runtime: given.unwrap_or(RUNTIME),
        }
    }

    /// How many changes the next batch may have; none when the budget is spent.
    pub(super) fn batch(&self) -> u16 {
        if self.is_late() {
            return 0;
        }
        let batch = usize::try_from(self.changes).unwrap_or(BATCH).min(BATCH);
        u16::try_from(batch).unwrap_or(u16::MAX)
    }

    /// Takes changes that were studied off it.
    pub(super) fn spend(&mut self, changes: usize) {
        let changes = u32::try_from(changes).unwrap_or(u32::MAX);
        self.changes = self.changes.saturating_sub(changes);
    }

    /// Whether the time is over.
    pub(super) fn is_late(&self) -> bool {
        self.began.elapsed() >= self.runtime
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max_changes: u32, max_runtime_s: u32) -> Left {
        Left::of(Budget {
            max_changes: Some(max_changes),
            max_runtime_s: Some(max_runtime_s),
        })
    }

    #[test]
    fn batches_are_no_larger_than_what_is_left() {
        let mut left = budget(70, 60);
        assert_eq!(usize::from(left.batch()), BATCH);
        left.spend(BATCH);
        assert_eq!(usize::from(left.batch()), 70 - BATCH);
        left.spend(BATCH);
        assert_eq!(left.batch(), 0);
    }

    #[test]
    fn nothing_is_begun_when_the_time_is_over() {
        let left = budget(70, 0);
        assert!(left.is_late());
        assert_eq!(left.batch(), 0);
    }
}
