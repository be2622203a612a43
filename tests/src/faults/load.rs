//! Work that never stops coming: accepted, delayed, merged, cancelled and retried jobs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasectl_core::changes::{Budget, Mode, set_mode};
use leasectl_core::database::{Database, DatabaseUrl, PoolOptions};
use leasectl_core::ids::{JobId, RepoId};
use leasectl_core::job::{EnqueueRequest, NotBefore, cancel, enqueue, retry};
use leasectl_core::kind::{BACKFILL, FETCH, Kinds, Priority};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::runtime::{block_on, runtime};

/// Between two pieces of work.
const PAUSE: Duration = Duration::from_millis(120);
/// Jobs of a burst.
pub(super) const BURST: i32 = 300;
/// How long a burst waits before it is cancelled.
const BURST_WAITS: Duration = Duration::from_millis(1_500);
/// Ids that are remembered for cancelling and retrying.
const REMEMBERED: usize = 64;

/// Enqueues until it is stopped.
#[derive(Debug)]
pub(super) struct Load {
    task: JoinHandle<()>,
    bursts: Vec<JoinHandle<()>>,
    database: Database,
    end: CancellationToken,
    accepted: Arc<Mutex<Vec<JobId>>>,
}

impl Load {
    /// Enqueues fetches of these repositories, over connections of its own.
    pub(super) fn start(url: &str, repos: &[RepoId], seed: u64) -> Self {
        let url = DatabaseUrl::parse(url).expect("a URL");
        let options = PoolOptions {
            max_size: 8,
            application_name: "load".to_owned(),
        };
        let database = Database::open(&url, options).expect("a pool");
        let end = CancellationToken::new();
        let accepted = Arc::default();
        let source = Source {
            database: database.clone(),
            repos: repos.to_vec(),
            dice: Dice::with_seed(seed),
            accepted: Arc::clone(&accepted),
        };
        let task = runtime().spawn(source.run(end.clone()));
        Self {
            task,
            bursts: Vec::new(),
            database,
            end,
            accepted,
        }
    }

    /// Has many different jobs accepted at once for one lane, and cancelled a little later.
    pub(super) fn burst(&mut self, repo: &str) {
        let burst = burst(
            self.database.clone(),
            repo.to_owned(),
            Arc::clone(&self.accepted),
        );
        self.bursts.push(runtime().spawn(burst));
    }

    /// Ends it, open transactions included; every job whose acceptance was acknowledged.
    pub(super) fn stop(self) -> Vec<String> {
        self.end.cancel();
        block_on(self.task).expect("no panic");
        for burst in self.bursts {
            block_on(burst).expect("no panic");
        }
        let accepted = self.accepted.lock();
        let accepted = accepted.unwrap_or_else(PoisonError::into_inner);
        accepted.iter().map(ToString::to_string).collect()
    }
}

struct Source {
    database: Database,
    repos: Vec<RepoId>,
    dice: Dice,
    accepted: Arc<Mutex<Vec<JobId>>>,
}

impl Source {
    /// The database is away now and then: what fails was not accepted, and is nobody's concern.
    async fn run(mut self, end: CancellationToken) {
        let mut open = JoinSet::new();
        while end
            .run_until_cancelled(tokio::time::sleep(PAUSE))
            .await
            .is_some()
        {
            match self.dice.roll(16) {
                0 => drop(self.cancel().await),
                1 => drop(self.retry().await),
                2 | 3 if open.len() < 4 => {
                    open.spawn(self.inside_a_transaction());
                }
                4 => self.enqueue(6).await,
                5 => self.backfill().await,
                _ => self.enqueue(1).await,
            }
            while open.try_join_next().is_some() {}
        }
        open.join_all().await;
    }

    async fn enqueue(&mut self, jobs: usize) {
        let requests: Vec<_> = (0..jobs).map(|_| self.request()).collect();
        if let Ok(accepted) = enqueue(&self.database, &requests).await {
            let ids = accepted.iter().map(|enqueued| enqueued.job_id);
            remember(&self.accepted, ids);
        }
    }

    /// Says which changes are kept current: none at times, else by a pass that is often too small for all of them.
    async fn backfill(&mut self) {
        let repo = self.repo();
        let word = Mode::WORDS[self.dice.roll(Mode::WORDS.len())];
        let mode: Mode = word.parse().expect("one of its words");
        let changes = u32::try_from(self.dice.number(1, 12)).unwrap_or(1);
        if mode == Mode::Off {
            drop(set_mode(&self.database, repo, mode, Priority::default()).await);
            return;
        }
        let budget = Budget {
            max_changes: Some(changes),
            max_runtime_s: None,
        };
        let request = EnqueueRequest::new(repo, &BACKFILL, mode.args(budget));
        if let Ok(accepted) = enqueue(&self.database, &[request]).await {
            remember(&self.accepted, accepted.iter().map(|job| job.job_id));
        }
    }

    fn request(&mut self) -> EnqueueRequest {
        let repo = self.repo();
        let args = self.args();
        let args = Kinds::standard().canonical_args(FETCH.name, &args);
        let request = EnqueueRequest::new(repo, &FETCH, args.expect("good arguments"));
        let priority = Priority::try_from(i64::try_from(self.dice.roll(5)).unwrap_or(0) - 2);
        let not_before = match self.dice.roll(6) {
            0 => NotBefore::In(Duration::from_millis(200 * self.dice.number(1, 6))),
            _ => NotBefore::Now,
        };
        request
            .priority(priority.unwrap_or_default())
            .not_before(not_before)
    }

    fn repo(&mut self) -> RepoId {
        self.repos[self.dice.roll(self.repos.len())]
    }

    fn args(&mut self) -> Value {
        match self.dice.roll(3) {
            0 => json!({"refspecs": ["+refs/heads/*:refs/heads/*"]}),
            _ => json!({}),
        }
    }

    /// A caller's own transaction, open for a while, that commits or does not.
    fn inside_a_transaction(&mut self) -> impl Future<Output = ()> + use<> {
        let (database, accepted) = (self.database.clone(), Arc::clone(&self.accepted));
        let (repo, args) = (self.repo().to_string(), self.args());
        let open_for = Duration::from_millis(100 * self.dice.number(0, 15));
        let commits = self.dice.roll(4) > 0;
        async move {
            let Ok(mut client) = database.client().await else {
                return;
            };
            let Ok(transaction) = client.transaction().await else {
                return;
            };
            let call = "select leasectl.enqueue(repo => $1, kind => 'fetch', args => $2)";
            let Ok(row) = transaction.query_one(call, &[&repo, &args]).await else {
                return;
            };
            let id: uuid::Uuid = row.get(0);
            tokio::time::sleep(open_for).await;
            if commits && transaction.commit().await.is_ok() {
                remember(&accepted, [JobId::from(id)]);
            }
        }
    }

    async fn cancel(&mut self) -> Option<()> {
        let job = self.remembered()?;
        cancel(&self.database, job).await.ok().map(drop)
    }

    async fn retry(&mut self) -> Option<()> {
        let job = self.remembered()?;
        retry(&self.database, job).await.ok().map(drop)
    }

    /// One of the jobs that were accepted last.
    fn remembered(&mut self) -> Option<JobId> {
        let accepted = self.accepted.lock();
        let accepted = accepted.unwrap_or_else(PoisonError::into_inner);
        let last = &accepted[accepted.len().saturating_sub(REMEMBERED)..];
        if last.is_empty() {
            return None;
        }
        Some(last[self.dice.roll(last.len())])
    }
}

async fn burst(database: Database, repo: String, accepted: Arc<Mutex<Vec<JobId>>>) {
    let Ok(client) = database.client().await else {
        return;
    };
    // Globs that nothing fits: each job is another, and all of them succeed.
    let call = "select leasectl.enqueue(repo => $1, kind => 'fetch', args => jsonb_build_object( \
                  'refspecs', jsonb_build_array('+refs/heads/*:refs/heads/*', \
                     format('+refs/tags/b%s/*:refs/tags/b%s/*', n, n)))) \
                  from generate_series(1, $2::integer) n";
    let Ok(rows) = client.query(call, &[&repo, &BURST]).await else {
        return;
    };
    drop(client);
    let jobs: Vec<JobId> = rows
        .iter()
        .map(|row| JobId::from(row.get::<_, uuid::Uuid>(0)))
        .collect();
    remember(&accepted, jobs.iter().copied());
    tokio::time::sleep(BURST_WAITS).await;
    for job in jobs {
        // A job that could not be cancelled is run.
        drop(cancel(&database, job).await);
    }
}

fn remember(accepted: &Mutex<Vec<JobId>>, jobs: impl IntoIterator<Item = JobId>) {
    let mut accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
    accepted.extend(jobs);
}
