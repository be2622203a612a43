//! Promotion: keeping every lane with work in it moving.
//!
//! Settling promotes what it sees. An enqueue that saw the lane held may commit just after, so a sweep
//! looks again at each poll while jobs wait.

use uuid::Uuid;

use crate::database::{Client, DatabaseError};
use crate::ids::RepoId;
use crate::kind::Lane;

/// The most rows that one statement of a sweep touches.
const BATCH: i64 = 1_000;

/// The most batches of due and of staged jobs that one sweep moves; the next one goes on. Behind a
/// flood of them, lanes that lost their promotion must not wait.
const BATCHES: usize = 20;

/// What a sweep did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Delayed and backing-off jobs whose time had come.
    pub due: usize,
    /// Jobs of `leasectl.enqueue` that joined their lanes.
    pub activated: usize,
    /// Lanes that something was moved in, or that had no holder, and that have a ready job now.
    pub promoted: Vec<Lane>,
}

/// Brings lanes into order; returns those that have a ready job then, each once. Whoever may claim it is to be told,
/// even if it was ready before: claims pass over a job whose row is locked, as it may have been until now.
///
/// # Errors
/// When the database is away.
pub async fn promote(
    client: &Client,
    lanes: &[(RepoId, Lane)],
) -> Result<Vec<Lane>, DatabaseError> {
    let statement = client.prepare_cached(include_str!("promote.sql")).await?;
    let (repos, names): (Vec<Uuid>, Vec<&str>) = lanes
        .iter()
        .map(|(repo, lane)| (repo.as_uuid(), lane.as_str()))
        .unzip();
    let rows = client.query(&statement, &[&repos, &names]).await?;
    rows.iter().map(|row| lane_of(row.get(0))).collect()
}

/// Wakes due jobs, activates staged ones, and promotes lanes that have waiting jobs and no holder.
///
/// # Errors
/// When the database is away.
pub async fn sweep(client: &Client) -> Result<Swept, DatabaseError> {
    let mut swept = Swept::default();
    for _ in 0..BATCHES {
        let woken = lanes_of(client, include_str!("wake_due.sql")).await?;
        swept.due += woken.len();
        // The head of a stack lane is ready at once: it held its lane.
        if woken.iter().any(|(_, lane)| *lane == Lane::Stack) {
            swept.promoted.push(Lane::Stack);
        }
        swept.promoted.extend(promote_some(client, &woken).await?);
        if !is_full(&woken) {
            break;
        }
    }
    for _ in 0..BATCHES {
        let activated = lanes_of(client, include_str!("activate_staged.sql")).await?;
        swept.activated += activated.len();
        swept
            .promoted
            .extend(promote_some(client, &activated).await?);
        if !is_full(&activated) {
            break;
        }
    }
    swept.promoted.extend(promote_unheld(client).await?);
    swept.promoted.sort_unstable();
    swept.promoted.dedup();
    Ok(swept)
}

/// Hops over all lanes that have waiting jobs and promotes those without a holder.
async fn promote_unheld(client: &Client) -> Result<Vec<Lane>, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("lanes_without_holder.sql"))
        .await?;
    let mut promoted = Vec::new();
    let mut after: (Option<Uuid>, Option<String>) = (None, None);
    loop {
        let rows = client
            .query(&statement, &[&after.0, &after.1, &BATCH])
            .await?;
        let mut free = Vec::new();
        for row in &rows {
            if row.get("free") {
                let repo: Uuid = row.get("repo_id");
                free.push((RepoId::from(repo), lane_of(row.get("lane"))?));
            }
        }
        promoted.extend(promote_some(client, &free).await?);
        match rows.last() {
            Some(last) if i64::try_from(rows.len()) == Ok(BATCH) => {
                after = (Some(last.get("repo_id")), Some(last.get("lane")));
            }
            _ => return Ok(promoted),
        }
    }
}

async fn promote_some(
    client: &Client,
    lanes: &[(RepoId, Lane)],
) -> Result<Vec<Lane>, DatabaseError> {
    if lanes.is_empty() {
        Ok(Vec::new())
    } else {
        promote(client, lanes).await
    }
}

async fn lanes_of(client: &Client, statement: &str) -> Result<Vec<(RepoId, Lane)>, DatabaseError> {
    let statement = client.prepare_cached(statement).await?;
    let rows = client.query(&statement, &[&BATCH]).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.get::<_, Uuid>("repo_id").into(),
                lane_of(row.get("lane"))?,
            ))
        })
        .collect()
}

fn is_full(batch: &[(RepoId, Lane)]) -> bool {
    i64::try_from(batch.len()) == Ok(BATCH)
}

pub(super) fn lane_of(name: &str) -> Result<Lane, DatabaseError> {
    name.parse()
        .map_err(|_| DatabaseError::UnknownValue(name.to_owned()))
}
