//! Who wrote what: the database itself notes it.

use std::time::Duration;

use leasectl_core::database::Database;
use leasectl_core::ids::RepoId;
use tokio::time::{Instant, sleep};

use super::world::before;
use crate::error::BenchError;

const SCHEMA: &str = include_str!("audit.sql");
/// How long a worker that can reach the database again may take to beat: more than two intervals.
const LIMIT: Duration = Duration::from_secs(30);

/// Triggers on the tables of jobs and repositories of one database.
#[derive(Debug)]
pub(super) struct Audit(());

/// A moment of the database's clock.
#[derive(Debug)]
pub(super) struct Moment(String);

impl Audit {
    /// Notes every change from now on.
    pub(super) async fn begin(database: &Database) -> Result<Self, BenchError> {
        database.client().await?.batch_execute(SCHEMA).await?;
        Ok(Self(()))
    }

    /// Now.
    pub(super) async fn now(&self, database: &Database) -> Result<Moment, BenchError> {
        let client = database.client().await?;
        let row = client
            .query_one("select clock_timestamp()::text", &[])
            .await?;
        Ok(Moment(row.get(0)))
    }

    /// Waits until that process has beaten after that moment, and so has had its chance to write.
    pub(super) async fn beat_of(
        &self,
        database: &Database,
        pid: u32,
        since: &Moment,
    ) -> Result<(), BenchError> {
        let pid = i32::try_from(pid).unwrap_or(0);
        let deadline = Instant::now() + LIMIT;
        loop {
            let client = database.client().await?;
            let beaten = client
                .query_opt(
                    "select from leasectl.worker w \
                      where w.pid = $1 and w.heartbeat_at > $2::text::timestamptz",
                    &[&pid, &since.0],
                )
                .await?;
            if beaten.is_some() {
                return Ok(());
            }
            before(deadline, "the next heartbeat of a worker")?;
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many changes of that repository and its jobs the connections of that name made since.
    pub(super) async fn writes(
        &self,
        database: &Database,
        name: &str,
        repo: RepoId,
        since: &Moment,
    ) -> Result<usize, BenchError> {
        let client = database.client().await?;
        let row = client
            .query_one(
                "select count(*) from public.audit a \
                  where (a.who = $1 or a.who like $1 || ' %') and a.repo = $2 \
                    and a.at >= $3::text::timestamptz",
                &[&name, &repo.as_uuid(), &since.0],
            )
            .await?;
        Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX))
    }
}
