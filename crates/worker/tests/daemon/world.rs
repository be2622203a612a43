//! A database of its own for each test, repositories and jobs in it, and workers on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasectl_core::database::{Database, DatabaseUrl, PoolOptions};
use leasectl_core::ids::{JobId, Owner, RepoId};
use leasectl_core::job::{self, EnqueueRequest, JobView, PublicState};
use leasectl_core::kind::{KindSpec, Kinds, Lane};
use leasectl_core::lease::LeaseSettings;
use leasectl_core::repository::{self, NewRepository};
use leasectl_core::{migrations, status, wakeup};
use leasectl_embedded::scratch::{ScratchServer, ScratchSettings, shared};
use leasectl_remote::{Locality, RemoteUrl};
use leasectl_worker::daemon::{
    Concurrency, DaemonError, Handler, Handlers, Shutdown, WorkerSettings, run,
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::handlers::{OTHER, WORK};

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A migrated database.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) url: DatabaseUrl,
}

impl World {
    /// On the server that all tests share.
    pub(crate) async fn new() -> Self {
        let url = tokio::task::spawn_blocking(|| {
            let server = shared().expect("a scratch server");
            server.create_database().expect("a database")
        });
        Self::at(&url.await.expect("no panic")).await
    }

    /// On a server of its own, which the test may stop and start.
    pub(crate) async fn with_server() -> (Self, Arc<ScratchServer>) {
        let server = tokio::task::spawn_blocking(|| {
            ScratchServer::start(ScratchSettings::new()).expect("a scratch server")
        });
        let server = Arc::new(server.await.expect("no panic"));
        let url = server.url();
        (Self::at(&url).await, server)
    }

    /// On a server at that URL.
    pub(crate) async fn at(url: &str) -> Self {
        let url = DatabaseUrl::parse(url).expect("a URL");
        let options = PoolOptions {
            max_size: 8,
            application_name: "test".into(),
        };
        let database = Database::connect(&url, options).await.expect("a database");
        let kinds = Kinds::standard().with(WORK).with(OTHER);
        migrations::apply(&database, &kinds)
            .await
            .expect("migrated");
        Self { database, url }
    }

    /// A repository that nothing is fetched from.
    pub(crate) async fn repository(&self, number: usize) -> RepoId {
        let url = format!("https://git.example.com/tests/{number}");
        let new = NewRepository {
            git_url: RemoteUrl::parse(&url, Locality::PublicOnly).expect("a URL"),
            name: None,
            default_branch: None,
            fetch_every: None,
        };
        repository::register(&self.database, &new)
            .await
            .expect("registered")
            .repository
            .id
    }

    /// One job of kind `work` for each of that many repositories.
    pub(crate) async fn jobs(&self, repositories: usize) -> Vec<JobId> {
        let mut jobs = Vec::new();
        for number in 0..repositories {
            jobs.push(self.job(self.repository(number).await, &WORK, 0).await);
        }
        jobs
    }

    /// A single job of kind `work`.
    pub(crate) async fn one_job(&self) -> JobId {
        self.jobs(1).await[0]
    }

    /// A job; `number` tells it apart from equal ones.
    pub(crate) async fn job(&self, repo: RepoId, kind: &KindSpec, number: usize) -> JobId {
        let args = if kind.args.is_empty() {
            json!({})
        } else {
            json!({"n": number})
        };
        let kinds = Kinds::standard().with(*kind);
        let args = kinds.canonical_args(kind.name, &args).expect("arguments");
        let request = EnqueueRequest::new(repo, kind, args);
        let enqueued = job::enqueue(&self.database, &[request])
            .await
            .expect("enqueued");
        let client = self.database.client().await.expect("a connection");
        wakeup::announce(&client, &[kind.lane])
            .await
            .expect("announced");
        enqueued[0].job_id
    }

    /// The job as users see it.
    pub(crate) async fn view(&self, id: JobId) -> JobView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match job::find(&self.database, id).await {
                Ok(job) => return job.expect("the job is there"),
                // The test may have stopped the server.
                Err(error) => assert!(Instant::now() < deadline, "no answer: {error:?}"),
            }
            pause().await;
        }
    }

    /// The job once it is in that state.
    pub(crate) async fn until_state(&self, id: JobId, state: PublicState) -> JobView {
        self.until_job(id, state.as_str(), |job| job.state == state)
            .await
    }

    /// The job once it is as wanted.
    pub(crate) async fn until_job(
        &self,
        id: JobId,
        what: &str,
        wanted: impl Fn(&JobView) -> bool,
    ) -> JobView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let job = self.view(id).await;
            if wanted(&job) {
                return job;
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}: {job:?}"
            );
            pause().await;
        }
    }

    /// Waits until each job is in that state.
    pub(crate) async fn until_all(&self, jobs: &[JobId], state: PublicState) {
        for id in jobs {
            self.until_state(*id, state).await;
        }
    }

    /// Changes rows behind everybody's back; answers how many.
    pub(crate) async fn sql(&self, statement: &str) -> u64 {
        let client = self.database.client().await.expect("a connection");
        client.execute(statement, &[]).await.expect("executed")
    }

    /// Waits until a statement waits for a lock.
    pub(crate) async fn until_somebody_waits(&self) {
        // Of this database: the tests share a server.
        let waiting = "select count(*) from pg_stat_activity \
                        where datname = current_database() and wait_event in ('advisory', 'transactionid', 'tuple')";
        self.until_count(waiting, 1, "nobody waits").await;
    }

    /// Waits until so many workers would hear a wakeup.
    pub(crate) async fn until_listening(&self, workers: i64) {
        let listening = "select count(*) from pg_stat_activity \
                          where datname = current_database() and query ilike 'listen %' and state = 'idle'";
        self.until_count(listening, workers, "too few listen").await;
    }

    /// Waits until there are so many.
    async fn until_count(&self, count: &str, wanted: i64, otherwise: &str) {
        let client = self.database.client().await.expect("a connection");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let row = client.query_one(count, &[]).await.expect("an answer");
            if row.get::<_, i64>(0) >= wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{otherwise}");
            pause().await;
        }
    }

    /// Waits until a sequence has gone beyond that number.
    pub(crate) async fn until_counted(&self, sequence: &str, number: i64) {
        let sql = format!("select is_called and last_value > {number} from {sequence}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let client = self.database.client().await.expect("a connection");
            let row = client.query_one(&sql, &[]).await.expect("an answer");
            if row.get::<_, bool>(0) {
                return;
            }
            assert!(Instant::now() < deadline, "{sequence} stands still");
            pause().await;
        }
    }

    /// Makes every running lease look as if its owner had been silent for an hour, and expired: a
    /// server that started a moment ago excuses silence.
    pub(crate) async fn age_leases(&self) -> u64 {
        self.sql(
            "update leasectl.job set lease_heartbeat_at = now() - interval '1 hour', \
             lease_expires_at = now() - interval '1 minute' where state = 'running'",
        )
        .await
    }

    /// How many workers the database knows.
    pub(crate) async fn workers(&self) -> usize {
        let client = self.database.client().await.expect("a connection");
        status::workers(&client).await.expect("an answer").len()
    }

    /// A worker with quick timing, not started yet.
    pub(crate) fn worker(&self, handlers: impl IntoIterator<Item = Arc<dyn Handler>>) -> NewWorker {
        let second = Duration::from_secs(1);
        let lease = LeaseSettings::new(second / 10, second, 60 * second).expect("lease settings");
        let concurrency = Concurrency::none()
            .with(Lane::Fetch, 50)
            .with(Lane::Index, 2);
        let mut settings = WorkerSettings::new(Owner::of_this_process(), lease, concurrency);
        settings.poll_interval = Duration::from_millis(100);
        settings.drain_timeout = Duration::from_secs(10);
        settings.stop_grace = Duration::from_millis(200);
        let mut all = Handlers::new();
        for handler in handlers {
            all = all.with(handler);
        }
        NewWorker {
            settings,
            url: self.url.clone(),
            listen: self.url.clone(),
            handlers: all,
        }
    }
}

/// A worker that is about to start.
pub(crate) struct NewWorker {
    pub(crate) settings: WorkerSettings,
    url: DatabaseUrl,
    listen: DatabaseUrl,
    handlers: Handlers,
}

impl NewWorker {
    /// With settings changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut WorkerSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// With other lease times.
    pub(crate) fn lease_ms(self, heartbeat: u64, stale_after: u64, ttl: u64) -> Self {
        let ms = Duration::from_millis;
        let lease = LeaseSettings::new(ms(heartbeat), ms(stale_after), ms(ttl));
        self.with(|settings| settings.lease = lease.expect("lease settings"))
    }

    /// Without wakeups: nobody listens where it connects to.
    pub(crate) fn deaf(mut self) -> Self {
        self.listen = DatabaseUrl::parse("postgres://nobody@127.0.0.1:1/none").expect("a URL");
        self
    }

    /// Starts it.
    pub(crate) fn start(self) -> Worker {
        let options = PoolOptions {
            max_size: 16,
            application_name: "worker".into(),
        };
        let database = Database::open(&self.url, options).expect("a pool");
        let shutdown = Shutdown::new();
        let owner = self.settings.owner.clone();
        let body = run(
            self.settings,
            database,
            self.listen,
            self.handlers,
            shutdown.clone(),
        );
        Worker {
            owner,
            shutdown,
            task: tokio::spawn(body),
        }
    }
}

/// A worker that runs in this process.
pub(crate) struct Worker {
    pub(crate) owner: Owner,
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<Result<(), DaemonError>>,
}

impl Worker {
    /// Asks once for a shutdown and waits until the worker has ended.
    pub(crate) async fn drain(self) {
        self.shutdown.request();
        self.ended().await;
    }

    /// Waits until the worker has ended.
    pub(crate) async fn ended(self) {
        let ended = tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it ends");
        ended.expect("no panic").expect("no error");
    }

    /// Waits until the worker has ended because a part of it broke; answers how it says so.
    pub(crate) async fn broken(self) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it ends");
        ended.expect("no panic").expect_err("it broke").to_string()
    }

    /// Whether the worker has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        pause().await;
    }
}

/// Between two looks at a condition.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}
