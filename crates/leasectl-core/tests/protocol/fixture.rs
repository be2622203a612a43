//! A database of its own for each test, and short names for what tests do with it.

use std::time::{Duration, Instant};

use leasectl_core::database::{Client, Database, DatabaseUrl, PoolOptions};
use leasectl_core::ids::{JobId, Owner, RepoId};
use leasectl_core::job::{self, EnqueueRequest, Enqueued, JobView};
use leasectl_core::kind::{ArgSpec, ArgType, KindSpec, Kinds, Lane, Priority};
use leasectl_core::lease::{
    self, ClaimRequest, Lease, LeaseSettings, Reclaimed, Settled, Settlement,
};
use leasectl_core::migrations;
use leasectl_core::repository::{self, NewRepository};
use leasectl_embedded::scratch;
use leasectl_remote::{Locality, RemoteUrl};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// A kind for each lane, so that lanes can be tested before their handlers exist.
const NOTE: ArgSpec = ArgSpec {
    name: "note",
    takes: ArgType::Text,
    required: false,
};
pub(crate) const FETCH: KindSpec = KindSpec {
    name: "t_fetch",
    lane: Lane::Fetch,
    args: &[NOTE],
};
pub(crate) const INDEX: KindSpec = KindSpec {
    name: "t_index",
    lane: Lane::Index,
    args: &[NOTE],
};
pub(crate) const STACK: KindSpec = KindSpec {
    name: "t_stack",
    lane: Lane::Stack,
    args: &[NOTE],
};
pub(crate) const KINDS: [&str; 3] = ["t_fetch", "t_index", "t_stack"];

pub(crate) struct Fixture {
    pub(crate) database: Database,
    pub(crate) url: DatabaseUrl,
    pub(crate) settings: LeaseSettings,
    pub(crate) kinds: Kinds,
}

static TEMPLATE: OnceCell<String> = OnceCell::const_new();

pub(crate) fn kinds() -> Kinds {
    Kinds::standard().with(FETCH).with(INDEX).with(STACK)
}

fn open(url: &str) -> (DatabaseUrl, Database) {
    let url = DatabaseUrl::parse(url).unwrap();
    let options = PoolOptions {
        max_size: 8,
        application_name: "protocol tests".to_owned(),
    };
    let database = Database::open(&url, options).unwrap();
    (url, database)
}

async fn template() -> String {
    let server = scratch::shared().unwrap();
    let url = server.create_database().unwrap();
    let (_, database) = open(&url);
    migrations::apply(&database, &kinds()).await.unwrap();
    drop(database);
    // A template can be copied only while nobody is connected to it.
    let (_, other) = open(&server.create_database().unwrap());
    let name = url
        .rsplit('/')
        .next()
        .unwrap()
        .split('?')
        .next()
        .unwrap()
        .to_owned();
    let deadline = Instant::now() + Duration::from_secs(60);
    let sessions = "select count(*) from pg_stat_activity where datname = $1";
    while other
        .client()
        .await
        .unwrap()
        .query_one(sessions, &[&name])
        .await
        .unwrap()
        .get::<_, i64>(0)
        > 0
    {
        assert!(
            Instant::now() < deadline,
            "somebody stays connected to the template"
        );
        tokio::task::yield_now().await;
    }
    url
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let template = TEMPLATE.get_or_init(template).await;
        let url = scratch::shared()
            .unwrap()
            .create_database_from(template)
            .unwrap();
        let (url, database) = open(&url);
        Self {
            database,
            url,
            settings: LeaseSettings::default(),
            kinds: kinds(),
        }
    }

    /// A database on a server that no other test uses.
    pub(crate) async fn alone_on(server: &scratch::ScratchServer) -> Self {
        let (url, database) = open(&server.create_database().unwrap());
        migrations::apply(&database, &kinds()).await.unwrap();
        Self {
            database,
            url,
            settings: LeaseSettings::default(),
            kinds: kinds(),
        }
    }

    pub(crate) async fn client(&self) -> Client {
        self.database.client().await.unwrap()
    }

    pub(crate) async fn repository(&self, name: &str) -> RepoId {
        let git_url = format!("https://git.example.com/team/{name}");
        let new = NewRepository {
            git_url: RemoteUrl::parse(&git_url, Locality::PublicOnly).unwrap(),
            name: None,
            default_branch: None,
            fetch_every: None,
        };
        repository::register(&self.database, &new)
            .await
            .unwrap()
            .repository
            .id
    }

    pub(crate) fn request(&self, repo: RepoId, kind: &KindSpec, note: &str) -> EnqueueRequest {
        let args = if note.is_empty() {
            json!({})
        } else {
            json!({ "note": note })
        };
        let args = self.kinds.canonical_args(kind.name, &args).unwrap();
        EnqueueRequest::new(repo, self.kinds.get(kind.name).unwrap(), args)
    }

    pub(crate) async fn enqueue(&self, repo: RepoId, kind: &KindSpec, note: &str) -> Enqueued {
        self.enqueue_as(self.request(repo, kind, note)).await
    }

    pub(crate) async fn enqueue_as(&self, request: EnqueueRequest) -> Enqueued {
        job::enqueue(&self.database, &[request]).await.unwrap()[0]
    }

    pub(crate) async fn claim(&self, owner: &Owner, lane: Lane, free: usize) -> Vec<Lease> {
        let request = ClaimRequest {
            slots: &[(lane, free)],
            kinds: &KINDS,
        };
        lease::claim(&self.client().await, owner, &self.settings, &request)
            .await
            .unwrap()
    }

    pub(crate) async fn claim_one(&self, owner: &Owner, lane: Lane) -> Lease {
        self.claim(owner, lane, 1)
            .await
            .pop()
            .expect("a job is ready")
    }

    pub(crate) async fn reclaim(&self, owner: &Owner, lane: Lane, free: usize) -> Vec<Reclaimed> {
        let request = ClaimRequest {
            slots: &[(lane, free)],
            kinds: &KINDS,
        };
        lease::reclaim(&self.client().await, owner, &self.settings, &request)
            .await
            .unwrap()
    }

    pub(crate) async fn settle(&self, settlement: Settlement) -> Settled {
        lease::settle(&self.client().await, &[settlement])
            .await
            .unwrap()[0]
    }

    pub(crate) async fn job(&self, id: JobId) -> JobView {
        job::find(&self.database, id)
            .await
            .unwrap()
            .expect("the job is known")
    }

    /// The stored state, which users see as something broader.
    pub(crate) async fn stored_state(&self, id: JobId) -> String {
        let row = self
            .client()
            .await
            .query_one(
                "select state from leasectl.job where id = $1",
                &[&id.as_uuid()],
            )
            .await
            .unwrap();
        row.get(0)
    }

    /// Makes a job's lease look as if its owner had been silent for so long.
    pub(crate) async fn age(&self, id: JobId, silence: Duration) {
        self.execute(
            "update leasectl.job set lease_heartbeat_at = lease_heartbeat_at - $2 * interval '1 second' where id = $1",
            &[&id.as_uuid(), &silence.as_secs_f64()],
        )
        .await;
    }

    pub(crate) async fn execute(
        &self,
        sql: &str,
        parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> u64 {
        self.client().await.execute(sql, parameters).await.unwrap()
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.client()
            .await
            .query_one(sql, &[])
            .await
            .unwrap()
            .get(0)
    }

    /// Waits until somebody waits for a lock in this database.
    pub(crate) async fn until_somebody_waits(&self) {
        let waiting = "select count(*) from pg_stat_activity \
                        where wait_event_type = 'Lock' and datname = current_database()";
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.count(waiting).await == 0 {
            assert!(Instant::now() < deadline, "nobody waited");
            tokio::task::yield_now().await;
        }
    }

    /// Makes the server's start look long ago for staleness: the tests' server just started.
    pub(crate) async fn forget_server_start(&self) {
        self.client()
            .await
            .batch_execute(
                "create or replace function leasectl.stale_at(heartbeat_at timestamptz, \
                 heartbeat_interval interval, stale_after interval) \
                 returns timestamptz language sql stable parallel safe as \
                 $$ select heartbeat_at + stale_after $$",
            )
            .await
            .unwrap();
    }
}

pub(crate) fn owner(name: &str) -> Owner {
    Owner::from(format!("{name}:1:1"))
}

pub(crate) fn urgent(value: i64) -> Priority {
    Priority::try_from(value).unwrap()
}

pub(crate) fn done() -> Value {
    json!({ "done": true })
}
