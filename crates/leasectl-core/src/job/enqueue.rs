//! Enqueueing: accepting jobs in one short transaction of our own.

use std::collections::BTreeSet;
use std::time::Duration;

use deadpool_postgres::Transaction;
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::{PublicState, state_of};
use crate::database::{Client, Database, DatabaseError, limited};
use crate::ids::{JobId, RepoId};
use crate::kind::{CanonicalArgs, KindSpec, Lane, Priority};
use crate::time::Timestamp;

/// Rows of one insert; more only makes each statement's memory larger.
const CHUNK: usize = 5_000;

/// Lanes that one statement promotes: it holds up other callers of those lanes while it runs.
const PROMOTED: usize = 1_000;

/// How often a transaction is run again that lost a deadlock.
const DEADLOCK_TRIES: u32 = 5;

/// When a job may start.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum NotBefore {
    /// At once.
    #[default]
    Now,
    /// Not before a moment of the database's clock.
    At(Timestamp),
    /// Not before this long after the database accepted it.
    In(Duration),
}

/// A job to accept.
#[derive(Clone, Debug)]
pub struct EnqueueRequest {
    repo_id: RepoId,
    kind: &'static str,
    lane: Lane,
    args: CanonicalArgs,
    priority: Priority,
    not_before: NotBefore,
}

impl EnqueueRequest {
    /// A job of a kind for a repository; arguments come from [`crate::kind::Kinds::canonical_args`]
    /// of the same kind.
    #[must_use]
    pub fn new(repo_id: RepoId, kind: &KindSpec, args: CanonicalArgs) -> Self {
        Self {
            repo_id,
            kind: kind.name,
            lane: kind.lane,
            args,
            priority: Priority::default(),
            not_before: NotBefore::Now,
        }
    }

    /// With another priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    pub(super) fn repo_id(&self) -> RepoId {
        self.repo_id
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    /// Not before a time.
    #[must_use]
    pub fn not_before(mut self, not_before: NotBefore) -> Self {
        self.not_before = not_before;
        self
    }
}

/// A job that is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enqueued {
    /// The job.
    pub job_id: JobId,
    /// Where it stands.
    pub state: PublicState,
    /// Whether it is an equal job that was queued already.
    pub deduplicated: bool,
}

/// Why nothing was accepted.
#[derive(Debug, Error)]
pub enum EnqueueError {
    /// A repository is not registered.
    #[error("there is no repository {repo_id}")]
    UnknownRepository {
        /// The id asked for.
        repo_id: RepoId,
        /// The place of the request in the batch, from 0.
        index: usize,
    },
    /// A time that PostgreSQL cannot hold.
    #[error("the time to start is too far away; it lies within 10 years")]
    TooFarAway,
    /// The database is away. If the connection broke during the commit, the jobs may be accepted
    /// all the same; enqueueing again is safe, since equal jobs are merged.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<tokio_postgres::Error> for EnqueueError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Accepts jobs: all of them, committed, or none. Answers in the order of the requests.
///
/// # Errors
/// When a repository is unknown or the database away; nothing was accepted then, unless the
/// connection broke during the commit.
pub async fn enqueue(
    database: &Database,
    requests: &[EnqueueRequest],
) -> Result<Vec<Enqueued>, EnqueueError> {
    check_times(requests)?;
    let mut client = database.client().await?;
    for _ in 1..DEADLOCK_TRIES {
        match try_enqueue(&mut client, requests).await {
            Err(EnqueueError::Database(error)) if error.is_deadlock() => {}
            answer => return answer,
        }
    }
    try_enqueue(&mut client, requests).await
}

/// Opens that many connections and makes each ready to accept jobs: statements prepared, and run once on
/// no rows, after which the server keeps their plans.
///
/// A connection's first statements cost tens of milliseconds. Without this, the first short stall
/// under load opens one connection after another, each of which makes the stall longer.
///
/// # Errors
/// When the database is away.
pub async fn warm_up(database: &Database, connections: usize) -> Result<(), DatabaseError> {
    // All at once, or the pool would hand out the same one again and again.
    let clients = try_join_all((0..connections).map(|_| database.client())).await?;
    for client in clients {
        let insert = client.prepare_cached(include_str!("enqueue.sql")).await?;
        Columns::of(&[]).send(&client, &insert).await?;
    }
    Ok(())
}

async fn try_enqueue(
    client: &mut Client,
    requests: &[EnqueueRequest],
) -> Result<Vec<Enqueued>, EnqueueError> {
    if let Some(accepted) = insert_all(client, requests).await? {
        return Ok(accepted);
    }
    let mut accepted = merge_all(client, requests).await?;
    if let Err(error) = promote(client, requests, &mut accepted).await {
        // The jobs are committed; the sweep promotes them.
        tracing::debug!(%error, "promotion after enqueueing failed; the sweep will promote");
    }
    Ok(accepted)
}

/// Inserts jobs straight into their lanes, or finds equal ones; nothing is accepted, nor changed, when
/// one collides.
async fn insert_all(
    client: &mut Client,
    requests: &[EnqueueRequest],
) -> Result<Option<Vec<Enqueued>>, EnqueueError> {
    let insert = client.prepare_cached(include_str!("enqueue.sql")).await?;
    // A single job needs one round trip and no transaction.
    if requests.len() == 1 {
        let rows = Columns::of(requests).send(client, &insert).await?;
        return inserted(&rows, requests, 0);
    }
    let transaction = client.transaction().await?;
    let mut accepted = Vec::with_capacity(requests.len());
    for (chunk_number, chunk) in requests.chunks(CHUNK).enumerate() {
        let columns = Columns::of(chunk);
        let rows = limited(&transaction, columns.send(&transaction, &insert)).await?;
        match inserted(&rows, chunk, chunk_number * CHUNK)? {
            Some(answers) => accepted.extend(answers),
            None => {
                transaction.rollback().await?;
                return Ok(None);
            }
        }
    }
    transaction.commit().await?;
    Ok(Some(accepted))
}

/// Accepts jobs as waiting, merged with equal ones that were never claimed.
async fn merge_all(
    client: &mut Client,
    requests: &[EnqueueRequest],
) -> Result<Vec<Enqueued>, EnqueueError> {
    let merge = client
        .prepare_cached(include_str!("enqueue_merge.sql"))
        .await?;
    let transaction = client.transaction().await?;
    let mut accepted = Vec::with_capacity(requests.len());
    for (chunk_number, chunk) in requests.chunks(CHUNK).enumerate() {
        let columns = Columns::of(chunk);
        let rows = limited(&transaction, columns.send(&transaction, &merge)).await?;
        check_known(&rows, chunk, chunk_number * CHUNK)?;
        accepted.extend(rows.iter().map(|row| Enqueued {
            job_id: row.get::<_, Uuid>("id").into(),
            state: PublicState::Waiting,
            deduplicated: row.get("deduplicated"),
        }));
    }
    transaction.commit().await?;
    Ok(accepted)
}

/// Accepts jobs as waiting in a caller's transaction, merged with equal ones that were never claimed; answers
/// each job, and whether it was queued already. Nothing for a job whose repository is not registered, and then
/// nothing was accepted. Keep the transaction short: equal jobs are locked until it ends.
pub(crate) async fn merge_in(
    transaction: &Transaction<'_>,
    requests: &[EnqueueRequest],
) -> Result<Vec<Option<(JobId, bool)>>, DatabaseError> {
    let merge = transaction
        .prepare_cached(include_str!("enqueue_merge.sql"))
        .await?;
    let rows = Columns::of(requests).send(transaction, &merge).await?;
    let accepted = rows.iter().map(|row| {
        let job: Option<Uuid> = row.get("id");
        job.map(|job| (job.into(), row.get("deduplicated")))
    });
    Ok(accepted.collect())
}

/// Brings the lanes of merged jobs into order, and says where the jobs stand.
async fn promote(
    client: &Client,
    requests: &[EnqueueRequest],
    accepted: &mut [Enqueued],
) -> Result<(), DatabaseError> {
    let lanes: BTreeSet<_> = requests.iter().map(|r| (r.repo_id, r.lane)).collect();
    let lanes: Vec<_> = lanes.into_iter().collect();
    let promote = client
        .prepare_cached(include_str!("../lease/promote.sql"))
        .await?;
    for some in lanes.chunks(PROMOTED) {
        let (repos, names): (Vec<Uuid>, Vec<&str>) = some
            .iter()
            .map(|(repo, lane)| (repo.as_uuid(), lane.as_str()))
            .unzip();
        client.query(&promote, &[&repos, &names]).await?;
    }
    let ids: Vec<Uuid> = accepted.iter().map(|job| job.job_id.as_uuid()).collect();
    let states = client.prepare_cached(include_str!("states.sql")).await?;
    let rows = client.query(&states, &[&ids]).await?;
    for (enqueued, row) in accepted.iter_mut().zip(rows) {
        enqueued.state = state_of(row.get(0))?;
    }
    Ok(())
}

fn check_known(
    rows: &[Row],
    requests: &[EnqueueRequest],
    offset: usize,
) -> Result<(), EnqueueError> {
    match rows.iter().position(|row| !row.get::<_, bool>("known")) {
        None => Ok(()),
        Some(index) => Err(EnqueueError::UnknownRepository {
            repo_id: requests[index].repo_id,
            index: offset + index,
        }),
    }
}

/// The answers of the inserting statement; nothing when a job collided.
fn inserted(
    rows: &[Row],
    requests: &[EnqueueRequest],
    offset: usize,
) -> Result<Option<Vec<Enqueued>>, EnqueueError> {
    check_known(rows, requests, offset)?;
    let answers = rows.iter().map(|row| {
        let state: &str = row.get::<_, Option<&str>>("state")?;
        Some(Enqueued {
            job_id: row.get::<_, Uuid>("id").into(),
            state: match state {
                "waiting" => PublicState::Waiting,
                _ => PublicState::Queued,
            },
            deduplicated: row.get("deduplicated"),
        })
    });
    Ok(answers.collect())
}

impl NotBefore {
    fn columns(self) -> (Option<Timestamp>, Option<f64>) {
        match self {
            Self::Now => (None, None),
            Self::At(moment) => (Some(moment), None),
            Self::In(delay) => (None, Some(delay.as_secs_f64())),
        }
    }
}

fn check_times(requests: &[EnqueueRequest]) -> Result<(), EnqueueError> {
    const TEN_YEARS: Duration = Duration::from_secs(10 * 366 * 86_400);
    let too_far = requests.iter().any(|request| match request.not_before {
        NotBefore::Now => false,
        NotBefore::At(moment) => {
            !(1970..2200).contains(&chrono::Datelike::year(&moment.as_datetime()))
        }
        NotBefore::In(delay) => delay > TEN_YEARS,
    });
    if too_far {
        Err(EnqueueError::TooFarAway)
    } else {
        Ok(())
    }
}

/// The columns of a batch.
pub(super) struct Columns<'a> {
    repos: Vec<Uuid>,
    kinds: Vec<&'static str>,
    lanes: Vec<&'static str>,
    args: Vec<&'a Value>,
    priorities: Vec<i16>,
    moments: Vec<Option<Timestamp>>,
    delays: Vec<Option<f64>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(requests: &'a [EnqueueRequest]) -> Self {
        let (moments, delays) = requests
            .iter()
            .map(|request| request.not_before.columns())
            .unzip();
        Self {
            repos: requests
                .iter()
                .map(|request| request.repo_id.as_uuid())
                .collect(),
            kinds: requests.iter().map(|request| request.kind).collect(),
            lanes: requests
                .iter()
                .map(|request| request.lane.as_str())
                .collect(),
            args: requests
                .iter()
                .map(|request| request.args.as_json())
                .collect(),
            priorities: requests
                .iter()
                .map(|request| request.priority.get())
                .collect(),
            moments,
            delays,
        }
    }

    /// Sends a statement with these columns; rows come in the order of the requests.
    pub(super) async fn send(
        &self,
        client: &impl deadpool_postgres::GenericClient,
        statement: &Statement,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &self.repos,
            &self.kinds,
            &self.lanes,
            &self.args,
            &self.priorities,
            &self.moments,
            &self.delays,
        ];
        let mut rows = client.query(statement, &parameters).await?;
        rows.sort_by_key(|row| row.get::<_, i64>("ord"));
        Ok(rows)
    }
}
