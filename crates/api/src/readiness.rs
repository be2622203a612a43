//! Whether requests can be served, asked of the database at most a few times a second.
//!
//! The probe is open to everybody, so it must not be a way to keep the database busy: probes that
//! come together share one look.

use std::time::{Duration, Instant};

use leasectl_core::database::Database;
use leasectl_core::migrations;
use tokio::sync::Mutex;

use crate::problem::{Code, Problem};

/// How long a look counts.
const FRESH: Duration = Duration::from_millis(250);

/// The time in which the database must answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// The last look.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), Problem>)>>);

impl Readiness {
    /// Whether the database answers and its schema is this program's.
    ///
    /// # Errors
    /// 503 with the reason.
    pub(crate) async fn of(&self, database: &Database) -> Result<(), Problem> {
        let mut last = self.0.lock().await;
        if let Some((when, verdict)) = last.as_ref()
            && when.elapsed() < FRESH
        {
            return verdict.clone();
        }
        let verdict = look(database).await;
        *last = Some((Instant::now(), verdict.clone()));
        verdict
    }
}

async fn look(database: &Database) -> Result<(), Problem> {
    let pending = tokio::time::timeout(DEADLINE, migrations::pending(database))
        .await
        .map_err(|elapsed| Problem::unavailable(&elapsed))??;
    if pending.newer.is_some() || !pending.pending.is_empty() {
        return Err(Problem::new(
            Code::MigrationsPending,
            "the database's schema is not this program's; run worker migrate, or update it",
        ));
    }
    Ok(())
}
