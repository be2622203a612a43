//! Scheduled interleavings: one session for each actor, steps in a fixed order.
//!
//! A step that must wait is seen waiting through `pg_blocking_pids`, so no schedule depends on time.
//! Each unsafe form is shown to do its harm: a schedule that could not fail would prove nothing.

mod enders;
mod queue;
mod share_lock;
mod takeover;
mod unsafe_forms;

use std::time::{Duration, Instant};

use leasectl_core::database::Client;
use leasectl_core::ids::{JobId, RepoId};
use leasectl_core::kind::Lane;
use leasectl_core::lease::Lease;
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::fixture::{FETCH, Fixture, owner};

const SILENCE: Duration = Duration::from_secs(31);
const DEADLINE: Duration = Duration::from_secs(60);

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One actor's connection, with the settings of a work session.
struct Session {
    client: Client,
    pid: i32,
}

impl Session {
    async fn open(fixture: &Fixture) -> Self {
        let database = fixture.database.dedicated("actor").unwrap();
        let client = database.client().await.unwrap();
        let pid = backend(&client).await;
        Self { client, pid }
    }

    /// Runs statements without parameters, such as `begin`.
    async fn says(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    async fn rows(&self, sql: &str, parameters: Parameters<'_>) -> Vec<Row> {
        self.client.query(sql, parameters).await.unwrap()
    }

    /// Begins a step that may have to wait. The session comes back with its result.
    fn starts<T, F>(self, step: impl FnOnce(Client) -> F) -> Step<T>
    where
        F: Future<Output = (Client, T)> + Send + 'static,
        T: Send + 'static,
    {
        Step {
            pid: self.pid,
            task: tokio::spawn(step(self.client)),
        }
    }
}

/// A step in flight.
struct Step<T> {
    pid: i32,
    task: JoinHandle<(Client, T)>,
}

impl<T> Step<T> {
    /// Waits until the step waits for that session.
    async fn waits_for(&self, fixture: &Fixture, pid: i32) {
        let observer = fixture.client().await;
        let deadline = Instant::now() + DEADLINE;
        while !self.is_blocked(&observer, pid).await {
            assert!(!self.task.is_finished(), "the step did not wait");
            assert!(Instant::now() < deadline, "the step waits for nobody");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the step waits for that session or has come to its end.
    async fn waits_or_ends(&self, fixture: &Fixture, pid: i32) {
        let observer = fixture.client().await;
        let deadline = Instant::now() + DEADLINE;
        while !self.task.is_finished() && !self.is_blocked(&observer, pid).await {
            assert!(Instant::now() < deadline, "the step neither waits nor ends");
            tokio::task::yield_now().await;
        }
    }

    async fn is_blocked(&self, observer: &Client, by: i32) -> bool {
        let blocked = "select $1 = any (pg_blocking_pids($2))";
        let row = observer.query_one(blocked, &[&by, &self.pid]).await;
        row.unwrap().get(0)
    }

    async fn ends(self) -> (Session, T) {
        let ended = tokio::time::timeout(DEADLINE, self.task).await;
        let (client, result) = ended.expect("the step ends").unwrap();
        let session = Session {
            client,
            pid: self.pid,
        };
        (session, result)
    }
}

async fn backend(client: &Client) -> i32 {
    let row = client.query_one("select pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

fn code(error: &tokio_postgres::Error) -> SqlState {
    error.code().expect("the server refused").clone()
}

/// A database with one running job, and a table for what handlers write.
struct Stage {
    fixture: Fixture,
    repo: RepoId,
    id: JobId,
}

impl Stage {
    async fn with_a_lease() -> (Self, Lease) {
        let fixture = Fixture::new().await;
        fixture.forget_server_start().await;
        let repo = fixture.repository("a").await;
        let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
        let effects = "create table effect (repo_id uuid primary key, token bigint not null)";
        fixture.execute(effects, &[]).await;
        let lease = fixture.claim_one(&owner("one"), Lane::Fetch).await;
        (Self { fixture, repo, id }, lease)
    }

    async fn with_a_stale_lease() -> (Self, Lease) {
        let (stage, lease) = Self::with_a_lease().await;
        stage.fixture.age(stage.id, SILENCE).await;
        (stage, lease)
    }

    /// What a handler does with its lease: it writes.
    async fn write(&self, session: &Session, token: i64) {
        let write = "insert into effect values ($1, $2)";
        session.rows(write, &[&self.repo.as_uuid(), &token]).await;
    }

    /// The token of the lease that holds the job now.
    async fn token(&self) -> i64 {
        self.fixture
            .count("select lease_token from leasectl.job")
            .await
    }

    /// The token whose effect is committed.
    async fn effect(&self) -> Option<i64> {
        let client = self.fixture.client().await;
        let row = client.query_opt("select token from effect", &[]).await;
        row.unwrap().map(|row| row.get(0))
    }
}
