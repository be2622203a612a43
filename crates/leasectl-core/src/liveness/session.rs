//! The liveness session: one direct connection that holds a worker's lock and nothing else.

use std::time::Duration;

use thiserror::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Row, Statement};

use super::probe::{PoolerSign, probe};
use super::settings::{self, RefusedSetting};
use super::{Absent, LivenessKey, Sighting};
use crate::database::{ConnectError, DatabaseError, DatabaseUrl, DirectConnection, connect_direct};
use crate::ids::Owner;
use crate::kind::Lane;
use crate::time::Timestamp;
use crate::wakeup;

/// The liveness session failed.
#[derive(Debug, Error)]
pub enum LivenessError {
    /// No connection.
    #[error("cannot open the liveness session")]
    Connect(#[from] ConnectError),
    /// A statement failed, or the connection broke.
    #[error("the liveness session broke")]
    Statement(#[from] DatabaseError),
    /// A pooler hands sessions around.
    #[error("a pooler stands between this worker and the database")]
    Pooler(#[from] PoolerSign),
}

/// What keeps a session from holding its lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// The server said that it is going down or coming up.
    GoingDown,
    /// Nobody answers where the server was.
    NoAnswer,
    /// A pooler hands sessions around.
    Pooler,
    /// The server answers, but does not let the lock be held.
    Refused,
}

impl LivenessError {
    /// Which obstacle this is a sign of.
    #[must_use]
    pub fn obstacle(&self) -> Obstacle {
        let error = match self {
            Self::Pooler(_) => return Obstacle::Pooler,
            Self::Connect(ConnectError::Database(error)) | Self::Statement(error) => error,
            Self::Connect(_) => return Obstacle::Refused,
        };
        match error.code() {
            Some(code) if is_shutdown_code(code) => Obstacle::GoingDown,
            None if error.is_unavailable() => Obstacle::NoAnswer,
            Some(_) | None => Obstacle::Refused,
        }
    }
}

/// `admin_shutdown`, `crash_shutdown` and `cannot_connect_now`. The first is also what a session hears
/// that somebody terminates.
fn is_shutdown_code(code: &SqlState) -> bool {
    matches!(code.code(), "57P01" | "57P02" | "57P03")
}

/// When the server started that a session is connected to: another moment, another server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerStart(Timestamp);

/// The answer to a ping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// This session is the detector's from now on.
    pub detects: bool,
}

/// What came of a verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// Lanes of leases that expired now.
    pub lanes: Vec<Lane>,
    /// How many leases expired now.
    pub expired: i64,
    /// How many could not be expired yet, because a fence is open or a beat is under way.
    pub left: i64,
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionEnd {
    /// The server itself said that it, or only this session, is shut down.
    pub is_announced: bool,
}

/// One direct connection that holds a worker's lock.
#[derive(Debug)]
pub struct LivenessSession {
    connection: DirectConnection,
    pid: i32,
    server: ServerStart,
    statements: Option<Statements>,
    /// The server announced the end in a notice, or in the answer to a statement.
    is_end_announced: bool,
}

#[derive(Debug)]
struct Statements {
    ping: Statement,
    sight: Statement,
    older: Statement,
    judge: Statement,
}

impl LivenessSession {
    /// Connects, and asks which server it is.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, LivenessError> {
        let connection = connect_direct(url, "leasectl liveness").await?;
        let asked = "select pg_backend_pid(), pg_postmaster_start_time()";
        let row = one(&connection.client, asked, &[]).await?;
        Ok(Self {
            pid: row.get(0),
            server: ServerStart(row.get(1)),
            connection,
            statements: None,
            is_end_announced: false,
        })
    }

    /// Which server this is.
    #[must_use]
    pub fn server(&self) -> ServerStart {
        self.server
    }

    /// Looks for a pooler at the same URL.
    ///
    /// # Errors
    /// [`LivenessError::Pooler`] when there is one, else when the server cannot be reached.
    pub async fn probe(&self, url: &DatabaseUrl) -> Result<(), LivenessError> {
        probe(&self.connection.client, url).await
    }

    /// Draws a new key for a worker.
    ///
    /// # Errors
    /// When the connection broke, or the schema is older than this program.
    pub async fn next_key(&self) -> Result<LivenessKey, LivenessError> {
        let row = one(&self.connection.client, include_str!("next_key.sql"), &[]).await?;
        Ok(LivenessKey::new(row.get(0)))
    }

    /// Tries to take the worker's lock. It never waits.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn hold(&self, key: LivenessKey) -> Result<bool, LivenessError> {
        let row = one(
            &self.connection.client,
            include_str!("hold.sql"),
            &[(&key.0, Type::INT4)],
        )
        .await?;
        Ok(row.get(0))
    }

    /// Makes the session what it should be: each setting alone, since a host may forbid some. Returns
    /// those that did not take.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn configure(&self) -> Result<Vec<RefusedSetting>, LivenessError> {
        Ok(settings::set(&self.connection.client).await?)
    }

    /// Proves that the session lives, and takes the detector's lock if it is free.
    ///
    /// # Errors
    /// When the connection broke, or turned out to be pooled.
    pub async fn ping(&mut self) -> Result<Pulse, LivenessError> {
        let statement = self.statements().await?.ping.clone();
        let row = self.ask(&statement, &[]).await?;
        Ok(Pulse {
            detects: row.get("detects"),
        })
    }

    /// Proves that the session lives, and no more: the server answers without running a statement.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn answers(&mut self) -> Result<(), LivenessError> {
        let answer = self.connection.client.check_connection().await;
        self.noted(answer.map_err(DatabaseError::from))
    }

    /// Looks which watched workers do not hold their lock.
    ///
    /// # Errors
    /// When the connection broke, or turned out to be pooled.
    pub async fn sight(&mut self, own: LivenessKey) -> Result<Sighting, LivenessError> {
        let statement = self.statements().await?.sight.clone();
        let row = self.ask(&statement, &[&own.0]).await?;
        let owners: Vec<String> = row.get("owners");
        let keys: Vec<i32> = row.get("keys");
        let graces: Vec<f64> = row.get("graces");
        let judged: Vec<bool> = row.get("judged");
        let absent = owners.into_iter().zip(keys).zip(graces).zip(judged);
        Ok(Sighting {
            settled: row.get("settled"),
            older: older(&row),
            absent: absent
                .map(|(((owner, key), grace), judged)| Absent {
                    owner: Owner::from(owner),
                    key: LivenessKey(key),
                    grace: Duration::try_from_secs_f64(grace).unwrap_or(Duration::MAX),
                    judged,
                })
                .collect(),
        })
    }

    /// Asks how many watched workers are older, without a look at their locks.
    ///
    /// # Errors
    /// When the connection broke, or turned out to be pooled.
    pub async fn older(&mut self, own: LivenessKey) -> Result<usize, LivenessError> {
        let statement = self.statements().await?.older.clone();
        Ok(older(&self.ask(&statement, &[&own.0]).await?))
    }

    /// Declares a worker dead and expires its leases; nothing when it is not dead after all.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn judge(&mut self, absent: &Absent) -> Result<Option<Judged>, LivenessError> {
        let statement = self.statements().await?.judge.clone();
        let owner = absent.owner.as_str();
        let rows = self
            .connection
            .client
            .query(&statement, &[&owner, &absent.key.0])
            .await;
        let rows = self.noted(rows.map_err(DatabaseError::from))?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let lanes: Vec<&str> = row.get("lanes");
        let lanes: Result<Vec<Lane>, _> = lanes
            .into_iter()
            .map(|lane| {
                lane.parse()
                    .map_err(|_| DatabaseError::UnknownValue(lane.to_owned()))
            })
            .collect();
        Ok(Some(Judged {
            lanes: lanes?,
            expired: row.get("expired"),
            left: row.get("left"),
        }))
    }

    /// Tells every worker that leases of dead ones are to be reclaimed.
    ///
    /// # Errors
    /// When the connection broke; polling finds them all the same.
    pub async fn announce_dead(&mut self, lanes: &[Lane]) -> Result<(), LivenessError> {
        let (channel, payload) = wakeup::dead(lanes);
        let sql = "select pg_notify($1, $2)";
        let sent = self
            .connection
            .client
            .query_typed(sql, &[(&channel, Type::TEXT), (&payload, Type::TEXT)])
            .await;
        self.noted(sent.map_err(DatabaseError::from))?;
        Ok(())
    }

    /// Waits until the session has ended. Notices are heard meanwhile.
    pub async fn ended(&mut self) -> SessionEnd {
        while let Some(message) = self.connection.messages.recv().await {
            if let AsyncMessage::Notice(notice) = message {
                self.note_end(Some(notice.code()));
            }
        }
        if let Ok(error) = (&mut self.connection.broken).await {
            self.note_end(error.code());
        }
        self.end()
    }

    /// What is known of the session's end now.
    #[must_use]
    pub fn end(&self) -> SessionEnd {
        SessionEnd {
            is_announced: self.is_end_announced,
        }
    }

    /// One row, from the same backend as ever.
    async fn ask(
        &mut self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, LivenessError> {
        let answer = self
            .connection
            .client
            .query_one(statement, parameters)
            .await;
        let row = self.noted(answer.map_err(DatabaseError::from))?;
        if row.get::<_, i32>("pid") == self.pid {
            Ok(row)
        } else {
            Err(PoolerSign::MovedSession.into())
        }
    }

    async fn statements(&mut self) -> Result<&Statements, LivenessError> {
        if self.statements.is_none() {
            let client = &self.connection.client;
            let prepared = Statements {
                ping: prepare(client, include_str!("ping.sql")).await?,
                sight: prepare(client, include_str!("sight.sql")).await?,
                older: prepare(client, include_str!("older.sql")).await?,
                judge: prepare(client, include_str!("judge.sql")).await?,
            };
            self.statements = Some(prepared);
        }
        self.statements
            .as_ref()
            .ok_or_else(|| DatabaseError::NoAnswer.into())
    }

    /// Remembers an announcement of the end that came as the answer to a statement.
    fn noted<T>(&mut self, answer: Result<T, DatabaseError>) -> Result<T, LivenessError> {
        answer.map_err(|error| {
            self.note_end(error.code());
            error.into()
        })
    }

    fn note_end(&mut self, code: Option<&SqlState>) {
        if code.is_some_and(is_shutdown_code) {
            self.is_end_announced = true;
        }
    }
}

fn older(row: &Row) -> usize {
    usize::try_from(row.get::<_, i64>("older")).unwrap_or(usize::MAX)
}

async fn prepare(client: &tokio_postgres::Client, sql: &str) -> Result<Statement, LivenessError> {
    Ok(client.prepare(sql).await.map_err(DatabaseError::from)?)
}

/// One row in one round trip, without a prepared statement.
async fn one(
    client: &tokio_postgres::Client,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Row, LivenessError> {
    let rows = client
        .query_typed(sql, parameters)
        .await
        .map_err(DatabaseError::from)?;
    rows.into_iter()
        .next()
        .ok_or_else(|| DatabaseError::UnknownValue("no row".to_owned()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_goes_down_or_comes_up_announces_it() {
        for code in ["57P01", "57P02", "57P03"] {
            assert!(is_shutdown_code(&SqlState::from_code(code)), "{code}");
        }
        // A database that was dropped, a cancelled statement, and one that may not be run.
        for code in ["57P04", "57014", "42501"] {
            assert!(!is_shutdown_code(&SqlState::from_code(code)), "{code}");
        }
    }
}
