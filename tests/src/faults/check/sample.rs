//! Histories made by hand, for the checks' own tests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, judge};
use crate::faults::record::{
    Change, FenceAsked, FileSeen, FinishedRow, JobRow, Micros, Offered, PassRow, ProposalsSeen,
    Recorded, SnapshotSeen, Trial, What,
};

pub(super) const JOB: &str = "job";
pub(super) const FETCHED: &str = "head";
const OWNER: &str = "host:1:1";
const PORT: i32 = 4_000;
const STALE_AFTER: Micros = 2_000_000;

/// A history of one job in one lane.
pub(super) struct Sample {
    pub(super) trial: Trial,
    row: JobRow,
    pass: Option<Box<PassRow>>,
    booted: Micros,
}

impl Sample {
    /// One accepted job that nobody has claimed.
    pub(super) fn new() -> Self {
        let row = JobRow {
            state: "ready".to_owned(),
            lane: "fetch".to_owned(),
            max_attempts: 5,
            is_whole: true,
            ..JobRow::default()
        };
        let mut trial = Trial {
            poll_us: 100_000,
            ..Trial::default()
        };
        trial.accepted.push(JOB.to_owned());
        trial.states.insert(JOB.to_owned(), "completed".to_owned());
        Self {
            trial,
            row,
            pass: None,
            booted: -60_000_000,
        }
    }

    /// The same of an index.
    pub(super) fn indexing() -> Self {
        let mut sample = Self::new();
        sample.row.lane = "index".to_owned();
        sample
    }

    /// The same of a backfill.
    pub(super) fn backfilling() -> Self {
        let mut sample = Self::new();
        sample.row.lane = "backfill".to_owned();
        sample
    }

    /// A job that was claimed, fenced, wrote and completed.
    pub(super) fn fetched() -> Self {
        let mut sample = Self::new();
        sample.claim(1, 10).fence(1, 11).write(1, FETCHED, 12);
        sample.complete(1, FETCHED, 20);
        sample
    }

    pub(super) fn judge(&self) -> Vec<Violation> {
        judge(&self.trial)
    }

    pub(super) fn breaks(&self, invariant: &str) -> bool {
        let found = self.judge();
        found.iter().any(|found| found.invariant == invariant)
    }

    pub(super) fn boot(&mut self, at: Micros) -> &mut Self {
        self.booted = at;
        self
    }

    pub(super) fn claim(&mut self, token: i64, at: Micros) -> &mut Self {
        let mut row = self.row.clone();
        row.attempt += 1;
        self.lease(row, token, at)
    }

    pub(super) fn takeover(&mut self, token: i64, at: Micros) -> &mut Self {
        let mut row = self.row.clone();
        row.attempt += 1;
        row.crashes += 1;
        row.ended_token = row.token;
        row.ended_outcome = Some("lost".to_owned());
        self.lease(row, token, at)
    }

    fn lease(&mut self, mut row: JobRow, token: i64, at: Micros) -> &mut Self {
        row.state = "running".to_owned();
        row.owner = Some(OWNER.to_owned());
        row.token = Some(token);
        row.heartbeat = Some(at);
        row.expires = Some(at + 10 * STALE_AFTER);
        row.stale_after = Some(STALE_AFTER);
        row.interval = Some(STALE_AFTER / 4);
        self.change(Some(row), at)
    }

    pub(super) fn beat(&mut self, at: Micros) -> &mut Self {
        let mut row = self.row.clone();
        row.heartbeat = Some(at);
        self.change(Some(row), at)
    }

    /// The lease is made to expire at another time.
    pub(super) fn expire(&mut self, expires: Micros, at: Micros) -> &mut Self {
        let mut row = self.row.clone();
        row.expires = Some(expires);
        self.change(Some(row), at)
    }

    pub(super) fn complete(&mut self, token: i64, head: &str, at: Micros) -> &mut Self {
        self.complete_as(token, token, head, at)
    }

    /// The lease of one token ends with the settlement of another.
    pub(super) fn complete_as(
        &mut self,
        held: i64,
        settled: i64,
        head: &str,
        at: Micros,
    ) -> &mut Self {
        let attempt = self.row.attempt;
        self.row.state = "running".to_owned();
        self.row.token = Some(held);
        self.change(None, at);
        let row = FinishedRow {
            state: "completed".to_owned(),
            owner: Some(OWNER.to_owned()),
            token: Some(settled),
            outcome: Some("completed".to_owned()),
            attempt,
            max_attempts: 5,
            head: Some(head.to_owned()),
            exhausted: None,
            error: None,
        };
        let id = JOB.to_owned();
        self.push(What::Finished { id, row }, at)
    }

    pub(super) fn fence(&mut self, token: i64, at: Micros) -> &mut Self {
        self.trial.fences.push(FenceAsked {
            server_port: PORT,
            at,
            job: JOB.to_owned(),
            owner: OWNER.to_owned(),
            token,
        });
        self
    }

    pub(super) fn write(&mut self, _token: i64, head: &str, at: Micros) -> &mut Self {
        let head = Some(head.to_owned());
        self.push(What::Repository { head }, at)
    }

    /// An index has a ref lead to a tree.
    pub(super) fn publish(&mut self, at: Micros) -> &mut Self {
        self.push(What::Branch, at)
    }

    /// A backfill notes how far its pass is.
    pub(super) fn pass(&mut self, is_open: bool, number: Option<i64>, at: Micros) -> &mut Self {
        let after = Box::new(PassRow {
            mode: Some("open_only".to_owned()),
            generation: Some(1),
            is_open,
            family: number.map(|_| "pull".to_owned()),
            number,
            ..PassRow::default()
        });
        let before = self.pass.replace(after.clone());
        self.push(What::Pass { before, after }, at)
    }

    /// The row that a backfill wrote last.
    pub(super) fn last_pass(&mut self) -> &mut PassRow {
        let rows = self.trial.changes.iter_mut().rev();
        let mut rows = rows.filter_map(|change| match &mut change.what {
            What::Pass { after, .. } => Some(&mut **after),
            What::Job { .. }
            | What::Finished { .. }
            | What::Repository { .. }
            | What::Snapshot
            | What::Inventory { .. }
            | What::Branch => None,
        });
        rows.next().unwrap()
    }

    /// A backfill writes what a change changes.
    pub(super) fn snapshot(&mut self, at: Micros) -> &mut Self {
        self.push(What::Snapshot, at)
    }

    /// A fetch replaces the inventory.
    pub(super) fn inventory(&mut self, generation: i64, at: Micros) -> &mut Self {
        self.push(What::Inventory { generation }, at)
    }

    /// The same worker claims another job of the same repository, in that lane.
    pub(super) fn claim_beside(&mut self, lane: &str, token: i64, at: Micros) -> &mut Self {
        let mut other = Self::new();
        other.row.lane = lane.to_owned();
        other.claim(token, at);
        self.trial.changes.append(&mut other.trial.changes);
        self
    }

    /// The same worker claims an index of the same repository, which publishes a ref.
    pub(super) fn index_beside(&mut self, token: i64, at: Micros) -> &mut Self {
        let mut other = Self::indexing();
        other.claim(token, at).fence(token, at + 1).publish(at + 2);
        self.trial.changes.append(&mut other.trial.changes);
        self.trial.fences.append(&mut other.trial.fences);
        self
    }

    /// The same worker claims a fresh job of another repository.
    pub(super) fn claim_elsewhere(&mut self, token: i64, at: Micros) -> &mut Self {
        let mut other = Self::new();
        other.claim(token, at);
        let mut change = other.trial.changes.remove(0);
        change.repo = format!("repository {token}");
        change.seq = at;
        self.trial.changes.push(change);
        self
    }

    pub(super) fn last_row(&mut self) -> &mut JobRow {
        let rows = self.trial.changes.iter_mut().rev();
        let mut rows = rows.filter_map(|change| match &mut change.what {
            What::Job { after, .. } => after.as_deref_mut(),
            What::Finished { .. }
            | What::Repository { .. }
            | What::Pass { .. }
            | What::Snapshot
            | What::Inventory { .. }
            | What::Branch => None,
        });
        rows.next().unwrap()
    }

    pub(super) fn last_finished(&mut self) -> &mut FinishedRow {
        let rows = self.trial.changes.iter_mut().rev();
        let mut rows = rows.filter_map(|change| match &mut change.what {
            What::Finished { row, .. } => Some(row),
            What::Job { .. }
            | What::Repository { .. }
            | What::Pass { .. }
            | What::Snapshot
            | What::Inventory { .. }
            | What::Branch => None,
        });
        rows.next().unwrap()
    }

    fn change(&mut self, after: Option<JobRow>, at: Micros) -> &mut Self {
        let before = Some(Box::new(self.row.clone()));
        self.row = after.clone().unwrap_or(JobRow {
            state: "ready".to_owned(),
            owner: None,
            token: None,
            heartbeat: None,
            ..self.row.clone()
        });
        let id = JOB.to_owned();
        let after = after.map(Box::new);
        self.push(What::Job { id, before, after }, at)
    }

    fn push(&mut self, what: What, at: Micros) -> &mut Self {
        let seq = i64::try_from(self.trial.changes.len()).unwrap();
        self.trial.changes.push(Change {
            seq,
            at,
            begun: at,
            committed: at,
            booted: self.booted,
            port: Some(PORT),
            xid: at.to_string(),
            repo: "repository".to_owned(),
            what,
        });
        self
    }
}

/// A repository with one open change of one commit and one file, all of which is recorded.
pub(super) fn known() -> ProposalsSeen {
    let offered = Offered {
        reference: "refs/pull/7/head".to_owned(),
        head: "head".to_owned(),
        test_merge: Some("test merge".to_owned()),
        is_open: true,
        base: "base".to_owned(),
        merge_base: Some("merge base".to_owned()),
        commits: BTreeSet::from(["head".to_owned()]),
        files: BTreeMap::from([("a".to_owned(), (Some(2), Some(1)))]),
    };
    let snapshot = SnapshotSeen {
        head: "head".to_owned(),
        base: Some("base".to_owned()),
        merge_base: Some("merge base".to_owned()),
        is_open: true,
        totals: [1, 1, 2, 1],
        commits: vec!["head".to_owned()],
        files: vec![FileSeen {
            path: "a".to_owned(),
            old_path: None,
            additions: Some(2),
            deletions: Some(1),
        }],
    };
    let recorded = Recorded {
        family: "pull".to_owned(),
        number: 7,
        reference: "refs/pull/7/head".to_owned(),
        head: "head".to_owned(),
        test_merge: Some("test merge".to_owned()),
        freshness: Some("current".to_owned()),
        snapshot: Some(snapshot),
    };
    ProposalsSeen {
        name: "acme/r0".to_owned(),
        mode: "full_history".to_owned(),
        default_head: "base".to_owned(),
        recorded_default_head: Some("base".to_owned()),
        offered: BTreeMap::from([(("pull".to_owned(), 7), offered)]),
        recorded: vec![recorded],
        log: vec!["base".to_owned()],
        commits: vec!["base".to_owned()],
    }
}

/// Whether a doctored end breaks an invariant.
pub(super) fn breaks(invariant: &str, doctor: impl FnOnce(&mut ProposalsSeen)) -> bool {
    let mut seen = known();
    doctor(&mut seen);
    let mut sample = Sample::fetched();
    sample.trial.proposals.push(seen);
    sample.breaks(invariant)
}
