//! The database: reachable, new enough, up to date, durable, with a clock like ours, and watched by
//! workers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use leasectl_core::database::{Database, DatabaseError};
use leasectl_core::time::BootInstant;
use leasectl_core::{migrations, status};

use super::Check;
use crate::cli::{Context, age, with_causes};

/// A difference of clocks from which log lines and rows of the database are hard to compare.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(2);
/// The oldest supported server.
const OLDEST_MAJOR: i32 = 14;

/// What the server says about itself.
struct Session {
    version: String,
    major: i32,
    synchronous_commit: String,
    fsync: String,
    replica: bool,
    /// The host's clock less the database's, in the middle of the round trip.
    clock_ahead: TimeDelta,
    round_trip: Duration,
}

/// All checks of the database, and the database when it can be reached.
pub(super) async fn checks(context: &Context) -> (Vec<Check>, Option<Database>) {
    let opened = match context.open_unchecked().await {
        Ok(opened) => opened,
        Err(error) => {
            let advice = error
                .advice()
                .unwrap_or("see the settings of DATABASE_URL and --data-dir");
            return (vec![Check::fail("database", error.message(), advice)], None);
        }
    };
    let place = context.describe(&opened);
    let database = opened.database;
    let session = match ask(&database).await {
        Ok(session) => session,
        Err(error) => {
            let detail = format!("{place}: {}", with_causes(&error));
            let advice = "check that it runs, the host, the port and the credentials";
            return (vec![Check::fail("database", detail, advice)], None);
        }
    };
    let millis = session.round_trip.as_secs_f64() * 1_000.0;
    let mut checks = vec![
        Check::ok("database", format!("{place}, answers in {millis:.1} ms")),
        version(&session),
        durability(&session),
        clock(&session),
        schema(&database).await,
    ];
    checks.push(workers(&database).await);
    checks.push(super::liveness::session(&opened.direct_url).await);
    checks.push(super::liveness::workers(&database).await);
    (checks, Some(database))
}

async fn ask(database: &Database) -> Result<Session, DatabaseError> {
    let client = database.client().await?;
    let asked = BootInstant::now();
    let row = client.query_one(include_str!("session.sql"), &[]).await?;
    let round_trip = asked.elapsed();
    #[expect(
        clippy::disallowed_methods,
        reason = "it compares the clocks and decides nothing"
    )]
    let here = Utc::now();
    let there: DateTime<Utc> = row.get("now");
    let half = TimeDelta::from_std(round_trip / 2).unwrap_or_default();
    Ok(Session {
        version: row.get("version"),
        major: row.get("major"),
        synchronous_commit: row.get("synchronous_commit"),
        fsync: row.get("fsync"),
        replica: row.get("replica"),
        clock_ahead: here - half - there,
        round_trip,
    })
}

fn version(session: &Session) -> Check {
    let detail = format!("PostgreSQL {}", session.version);
    if session.replica {
        return Check::fail(
            "version",
            format!("{detail}, a read-only replica"),
            "point DATABASE_URL at the primary",
        );
    }
    if session.major < OLDEST_MAJOR {
        let advice = format!("upgrade the server to {OLDEST_MAJOR} or newer");
        return Check::fail("version", detail, advice);
    }
    Check::ok("version", detail)
}

fn durability(session: &Session) -> Check {
    if session.synchronous_commit == "off" {
        return Check::fail(
            "durability",
            "synchronous_commit is off: accepted jobs may be lost in a crash",
            "set synchronous_commit to on for this role or database",
        );
    }
    if session.fsync == "off" {
        return Check::fail(
            "durability",
            "fsync is off: the whole database may be lost in a crash",
            "set fsync to on in the server's configuration",
        );
    }
    Check::ok(
        "durability",
        format!("synchronous_commit is {}", session.synchronous_commit),
    )
}

fn clock(session: &Session) -> Check {
    let difference = session.clock_ahead.abs().to_std().unwrap_or_default();
    let side = if session.clock_ahead > TimeDelta::zero() {
        "ahead of"
    } else {
        "behind"
    };
    let detail = format!("this host is {} {side} the database", age(difference));
    if difference > CLOCK_DIFFERENCE + session.round_trip {
        return Check::warn(
            "clock",
            detail,
            "leases are safe (only the database's clock decides), but synchronise the clocks so \
             that logs can be compared",
        );
    }
    Check::ok("clock", detail)
}

async fn schema(database: &Database) -> Check {
    match migrations::pending(database).await {
        Ok(state) => match (state.newer, state.pending.as_slice()) {
            (Some(found), _) => Check::fail(
                "schema",
                format!("version {found} is newer than this program"),
                "update this program",
            ),
            (None, []) => Check::ok("schema", "up to date"),
            (None, pending) => Check::fail(
                "schema",
                format!("pending: {}", pending.join(", ")),
                "run worker migrate",
            ),
        },
        Err(error) => Check::fail(
            "schema",
            with_causes(&error),
            "check that the role may use the schema leasectl",
        ),
    }
}

async fn workers(database: &Database) -> Check {
    match status::status(database, None).await {
        Ok(seen) => {
            let live = seen
                .workers
                .iter()
                .filter(|worker| worker.state == "live")
                .count();
            let waiting: i64 = seen
                .queue
                .iter()
                .map(|kind| kind.queued + kind.waiting)
                .sum();
            let detail = format!("{live} live of {}, {waiting} jobs wait", seen.workers.len());
            if live == 0 {
                return Check::warn("workers", detail, "start one with worker run");
            }
            Check::ok("workers", detail)
        }
        Err(_) => Check::warn("workers", "unknown", "see schema above"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn session() -> Session {
        Session {
            version: "17.2".to_owned(),
            major: 17,
            synchronous_commit: "on".to_owned(),
            fsync: "on".to_owned(),
            replica: false,
            clock_ahead: TimeDelta::milliseconds(3),
            round_trip: Duration::from_millis(1),
        }
    }

    #[test]
    fn a_healthy_server_passes() {
        let session = session();
        for check in [version(&session), durability(&session), clock(&session)] {
            assert_eq!(check.status, Verdict::Ok, "{check:?}");
        }
    }

    #[test]
    fn what_may_lose_accepted_jobs_fails() {
        let off = Session {
            synchronous_commit: "off".to_owned(),
            ..session()
        };
        assert_eq!(durability(&off).status, Verdict::Fail);
        let off = Session {
            fsync: "off".to_owned(),
            ..session()
        };
        assert_eq!(durability(&off).status, Verdict::Fail);
        assert_eq!(
            version(&Session {
                major: 13,
                ..session()
            })
            .status,
            Verdict::Fail
        );
        assert_eq!(
            version(&Session {
                replica: true,
                ..session()
            })
            .status,
            Verdict::Fail
        );
    }

    #[test]
    fn a_clock_that_is_off_is_a_warning_in_both_directions() {
        for seconds in [-3_600, 3_600] {
            let off = Session {
                clock_ahead: TimeDelta::seconds(seconds),
                ..session()
            };
            assert_eq!(clock(&off).status, Verdict::Warn);
        }
    }
}
