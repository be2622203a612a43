//! A repository with made-up changes, fetches of it and backfills of it.

use std::time::{Duration, Instant};

use leasectl_core::changes::{
    self, Begun, Budget, ChangeKey, Commit, Counts, Due, Family, File, FileStatus, Hunk,
    InventoryEntry, InventoryOutcome, Mode, Outcome, Pass, Snapshot, Studied,
};
use leasectl_core::database::Client;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::ids::RepoId;
use leasectl_core::index::ObjectId;
use leasectl_core::job::{EnqueueRequest, FollowUp};
use leasectl_core::kind::{BACKFILL, Lane};
use leasectl_core::lease::{self, ClaimRequest, Lease};

use crate::fixture::{FETCH, Fixture, done, owner};

/// The head of the default branch, unless a test says another one.
pub(crate) const MAIN: u64 = 1_000_000;

pub(crate) struct World {
    pub(crate) fixture: Fixture,
    pub(crate) repo: RepoId,
}

pub(crate) fn oid(number: u64) -> ObjectId {
    let mut bytes = [7; 20];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ObjectId::from_bytes(&bytes).unwrap()
}

pub(crate) fn pull(number: i64) -> ChangeKey {
    ChangeKey {
        family: Family::Pull,
        number,
    }
}

pub(crate) fn entry(number: i64, head: u64) -> InventoryEntry {
    InventoryEntry {
        key: pull(number),
        reference: format!("refs/pull/{number}/head"),
        head: oid(head),
        test_merge: None,
    }
}

/// So many changes, each with a head of its own.
pub(crate) fn entries(count: i64) -> Vec<InventoryEntry> {
    (1..=count).map(|n| entry(n, n.unsigned_abs())).collect()
}

pub(crate) fn commit(number: u64) -> Commit {
    Commit {
        id: oid(number),
        parents: vec![oid(number + 1), oid(number + 2)],
        author_name: "Ann\0".to_owned(),
        author_email: "ann@example.com".to_owned(),
        authored_at_s: 1_000,
        committed_at_s: i64::MAX,
        summary: format!("commit {number}"),
    }
}

pub(crate) fn file(path: &str, hunks: &[(u32, u32)]) -> File {
    File {
        path: path.to_owned(),
        old_path: None,
        status: FileStatus::Modified,
        additions: Some(1),
        deletions: Some(2),
        blob: Some(oid(5)),
        hunks: hunks
            .iter()
            .map(|(old_start, old_lines)| Hunk {
                old_start: *old_start,
                old_lines: *old_lines,
                new_start: 9,
                new_lines: 1,
            })
            .collect(),
    }
}

/// What is found of a change that is compared with the default branch.
pub(crate) fn snapshot(open: bool, files: Vec<File>) -> Snapshot {
    Snapshot {
        base: Some(oid(MAIN)),
        merge_base: Some(oid(999)),
        open,
        digest: Some(vec![1, 2, 3]),
        commits: vec![commit(70), commit(80)],
        commit_count: 2,
        file_count: files.len() as u64,
        files,
        additions: 10,
        deletions: 20,
        limits: Vec::new(),
    }
}

/// An open change, as most tests want it.
pub(crate) fn open_change(_: &Due) -> Outcome {
    Outcome::Snapshot(Box::new(snapshot(true, vec![file("a.rs", &[(3, 2)])])))
}

/// Odd ones are merged.
pub(crate) fn odd_ones_merged(due: &Due) -> Outcome {
    let mut found = snapshot(due.key.number % 2 == 0, vec![file("a.rs", &[])]);
    if !found.open {
        found.base = Some(oid(500));
    }
    Outcome::Snapshot(Box::new(found))
}

pub(crate) fn failure() -> Outcome {
    Outcome::Failed(JobError::retryable(
        ErrorCode::RefNotFound,
        "no such commit",
    ))
}

impl World {
    pub(crate) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let repo = fixture.repository("a").await;
        Self { fixture, repo }
    }

    /// Claims a job, once it has joined its lane: an equal one that follows from a fetch does after that commits.
    pub(crate) async fn claim(&self, name: &str, lane: Lane, kind: &str) -> Lease {
        let request = ClaimRequest {
            slots: &[(lane, 1)],
            kinds: &[kind],
        };
        let client = self.fixture.client().await;
        let owner = owner(name);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let claimed = lease::claim(&client, &owner, &self.fixture.settings, &request).await;
            if let Some(lease) = claimed.unwrap().pop() {
                return lease;
            }
            assert!(Instant::now() < deadline, "no job became ready");
            lease::sweep(&client).await.unwrap();
        }
    }

    /// A fetch that saw these changes; what follows from it is accepted.
    pub(crate) async fn fetch(
        &self,
        default: u64,
        entries: &[InventoryEntry],
    ) -> (InventoryOutcome, Vec<FollowUp>) {
        self.fetch_of(Some(oid(default)), entries).await
    }

    /// A fetch of a repository without a commit.
    pub(crate) async fn fetch_empty(&self) -> (InventoryOutcome, Vec<FollowUp>) {
        self.fetch_of(None, &[]).await
    }

    async fn fetch_of(
        &self,
        head: Option<ObjectId>,
        entries: &[InventoryEntry],
    ) -> (InventoryOutcome, Vec<FollowUp>) {
        self.fixture.enqueue(self.repo, &FETCH, "").await;
        let lease = self.claim("fetcher", Lane::Fetch, FETCH.name).await;
        let fence = lease.fence();
        let mut client = self.fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        let outcome = changes::record_inventory(&fenced, self.repo, head, entries)
            .await
            .unwrap();
        let mut requests: Vec<EnqueueRequest> = Vec::new();
        if outcome.has_changed() {
            requests.extend(changes::pass_request(&fenced, self.repo).await.unwrap());
        }
        let follow_ups = leasectl_core::job::enqueue_fenced(&fenced, &requests)
            .await
            .unwrap();
        fenced.commit().await.unwrap();
        for follow_up in &follow_ups {
            follow_up.start(&client).await.unwrap();
        }
        drop(client);
        self.fixture.settle(lease.complete(done())).await;
        (outcome, follow_ups)
    }

    /// A lease of a new `backfill` in that mode.
    pub(crate) async fn backfill(&self, name: &str, mode: Mode) -> Lease {
        let args = mode.args(Budget::default());
        let request = EnqueueRequest::new(self.repo, &BACKFILL, args);
        self.fixture.enqueue_as(request).await;
        self.claim(name, Lane::Backfill, BACKFILL.name).await
    }

    pub(crate) async fn begin(&self, lease: &Lease, mode: Mode) -> Begun {
        let fence = lease.fence();
        let mut client = self.fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        let begun = changes::begin_pass(&fenced, self.repo, mode).await.unwrap();
        let begun = match begun {
            Begun::Pass(pass) if pass.previous_default_head != pass.default_head => {
                let confirmed = changes::confirm_default(&fenced, pass, false).await;
                Begun::Pass(confirmed.unwrap())
            }
            other @ (Begun::Pass(_) | Begun::Off | Begun::NeverFetched) => other,
        };
        fenced.commit().await.unwrap();
        begun
    }

    pub(crate) async fn pass(&self, lease: &Lease, mode: Mode) -> Pass {
        match self.begin(lease, mode).await {
            Begun::Pass(pass) => pass,
            other @ (Begun::Off | Begun::NeverFetched) => panic!("{other:?}"),
        }
    }

    pub(crate) async fn due(&self, pass: &Pass) -> Vec<Due> {
        let client = self.fixture.client().await;
        changes::due(&client, pass, pass.cursor, 64).await.unwrap()
    }

    pub(crate) async fn record(
        &self,
        lease: &Lease,
        pass: &Pass,
        due: Vec<Due>,
        study: impl Fn(&Due) -> Outcome,
    ) -> changes::BatchOutcome {
        let cursor = due.last().expect("something is due").key;
        let studied: Vec<Studied> = due
            .into_iter()
            .map(|due| Studied {
                outcome: study(&due),
                due,
            })
            .collect();
        let fence = lease.fence();
        let mut client = self.fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        let recorded = changes::record_batch(&fenced, pass, &studied, cursor)
            .await
            .unwrap();
        fenced.commit().await.unwrap();
        recorded
    }

    pub(crate) async fn finish(&self, lease: &Lease, pass: &Pass) -> Option<FollowUp> {
        let fence = lease.fence();
        let mut client = self.fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        let follows = changes::finish_pass(&fenced, pass, Budget::default())
            .await
            .unwrap();
        fenced.commit().await.unwrap();
        follows
    }

    /// A whole pass; answers which changes it studied.
    pub(crate) async fn run(&self, mode: Mode, study: impl Fn(&Due) -> Outcome) -> Vec<i64> {
        let lease = self.backfill("me", mode).await;
        let mut pass = self.pass(&lease, mode).await;
        let mut studied = Vec::new();
        loop {
            let due = self.due(&pass).await;
            let Some(last) = due.last() else { break };
            pass.cursor = Some(last.key);
            studied.extend(due.iter().map(|due| due.key.number));
            self.record(&lease, &pass, due, &study).await;
        }
        let _follows = self.finish(&lease, &pass).await;
        self.fixture.settle(lease.complete(done())).await;
        studied
    }

    pub(crate) async fn counts(&self) -> Counts {
        let client = self.fixture.client().await;
        changes::counts(&client, self.repo).await.unwrap()
    }

    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let client: Client = self.fixture.client().await;
        let rows = client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The freshness of each change, in the order of their numbers.
    pub(crate) async fn freshness(&self) -> Vec<String> {
        self.texts(
            "select coalesce(freshness, 'missing') from leasectl.changes order by family, number",
        )
        .await
    }

    /// Which version of each row of what is known of changes is the one that holds.
    pub(crate) async fn versions(&self) -> Vec<String> {
        self.texts(
            "select 'c' || ctid || xmin from leasectl.change union all \
             select 'i' || ctid || xmin from leasectl.change_inventory union all \
             select 's' || ctid || xmin from leasectl.change_snapshot union all \
             select 'f' || ctid || xmin from leasectl.change_file union all \
             select 'm' || ctid || xmin from leasectl.change_commit order by 1",
        )
        .await
    }
}
