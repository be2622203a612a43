//! Wakeups: hints that work exists, through `LISTEN`/`NOTIFY`. Polling finds it without them.
//!
//! **Invariant.** A wakeup is never sent inside a transaction that does anything else: `NOTIFY`
//! takes a lock that serialises commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_postgres::AsyncMessage;

use crate::database::{
    Client, ConnectError, Database, DatabaseError, DatabaseUrl, DirectConnection, connect_direct,
};
use crate::ids::JobId;
use crate::kind::Lane;

const CHANNEL: &str = "leasectl_wakeup";

/// The least time between two wakeups of one process.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// A hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wakeup {
    /// These lanes may have ready jobs.
    Lanes(Vec<Lane>),
    /// These lanes have leases of a dead worker, to be reclaimed at once. Older releases ignore it.
    Dead(Vec<Lane>),
    /// Somebody asked for this job to stop.
    Cancel(JobId),
}

/// Hears wakeups on a connection of its own.
#[derive(Debug)]
pub struct Listener {
    connection: DirectConnection,
}

impl Listener {
    /// Connects and subscribes. Look for work *after* this returns, or a wakeup between the look
    /// and the subscription is missed.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, ConnectError> {
        let connection = connect_direct(url, "leasectl wakeups").await?;
        connection
            .client
            .batch_execute(&format!("listen {CHANNEL}"))
            .await
            .map_err(DatabaseError::from)?;
        Ok(Self { connection })
    }

    /// The next wakeup; none when the connection has ended.
    pub async fn recv(&mut self) -> Option<Wakeup> {
        loop {
            if let AsyncMessage::Notification(notification) =
                self.connection.messages.recv().await?
                && let Some(wakeup) = parse(notification.payload())
            {
                return Some(wakeup);
            }
        }
    }
}

/// What a payload says; one of a newer release may say what this one does not know.
fn parse(payload: &str) -> Option<Wakeup> {
    match payload.split_once(' ')? {
        ("cancel", id) => id.parse().ok().map(Wakeup::Cancel),
        ("lanes", names) => Some(Wakeup::Lanes(lanes(names))),
        ("dead", names) => Some(Wakeup::Dead(lanes(names))),
        _ => None,
    }
}

fn lanes(names: &str) -> Vec<Lane> {
    names
        .split(',')
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn names(lanes: &[Lane]) -> String {
    let names: Vec<_> = lanes.iter().map(|lane| lane.as_str()).collect();
    names.join(",")
}

/// The channel and the payload that announce dead workers' leases, for a session of its own.
pub(crate) fn dead(lanes: &[Lane]) -> (&'static str, String) {
    (CHANNEL, format!("dead {}", names(lanes)))
}

/// Sends a wakeup for lanes now.
///
/// # Errors
/// When the database is away; the jobs are found by polling all the same.
pub async fn announce(client: &Client, lanes: &[Lane]) -> Result<(), DatabaseError> {
    if lanes.is_empty() {
        return Ok(());
    }
    send(client, &format!("lanes {}", names(lanes))).await
}

/// Sends a wakeup for lanes with leases that are over, for whoever can take them.
///
/// # Errors
/// When the database is away; the leases are found by polling all the same.
pub async fn announce_over(client: &Client, lanes: &[Lane]) -> Result<(), DatabaseError> {
    send(client, &dead(lanes).1).await
}

/// Sends a wakeup for a job that should stop.
pub(crate) async fn announce_cancel(client: &Client, id: JobId) -> Result<(), DatabaseError> {
    send(client, &format!("cancel {id}")).await
}

async fn send(client: &Client, payload: &str) -> Result<(), DatabaseError> {
    let statement = client.prepare_cached("select pg_notify($1, $2)").await?;
    client.execute(&statement, &[&CHANNEL, &payload]).await?;
    Ok(())
}

/// Sends wakeups for a process that enqueues much: the first at once, the next ones together.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// One bit for each lane that wants a wakeup.
    lanes: Arc<AtomicU8>,
    /// Full means that a wakeup is on its way, and it will carry the bits set meanwhile.
    wanted: Sender<()>,
}

impl Notifier {
    /// Starts the sender; it ends when every clone of the notifier is gone.
    #[must_use]
    pub fn start(database: Database) -> Self {
        let lanes = Arc::new(AtomicU8::new(0));
        let (wanted, wants) = mpsc::channel(1);
        tokio::spawn(send_wakeups(Arc::clone(&lanes), wants, database));
        Self { lanes, wanted }
    }

    /// Asks for a wakeup of these lanes. Returns at once.
    pub fn notify(&self, lanes: impl IntoIterator<Item = Lane>) {
        let bits = lanes.into_iter().fold(0, |bits, lane| bits | bit(lane));
        if bits != 0 {
            self.lanes.fetch_or(bits, Ordering::AcqRel);
            self.wanted.try_send(()).ok();
        }
    }
}

async fn send_wakeups(bits: Arc<AtomicU8>, mut wants: Receiver<()>, database: Database) {
    while wants.recv().await.is_some() {
        let bits = bits.swap(0, Ordering::AcqRel);
        let lanes: Vec<_> = Lane::ALL
            .into_iter()
            .filter(|lane| bits & bit(*lane) != 0)
            .collect();
        let sent = match database.client().await {
            Ok(client) => announce(&client, &lanes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a wakeup was not sent; polling finds the jobs");
        }
        tokio::time::sleep(DEBOUNCE).await;
    }
}

fn bit(lane: Lane) -> u8 {
    match lane {
        Lane::Fetch => 1,
        Lane::Index => 2,
        Lane::Backfill => 4,
        Lane::Stack => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_other_releases_are_ignored() {
        assert_eq!(
            parse("lanes fetch,zebra"),
            Some(Wakeup::Lanes(vec![Lane::Fetch]))
        );
        assert_eq!(
            parse("dead stack,zebra"),
            Some(Wakeup::Dead(vec![Lane::Stack]))
        );
        assert_eq!(parse("zebra 1"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("cancel nonsense"), None);
    }
}
