//! What a run left behind: the history that the checker judges. Nothing here touches a database.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Microseconds since 1970.
pub(super) type Micros = i64;

/// The host's wall clock, which is also the database server's. It decides nothing; it tells which of
/// two notes of this machine was made first.
pub(super) fn now() -> Micros {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// Everything that one round left behind.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Changes of rows, numbered by the database.
    pub(super) changes: Vec<Change>,
    /// Fences that workers asked for.
    pub(super) fences: Vec<FenceAsked>,
    /// Jobs whose acceptance was acknowledged.
    pub(super) accepted: Vec<String>,
    /// The state of every job at the end.
    pub(super) states: BTreeMap<String, String>,
    /// Workers that were cut off from the database.
    pub(super) cut_off: Vec<CutOff>,
    /// Clones looked at while faults went on.
    pub(super) clones: Vec<CloneSeen>,
    /// Repositories as they were after the faults had stopped.
    pub(super) repositories: Vec<RepositorySeen>,
    /// Where a secret was found.
    pub(super) leaks: Vec<String>,
    /// Poll interval of the workers, in microseconds.
    pub(super) poll_us: Micros,
}

/// One change of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    pub(super) seq: i64,
    /// When the row was written.
    pub(super) at: Micros,
    /// When its transaction began: what `now()` said.
    pub(super) begun: Micros,
    /// When its transaction committed.
    pub(super) committed: Micros,
    /// When the server had been started.
    pub(super) booted: Micros,
    /// The client's port; none on a Unix socket.
    pub(super) port: Option<i32>,
    pub(super) xid: String,
    pub(super) repo: String,
    pub(super) what: What,
}

#[derive(Clone, Debug, Default)]
pub(super) enum What {
    /// A live job's row.
    Job {
        id: String,
        before: Option<Box<JobRow>>,
        after: Option<Box<JobRow>>,
    },
    /// A job came into the history of finished ones.
    Finished { id: String, row: FinishedRow },
    /// A fetch was recorded in the repository's row.
    Repository { head: Option<String> },
    /// A branch, or a ref of the index, was written or forgotten.
    #[default]
    Branch,
}

/// The part of a live job's row that a lease is about.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct JobRow {
    pub(super) state: String,
    pub(super) lane: String,
    pub(super) owner: Option<String>,
    pub(super) token: Option<i64>,
    pub(super) heartbeat: Option<Micros>,
    pub(super) expires: Option<Micros>,
    pub(super) stale_after: Option<Micros>,
    pub(super) interval: Option<Micros>,
    pub(super) attempt: i64,
    pub(super) max_attempts: i64,
    pub(super) crashes: i64,
    pub(super) durable: bool,
    /// The last ended attempt.
    pub(super) ended_token: Option<i64>,
    pub(super) ended_outcome: Option<String>,
    /// Whether owner and token are set if and only if it runs.
    pub(super) is_whole: bool,
}

impl JobRow {
    pub(super) fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// When this lease is over unless something happens, by the database's clock.
    pub(super) fn over_at(&self, booted: Micros) -> Option<Micros> {
        let silent_from = self.heartbeat?.max(booted + self.interval?);
        Some((silent_from + self.stale_after?).min(self.expires?))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct FinishedRow {
    pub(super) state: String,
    pub(super) owner: Option<String>,
    pub(super) token: Option<i64>,
    pub(super) outcome: Option<String>,
    pub(super) attempt: i64,
    pub(super) max_attempts: i64,
    /// The head that the job's result names.
    pub(super) head: Option<String>,
    pub(super) error: Option<String>,
}

/// A worker asked for a fence.
#[derive(Clone, Debug, Default)]
pub(super) struct FenceAsked {
    /// The port by which the server knows the connection.
    pub(super) server_port: i32,
    pub(super) at: Micros,
    pub(super) job: String,
    pub(super) owner: String,
    pub(super) token: i64,
}

/// A worker was cut off for longer than its trust window.
#[derive(Clone, Debug, Default)]
pub(super) struct CutOff {
    pub(super) owner: String,
    /// Git processes of handlers that ran when the cut began.
    pub(super) running: usize,
    /// Those of them that still ran after the window.
    pub(super) still_running: usize,
}

/// A clone stood at its final path.
#[derive(Clone, Debug, Default)]
pub(super) struct CloneSeen {
    pub(super) path: String,
    /// Why it is not complete.
    pub(super) fault: Option<String>,
}

/// A repository after the faults had stopped and it was fetched once more.
#[derive(Clone, Debug, Default)]
pub(super) struct RepositorySeen {
    pub(super) name: String,
    /// How that fetch ended.
    pub(super) state: String,
    pub(super) remote_head: String,
    pub(super) recorded_head: String,
    /// Why the clone is not whole.
    pub(super) fault: Option<String>,
}
