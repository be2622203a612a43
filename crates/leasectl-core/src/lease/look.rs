//! Looking: what a worker asks at each poll, in one statement that locks nothing.

use uuid::Uuid;

use crate::database::{Client, DatabaseError};
use crate::ids::{JobId, Owner};
use crate::kind::Lane;

/// What there was to do at one moment. It is a hint: whoever acts on it looks again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outlook {
    /// Lanes with ready jobs.
    pub ready: Vec<Lane>,
    /// Lanes with leases that are over: jobs to [`reclaim`](super::reclaim()) or to
    /// [`bury`](super::bury()).
    pub over: Vec<Lane>,
    /// A [`sweep`](super::sweep()) may find something: jobs are due, staged or waiting.
    pub to_sweep: bool,
    /// Running jobs of this owner that somebody asked to stop.
    pub cancelled: Vec<JobId>,
}

/// Looks at the queue and at an owner's jobs.
///
/// # Errors
/// When the database is away.
pub async fn look(client: &Client, owner: &Owner) -> Result<Outlook, DatabaseError> {
    let statement = client.prepare_cached(include_str!("look.sql")).await?;
    let lanes = Lane::ALL.map(Lane::as_str);
    let row = client
        .query_one(&statement, &[&owner.as_str(), &lanes.as_slice()])
        .await?;
    // A lane that this release does not know is another one's work.
    let known = |column| {
        let names: Vec<&str> = row.get(column);
        names.iter().filter_map(|name| name.parse().ok()).collect()
    };
    let cancelled: Vec<Uuid> = row.get("cancelled");
    Ok(Outlook {
        ready: known("ready"),
        over: known("over"),
        to_sweep: row.get("to_sweep"),
        cancelled: cancelled.into_iter().map(JobId::from).collect(),
    })
}
