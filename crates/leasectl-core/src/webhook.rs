//! Webhooks: a forge says that a repository changed, and a `fetch` of it is asked for.
//!
//! **Invariant.** A delivery is noted in the transaction that asks for its fetch, or in a statement that saw one
//! queued: sent again it has no effect, and what was answered is not lost.
//!
//! A storm of deliveries becomes one running and one queued fetch. While one is queued, a delivery is one statement
//! that takes no lock in common with others; only the first after a claim takes the repository's row. Others of its
//! process wait for it without a connection, look again, and find the fetch that it asked for.
//!
//! Fetches that webhooks start are at least [`SPACING`] apart. The first delivery of a burst starts one at once; the
//! next sets the time of the following one, at most [`SPACING`] ahead, and later ones do not move it.

mod delivery;
mod turns;

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use futures::future::try_join_all;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub use self::delivery::{BadDeliveryId, Delivery, DeliveryId, Forge};

use crate::database::{Client, Database, DatabaseError, limited};
use crate::ids::{JobId, RepoId};
use crate::job::{EnqueueRequest, NotBefore, merge_in};
use crate::kind::{CanonicalArgs, FETCH, Lane};
use crate::lease::promote;
use crate::time::{Timestamp, seconds};

use self::turns::{Turn, Turns};

/// The least time between two fetches of a repository that webhooks start.
pub const SPACING: Duration = Duration::from_secs(2);

/// How long deliveries are remembered.
pub const REMEMBERED: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Deliveries that one statement forgets, and statements of one round.
const FORGOTTEN_AT_ONCE: i64 = 5_000;
const BATCHES: usize = 200;

/// How often a delivery asks that lost a deadlock, or waited for a repository's row as long as sessions wait for a
/// lock (two seconds): a fetch that records many changes holds it. Forges give up after ten seconds.
const TRIES: u32 = 4;

/// How long a delivery waits for another one of its process that asks.
const PATIENCE: Duration = Duration::from_secs(8);

/// What came of a delivery.
#[derive(Clone, PartialEq, Debug)]
pub enum Received {
    /// These fetches will see what it tells of.
    Accepted(Vec<AskedFetch>),
    /// It was received before; nothing was changed.
    Duplicate,
    /// Nobody registered the repository; nothing was noted.
    UnknownRepository,
}

/// A fetch that a delivery asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AskedFetch {
    /// The repository. There are several when one is registered under several URLs.
    pub repo_id: RepoId,
    /// The job.
    pub job_id: JobId,
    /// Whether it was queued already.
    pub deduplicated: bool,
}

/// Receives deliveries over one pool of connections. A process wants one of it.
#[derive(Debug)]
pub struct Deliveries {
    database: Database,
    turns: Turns,
}

impl Deliveries {
    /// None was received yet.
    #[must_use]
    pub fn over(database: Database) -> Self {
        Self {
            database,
            turns: Turns::new(PATIENCE),
        }
    }

    /// Receives a delivery: notes it, marks its repository dirty and asks for a fetch.
    ///
    /// # Errors
    /// When the database is away. If the connection broke during the commit, the delivery may have been received all
    /// the same; receiving it again is safe.
    pub async fn receive(&self, delivery: &Delivery) -> Result<Received, DatabaseError> {
        loop {
            let client = self.database.client().await?;
            let seen = look_at(&client, delivery).await?;
            if let Some(received) = seen.received() {
                return Ok(received);
            }
            // Whoever waits for a turn holds no connection, so that there are some for what needs no turn.
            drop(client);
            if let Some(turn) = self.turns.take(&seen).await?
                && let Some(received) = self.ask(turn, delivery, &seen).await?
            {
                return Ok(received);
            }
        }
    }

    /// Asks for the fetches that are missing, to the end even if nobody waits for the answer any more: a connection
    /// given back while it waits for a row would hold up whoever gets it next.
    async fn ask(
        &self,
        turn: Turn,
        delivery: &Delivery,
        seen: &Seen,
    ) -> Result<Option<Received>, DatabaseError> {
        let (database, delivery) = (self.database.clone(), delivery.clone());
        let repositories = seen.repositories();
        let asked = tokio::spawn(async move {
            let _turn = turn;
            let mut client = database.client().await?;
            ask_anew(&mut client, &delivery, &repositories).await
        });
        match asked.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(asked) => asked,
            Err(Ok(panic)) => resume_unwind(panic),
            // The process ends.
            Err(Err(_cancelled)) => Err(DatabaseError::NoAnswer),
        }
    }
}

/// Makes that many connections ready to receive deliveries, as [`crate::job::warm_up`] does for jobs.
///
/// # Errors
/// When the database is away.
pub async fn warm_up(database: &Database, connections: usize) -> Result<(), DatabaseError> {
    let clients = try_join_all((0..connections).map(|_| database.client())).await?;
    try_join_all(clients.into_iter().map(warm_up_one)).await?;
    Ok(())
}

/// Has a connection prepare and plan all that a delivery may take: the first ones of a storm ask for a fetch, all at
/// once. The statements name no repository, so nothing comes of them.
async fn warm_up_one(mut client: Client) -> Result<(), DatabaseError> {
    let nowhere = Seen {
        fetches: Vec::new(),
        noted: false,
    };
    let transaction = client.transaction().await?;
    lock(&transaction, &nowhere.repositories()).await?;
    look(&transaction, Forge::GitHub, "", &[]).await?;
    transaction
        .prepare_cached(include_str!("webhook/note.sql"))
        .await?;
    mark(&transaction, &nowhere).await?;
    merge_in(&transaction, &[]).await?;
    transaction.rollback().await?;
    promote(&client, &[]).await?;
    Ok(())
}

/// Forgets deliveries that were received longer ago than `kept`; returns how many.
///
/// # Errors
/// When the database is away.
pub async fn forget_deliveries(database: &Database, kept: Duration) -> Result<u64, DatabaseError> {
    let client = database.client().await?;
    let statement = client
        .prepare_cached(include_str!("webhook/forget.sql"))
        .await?;
    let mut forgotten = 0;
    for _ in 0..BATCHES {
        let parameters: [&(dyn ToSql + Sync); 2] = [&seconds(kept), &FORGOTTEN_AT_ONCE];
        let gone = client.execute(&statement, &parameters).await?;
        forgotten += gone;
        if i64::try_from(gone) != Ok(FORGOTTEN_AT_ONCE) {
            break;
        }
    }
    Ok(forgotten)
}

/// What a look at a delivery's repositories found.
struct Seen {
    /// Each repository with its queued fetch.
    fetches: Vec<(RepoId, Option<JobId>)>,
    /// Whether the delivery was noted.
    noted: bool,
}

impl Seen {
    fn from_rows(rows: &[Row]) -> Self {
        let fetch = |row: &Row| {
            let job: Option<Uuid> = row.get("job_id");
            (row.get::<_, Uuid>("repo_id").into(), job.map(JobId::from))
        };
        Self {
            fetches: rows.iter().map(fetch).collect(),
            noted: rows.iter().any(|row| row.get("noted")),
        }
    }

    fn repositories(&self) -> Vec<Uuid> {
        self.fetches
            .iter()
            .map(|(repo, _)| repo.as_uuid())
            .collect()
    }

    /// Those without a queued fetch.
    fn missing(&self) -> Vec<RepoId> {
        let without = self.fetches.iter().filter(|(_, job)| job.is_none());
        without.map(|(repo, _)| *repo).collect()
    }

    /// The answer; nothing when a fetch has to be asked for first.
    fn received(&self) -> Option<Received> {
        let fetches = self.fetches.iter().map(|(repo_id, job_id)| {
            Some(AskedFetch {
                repo_id: *repo_id,
                job_id: (*job_id)?,
                deduplicated: true,
            })
        });
        let fetches: Vec<AskedFetch> = fetches.collect::<Option<_>>()?;
        Some(match (fetches.is_empty(), self.noted) {
            (true, _) => Received::UnknownRepository,
            (false, true) => Received::Accepted(fetches),
            (false, false) => Received::Duplicate,
        })
    }
}

/// Notes a delivery for those remotes if nothing else has to be done.
async fn look(
    client: &impl GenericClient,
    forge: Forge,
    id: &str,
    remotes: &[&str],
) -> Result<Seen, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("webhook/receive.sql"))
        .await?;
    let parameters: [&(dyn ToSql + Sync); 4] = [&forge.as_str(), &id, &remotes, &seconds(SPACING)];
    Ok(Seen::from_rows(
        &client.query(&statement, &parameters).await?,
    ))
}

async fn look_at(client: &impl GenericClient, delivery: &Delivery) -> Result<Seen, DatabaseError> {
    let remotes: Vec<&str> = delivery.remotes.iter().map(AsRef::as_ref).collect();
    look(client, delivery.forge, delivery.id.as_str(), &remotes).await
}

/// Takes repositories for whoever asks for a fetch of them.
async fn lock(transaction: &Transaction<'_>, repositories: &[Uuid]) -> Result<(), DatabaseError> {
    let lock = transaction
        .prepare_cached(include_str!("webhook/lock.sql"))
        .await?;
    limited(transaction, transaction.query(&lock, &[&repositories])).await?;
    Ok(())
}

/// Asks for the fetches that are missing, and anew when others were in the way.
async fn ask_anew(
    client: &mut Client,
    delivery: &Delivery,
    repositories: &[Uuid],
) -> Result<Option<Received>, DatabaseError> {
    for _ in 1..TRIES {
        match ask(client, delivery, repositories).await {
            Err(error) if error.is_deadlock() || error.is_lock_timeout() => {}
            answer => return answer,
        }
    }
    ask(client, delivery, repositories).await
}

/// Asks for the fetches that are missing, in the transaction that notes the delivery; nothing when a repository was
/// removed meanwhile: look again.
async fn ask(
    client: &mut Client,
    delivery: &Delivery,
    repositories: &[Uuid],
) -> Result<Option<Received>, DatabaseError> {
    let transaction = client.transaction().await?;
    lock(&transaction, repositories).await?;
    let seen = look_at(&transaction, delivery).await?;
    if let Some(received) = seen.received() {
        transaction.commit().await?;
        return Ok(Some(received));
    }
    let note = transaction
        .prepare_cached(include_str!("webhook/note.sql"))
        .await?;
    let parameters: [&(dyn ToSql + Sync); 3] = [
        &delivery.forge.as_str(),
        &delivery.id.as_str(),
        &seen.repositories()[0],
    ];
    if transaction.query_opt(&note, &parameters).await?.is_none() {
        return Ok(Some(Received::Duplicate));
    }
    let starts = mark(&transaction, &seen).await?;
    let missing = seen.missing();
    let request = |repo: &RepoId| {
        EnqueueRequest::new(*repo, &FETCH, CanonicalArgs::none())
            .not_before(starts.get(repo).copied().unwrap_or_default())
    };
    let requests: Vec<EnqueueRequest> = missing.iter().map(request).collect();
    // Equal jobs that wait for long, or less urgently, are brought forward.
    let accepted = merge_in(&transaction, &requests).await?;
    let Some(accepted) = accepted.into_iter().collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    transaction.commit().await?;
    start(client, &missing).await;
    let mut accepted = accepted.into_iter();
    let fetches = seen.fetches.iter().filter_map(|(repo_id, queued)| {
        let (job_id, deduplicated) = match queued {
            Some(job_id) => (*job_id, true),
            None => accepted.next()?,
        };
        Some(AskedFetch {
            repo_id: *repo_id,
            job_id,
            deduplicated,
        })
    });
    Ok(Some(Received::Accepted(fetches.collect())))
}

/// Marks the repositories dirty; answers when the fetch of each may start.
async fn mark(
    transaction: &impl GenericClient,
    seen: &Seen,
) -> Result<HashMap<RepoId, NotBefore>, DatabaseError> {
    let mark = transaction
        .prepare_cached(include_str!("webhook/mark.sql"))
        .await?;
    let missing: Vec<Uuid> = seen.missing().iter().map(|repo| repo.as_uuid()).collect();
    let parameters: [&(dyn ToSql + Sync); 3] = [&seen.repositories(), &missing, &seconds(SPACING)];
    let rows = transaction.query(&mark, &parameters).await?;
    let start = |row: &Row| {
        let moment: Option<Timestamp> = row.get("not_before");
        let repo: Uuid = row.get("id");
        (repo.into(), moment.map_or(NotBefore::Now, NotBefore::At))
    };
    Ok(rows.iter().map(start).collect())
}

/// Has the fetches join their lanes.
async fn start(client: &Client, fetched: &[RepoId]) {
    let lanes: Vec<_> = fetched.iter().map(|repo| (*repo, Lane::Fetch)).collect();
    if let Err(error) = promote(client, &lanes).await {
        // They are committed; the sweep promotes them.
        tracing::debug!(%error, "promotion after a webhook failed; the sweep will promote");
    }
}
