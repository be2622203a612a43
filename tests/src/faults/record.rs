//! What a run left behind: the history that the checker judges. Nothing here touches a database.

use std::collections::{BTreeMap, BTreeSet};

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
    /// What was recorded of their changes then, and what Git says of them.
    pub(super) proposals: Vec<ProposalsSeen>,
    /// Jobs that were run while the other lane of their repository was held up.
    pub(super) beside: Vec<BesideSeen>,
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
    /// The row of a repository's backfill was written.
    Pass {
        before: Option<Box<PassRow>>,
        after: Box<PassRow>,
    },
    /// What a change changes was written.
    Snapshot,
    /// The inventory of a repository's changes was replaced.
    Inventory { generation: i64 },
    /// A branch, or a ref of the index, was written or forgotten.
    #[default]
    Branch,
}

/// How far a repository's backfill is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub(super) struct PassRow {
    pub(super) mode: Option<String>,
    pub(super) generation: Option<i64>,
    pub(super) pass_mode: Option<String>,
    pub(super) is_open: bool,
    pub(super) epoch: i64,
    pub(super) family: Option<String>,
    pub(super) number: Option<i64>,
    pub(super) started: Option<Micros>,
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
    /// Whether a backfill says that nothing is left to study.
    pub(super) exhausted: Option<bool>,
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

/// The changes of a repository after the faults had stopped, it was fetched once more, and the pass that follows had
/// ended.
#[derive(Clone, Debug, Default)]
pub(super) struct ProposalsSeen {
    pub(super) name: String,
    /// Which changes are kept current.
    pub(super) mode: String,
    /// The head of the remote's default branch.
    pub(super) default_head: String,
    /// That of the inventory.
    pub(super) recorded_default_head: Option<String>,
    /// What the remote offers, by family and number.
    pub(super) offered: BTreeMap<(String, i64), Offered>,
    /// What is recorded.
    pub(super) recorded: Vec<Recorded>,
    /// The default branch's commits, as `git log` lists them.
    pub(super) log: Vec<String>,
    /// Those that are recorded.
    pub(super) commits: Vec<String>,
}

/// A change that a remote offers, and what plain git says of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Offered {
    pub(super) reference: String,
    pub(super) head: String,
    /// What the forge made by merging it, where that is fetched.
    pub(super) test_merge: Option<String>,
    /// Whether the default branch does not have it.
    pub(super) is_open: bool,
    /// The commit of the target with which it is to be compared.
    pub(super) base: String,
    /// The rest is of the recorded base, where there is one.
    pub(super) merge_base: Option<String>,
    pub(super) commits: BTreeSet<String>,
    /// Lines added and deleted by path; none of what is binary.
    pub(super) files: BTreeMap<String, (Option<i64>, Option<i64>)>,
}

/// A change as it is recorded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Recorded {
    pub(super) family: String,
    pub(super) number: i64,
    pub(super) reference: String,
    pub(super) head: String,
    pub(super) test_merge: Option<String>,
    pub(super) freshness: Option<String>,
    /// None of one that was never studied.
    pub(super) snapshot: Option<SnapshotSeen>,
}

/// What a change changes, as it is recorded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct SnapshotSeen {
    pub(super) head: String,
    pub(super) base: Option<String>,
    pub(super) merge_base: Option<String>,
    pub(super) is_open: bool,
    /// Commits, files, added and deleted lines in all.
    pub(super) totals: [i64; 4],
    pub(super) commits: Vec<String>,
    pub(super) files: Vec<FileSeen>,
}

/// A file of a change, as it is recorded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct FileSeen {
    pub(super) path: String,
    pub(super) old_path: Option<String>,
    pub(super) additions: Option<i64>,
    pub(super) deletions: Option<i64>,
}

/// A job was run while a job of another lane of its repository could not go on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct BesideSeen {
    /// The lane that was held up.
    pub(super) held: String,
    /// The lane of the job that was run.
    pub(super) lane: String,
    /// How that job stood when the other one was let go.
    pub(super) state: String,
}
