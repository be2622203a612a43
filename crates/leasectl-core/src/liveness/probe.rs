//! Finding out whether a pooler that hands sessions around stands between us and the server.
//!
//! Through a pooler in transaction mode a session lock proves nothing: it outlives its client, and
//! another client may "hold" it while its owner lives. So a setting made in one session is looked for
//! in another one, and in its own while the other occupies a server connection.

use std::time::Duration;

use thiserror::Error;
use tokio_postgres::SimpleQueryMessage;

use super::session::LivenessError;
use crate::database::{DatabaseError, DatabaseUrl, connect_direct};

/// Often enough that a pooler with several idle connections shows itself.
const ROUNDS: usize = 3;

/// A pooler that has no second connection to give lets the probe wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// By what a pooler showed itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PoolerSign {
    /// Two sessions were one.
    #[error("two connections turned out to share one session of the server")]
    SharedSession,
    /// A session lost its setting or got another backend.
    #[error("a connection was moved to another session of the server")]
    MovedSession,
    /// Two sessions at once were not to be had.
    #[error("a second connection was not served while the first one was busy")]
    Stalled,
}

/// A setting and the backend that answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    marker: String,
    pid: String,
}

/// Looks for a pooler behind that URL, where `session` is connected.
pub(super) async fn probe(
    session: &tokio_postgres::Client,
    url: &DatabaseUrl,
) -> Result<(), LivenessError> {
    let other = connect_direct(url, "leasectl liveness probe").await?;
    let rounds = rounds(session, &other.client);
    match tokio::time::timeout(PATIENCE, rounds).await {
        Ok(answered) => answered,
        Err(_elapsed) => Err(PoolerSign::Stalled.into()),
    }
}

async fn rounds(
    session: &tokio_postgres::Client,
    other: &tokio_postgres::Client,
) -> Result<(), LivenessError> {
    for _ in 0..ROUNDS {
        let ours = mark(session).await?;
        if look(other).await?.marker == ours.marker {
            return Err(PoolerSign::SharedSession.into());
        }
        let theirs = mark(other).await?;
        other
            .batch_execute("begin")
            .await
            .map_err(DatabaseError::from)?;
        let occupied = look(other).await?;
        let again = look(session).await?;
        other
            .batch_execute("commit")
            .await
            .map_err(DatabaseError::from)?;
        let round = Round {
            ours,
            theirs,
            occupied,
            again,
        };
        if let Some(sign) = round.sign() {
            return Err(sign.into());
        }
    }
    Ok(())
}

/// What two connections said when they were marked, and when the other one's session was occupied.
struct Round {
    ours: Seen,
    theirs: Seen,
    /// Theirs, within a transaction.
    occupied: Seen,
    /// Ours, meanwhile.
    again: Seen,
}

impl Round {
    /// By what a pooler showed itself, if one did.
    fn sign(&self) -> Option<PoolerSign> {
        if self.again.marker == self.theirs.marker || self.again.pid == self.theirs.pid {
            Some(PoolerSign::SharedSession)
        } else if self.again != self.ours || self.occupied != self.theirs {
            Some(PoolerSign::MovedSession)
        } else {
            None
        }
    }
}

/// Gives the session a setting of its own.
async fn mark(client: &tokio_postgres::Client) -> Result<Seen, LivenessError> {
    let marker = format!("{:032x}", rand::random::<u128>());
    // Plain text, without parameters: poolers pass it on as it is. The marker is hexadecimal.
    let sql = format!("select set_config('leasectl.probe', '{marker}', false), pg_backend_pid()");
    ask(client, &sql).await
}

/// Reads the session's setting.
async fn look(client: &tokio_postgres::Client) -> Result<Seen, LivenessError> {
    let sql = "select coalesce(current_setting('leasectl.probe', true), ''), pg_backend_pid()";
    ask(client, sql).await
}

async fn ask(client: &tokio_postgres::Client, sql: &str) -> Result<Seen, LivenessError> {
    let messages = client
        .simple_query(sql)
        .await
        .map_err(DatabaseError::from)?;
    let row = messages.iter().find_map(|message| {
        if let SimpleQueryMessage::Row(row) = message {
            Some(row)
        } else {
            None
        }
    });
    let column = |at| row.and_then(|row| row.get(at)).unwrap_or_default();
    Ok(Seen {
        marker: column(0).to_owned(),
        pid: column(1).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(marker: &str, pid: &str) -> Seen {
        Seen {
            marker: marker.to_owned(),
            pid: pid.to_owned(),
        }
    }

    /// Two connections that each keep a session of their own.
    fn direct() -> Round {
        Round {
            ours: seen("a", "1"),
            theirs: seen("b", "2"),
            occupied: seen("b", "2"),
            again: seen("a", "1"),
        }
    }

    #[test]
    fn connections_that_keep_their_sessions_show_no_pooler() {
        assert_eq!(direct().sign(), None);
    }

    #[test]
    fn a_setting_or_a_backend_that_two_connections_share_shows_a_pooler() {
        for again in [seen("b", "1"), seen("a", "2"), seen("b", "2")] {
            let round = Round {
                again: again.clone(),
                ..direct()
            };
            assert_eq!(round.sign(), Some(PoolerSign::SharedSession), "{again:?}");
        }
    }

    #[test]
    fn a_connection_that_lost_its_setting_or_its_backend_shows_a_pooler() {
        for moved in [seen("", "1"), seen("a", "3")] {
            let round = Round {
                again: moved.clone(),
                ..direct()
            };
            assert_eq!(round.sign(), Some(PoolerSign::MovedSession), "{moved:?}");
        }
        for moved in [seen("", "2"), seen("b", "3")] {
            let round = Round {
                occupied: moved.clone(),
                ..direct()
            };
            assert_eq!(round.sign(), Some(PoolerSign::MovedSession), "{moved:?}");
        }
    }
}
