//! The death signal: whether a killed worker would be seen at once, and why not.

use std::time::Duration;

use leasectl_core::database::{Database, DatabaseError, DatabaseUrl};
use leasectl_core::liveness::{LivenessError, LivenessSession, RefusedSetting};
use leasectl_core::worker;

use super::Check;
use crate::cli::with_causes;

/// How long the whole check may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do about a pooler.
const BYPASS: &str = "set DATABASE_DIRECT_URL to a URL that bypasses the pooler";

/// What is slower without the death signal.
const SLOWER: &str = "heartbeat: a killed worker is replaced after its --stale-after only";

/// Whether a worker that starts here could hold a liveness session.
pub(super) async fn session(direct: &DatabaseUrl) -> Check {
    match tokio::time::timeout(PATIENCE, try_session(direct)).await {
        Ok(Ok(refused)) => settings(&refused),
        Ok(Err(LivenessError::Pooler(sign))) => {
            Check::warn("liveness", format!("{SLOWER}: {sign}"), BYPASS)
        }
        Ok(Err(error)) => unreachable(direct, &with_causes(&error)),
        Err(_elapsed) => unreachable(direct, "no answer in time"),
    }
}

async fn try_session(direct: &DatabaseUrl) -> Result<Vec<RefusedSetting>, LivenessError> {
    let session = LivenessSession::open(direct).await?;
    session.probe(direct).await?;
    session.configure().await
}

fn unreachable(direct: &DatabaseUrl, cause: &str) -> Check {
    Check::warn(
        "liveness",
        format!("{SLOWER}: {direct}: {cause}"),
        "check DATABASE_DIRECT_URL, or DATABASE_URL if it is not set",
    )
}

fn settings(refused: &[RefusedSetting]) -> Check {
    // A socket has no keepalives, and needs none.
    let missing: Vec<&str> = refused
        .iter()
        .filter(|setting| !(setting.name.starts_with("tcp_") && setting.found == "0"))
        .map(|setting| setting.name)
        .collect();
    if missing.is_empty() {
        return Check::ok(
            "liveness",
            "session: a killed worker's jobs run elsewhere within a second",
        );
    }
    Check::warn(
        "liveness",
        format!(
            "session, but the server did not take {}",
            missing.join(", ")
        ),
        "allow the role to set them, or the death of a host is noticed late",
    )
}

/// Whether the liveness sessions of all live workers are watched.
pub(super) async fn workers(database: &Database) -> Check {
    match without_session(database).await {
        Ok(others) => match others.as_slice() {
            [] => Check::ok("watched workers", "all live ones are watched"),
            [(owner, reason), rest @ ..] => {
                let more = match rest.len() {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                Check::warn(
                    "watched workers",
                    format!("{owner} is judged by its heartbeats{more}: {reason}"),
                    "a worker that is not watched is replaced after its --stale-after only",
                )
            }
        },
        Err(_) => Check::warn("watched workers", "unknown", "see schema above"),
    }
}

async fn without_session(
    database: &Database,
) -> Result<Vec<(leasectl_core::ids::Owner, String)>, DatabaseError> {
    let client = database.client().await?;
    worker::without_session(&client).await
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn refused(name: &'static str, found: &str) -> RefusedSetting {
        RefusedSetting {
            name,
            found: found.to_owned(),
        }
    }

    #[test]
    fn a_socket_needs_no_keepalives() {
        let check = settings(&[refused("tcp_keepalives_idle", "0")]);
        assert_eq!(check.status, Verdict::Ok, "{check:?}");
    }

    #[test]
    fn a_setting_that_a_host_forbids_is_named() {
        let check = settings(&[refused("client_connection_check_interval", "forbidden")]);
        assert_eq!(check.status, Verdict::Warn);
        assert!(check.detail.contains("client_connection_check_interval"));
    }
}
