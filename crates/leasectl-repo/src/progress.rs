//! How far a clone or fetch has come.

use serde::{Deserialize, Serialize};

/// What a clone or fetch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for another thread or process that works on the same clone.
    Waiting,
    /// Connecting and listing references.
    Connecting,
    /// Receiving objects.
    Receiving,
    /// Resolving deltas and writing the pack's index.
    Resolving,
    /// Writing to disk and publishing references.
    Publishing,
}

/// One progress report; the counts restart with every phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// How many units of it are done.
    pub done: u64,
    /// How many units there are, once that is known.
    pub total: Option<u64>,
    /// Bytes received from the remote so far.
    pub bytes_received: u64,
}

impl Progress {
    /// What `done` and `total` count.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self.phase {
            Phase::Waiting | Phase::Connecting => "steps",
            Phase::Receiving | Phase::Resolving => "objects",
            Phase::Publishing => "refs",
        }
    }
}

/// Receives progress reports, at most about ten a second, from the task that drives the operation.
pub trait ProgressSink: Send + Sync {
    /// Takes one report; it must not block.
    fn report(&self, progress: &Progress);
}

impl<F: Fn(&Progress) + Send + Sync> ProgressSink for F {
    fn report(&self, progress: &Progress) {
        self(progress);
    }
}

/// The sink for callers that do not care.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn report(&self, _progress: &Progress) {}
}
