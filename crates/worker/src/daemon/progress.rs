//! How far a handler has come: reported as often as it likes, sent as often as heartbeats go out.
//!
//! Reports only replace the last one in memory. The heartbeat takes what was not sent yet, and
//! marks it sent when the database answered; a report that was lost with a connection goes out
//! with the next beat.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use leasectl_core::lease::Progress;

/// Tells the database, and through it everybody, how far a handler has come.
///
/// Only advancing moves the lease's expiry: repeating the same numbers does not.
#[derive(Clone)]
pub struct ProgressReporter {
    cell: Arc<ProgressCell>,
}

impl fmt::Debug for ProgressReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressReporter")
    }
}

impl ProgressReporter {
    pub(crate) fn new(cell: Arc<ProgressCell>) -> Self {
        Self { cell }
    }

    /// Reports that `done` of `total` units are done; a new unit starts a new count.
    pub fn report(&self, done: u64, total: Option<u64>, unit: &str) {
        self.cell.change(|state| {
            let advanced = state
                .progress
                .as_ref()
                .is_none_or(|last| last.unit != unit || done > last.done);
            state.progress = Some(Progress {
                done,
                total,
                unit: unit.to_owned(),
            });
            advanced
        });
    }

    /// Says in a few words what the handler is doing. A message alone is no advance.
    pub fn message(&self, text: &str) {
        self.cell.change(|state| {
            state.message = Some(text.to_owned());
            false
        });
    }

    /// Reports that the handler got on, without numbers.
    pub fn advanced(&self) {
        self.cell.change(|_| true);
    }
}

/// What one handler reported and what of it was sent.
#[derive(Debug, Default)]
pub(crate) struct ProgressCell {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    progress: Option<Progress>,
    message: Option<String>,
    /// Grows with every report.
    version: u64,
    /// The version of the last report that was an advance.
    advanced_version: u64,
    /// The version that the database has.
    sent_version: u64,
}

/// A report that the database does not have yet.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Unsent {
    pub(crate) progress: Option<Progress>,
    pub(crate) message: Option<String>,
    pub(crate) advanced: bool,
    /// To be handed to [`ProgressCell::sent`].
    pub(crate) version: u64,
}

impl ProgressCell {
    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let advanced = change(&mut state);
        state.version += 1;
        if advanced {
            state.advanced_version = state.version;
        }
    }

    /// What was reported since the last answered beat; nothing when there is nothing new.
    pub(crate) fn unsent(&self) -> Option<Unsent> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.version > state.sent_version).then(|| Unsent {
            progress: state.progress.clone(),
            message: state.message.clone(),
            advanced: state.advanced_version > state.sent_version,
            version: state.version,
        })
    }

    /// The database answered a beat that carried this version.
    pub(crate) fn sent(&self, version: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sent_version = state.sent_version.max(version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reporter() -> (ProgressReporter, Arc<ProgressCell>) {
        let cell = Arc::new(ProgressCell::default());
        (ProgressReporter::new(Arc::clone(&cell)), cell)
    }

    #[test]
    fn many_reports_become_one_and_are_sent_once() {
        let (reporter, cell) = reporter();
        assert_eq!(cell.unsent(), None);
        for done in 0..100 {
            reporter.report(done, Some(100), "objects");
        }
        let unsent = cell.unsent().unwrap();
        assert_eq!(unsent.progress.as_ref().unwrap().done, 99);
        cell.sent(unsent.version);
        assert_eq!(cell.unsent(), None);
    }

    #[test]
    fn repeating_the_same_numbers_is_no_advance() {
        let (reporter, cell) = reporter();
        reporter.report(5, None, "objects");
        let first = cell.unsent().unwrap();
        assert!(first.advanced);
        cell.sent(first.version);
        reporter.report(5, None, "objects");
        reporter.message("still at it");
        assert!(!cell.unsent().unwrap().advanced);
        reporter.report(6, None, "objects");
        assert!(cell.unsent().unwrap().advanced);
    }

    #[test]
    fn a_new_unit_starts_a_new_count() {
        let (reporter, cell) = reporter();
        reporter.report(900, None, "objects");
        cell.sent(cell.unsent().unwrap().version);
        reporter.report(1, None, "deltas");
        assert!(cell.unsent().unwrap().advanced);
    }

    #[test]
    fn a_report_that_was_not_answered_goes_out_again() {
        let (reporter, cell) = reporter();
        reporter.report(1, None, "objects");
        assert_eq!(cell.unsent(), cell.unsent());
        let lost = cell.unsent().unwrap();
        reporter.message("meanwhile");
        cell.sent(lost.version);
        let next = cell.unsent().unwrap();
        assert_eq!(next.message.as_deref(), Some("meanwhile"));
        assert!(!next.advanced);
    }
}
