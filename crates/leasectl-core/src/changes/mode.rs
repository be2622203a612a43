//! What is backfilled, as the latest word says.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::json;
use thiserror::Error;

use crate::database::{Database, DatabaseError};
use crate::ids::RepoId;
use crate::job::EnqueueRequest;
use crate::kind::{BACKFILL, CanonicalArgs, Priority};
use crate::lease::{FenceError, FencedTransaction};
use crate::time::Timestamp;

/// Which changes are kept current. In every mode but `off` each change is studied once, since that is how it is
/// known whether it is open, and again when its head moves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// None.
    Off,
    /// The open ones.
    OpenOnly,
    /// Those, and the ones whose head moved in the last seven days.
    OpenAndRecent,
    /// All of them, and the commits of the default branch.
    FullHistory,
}

/// The text names no mode.
#[derive(Debug, Error)]
#[error("there is no mode {0:?}; modes are off, open_only, open_and_recent and full_history")]
pub struct UnknownMode(pub String);

/// How much one job may do, where its arguments say so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Budget {
    /// Changes at most.
    pub max_changes: Option<u32>,
    /// Seconds at most.
    pub max_runtime_s: Option<u32>,
}

/// What the latest word about a repository's backfill says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Setting {
    /// Which changes are kept current.
    pub mode: Mode,
    /// The priority of the jobs that follow from fetches and passes.
    pub priority: Priority,
    /// When it was said.
    pub said_at: Timestamp,
}

impl Mode {
    /// The modes' names in JSON and SQL.
    pub const WORDS: [&'static str; 4] = ["off", "open_only", "open_and_recent", "full_history"];

    const ALL: [Self; 4] = [
        Self::Off,
        Self::OpenOnly,
        Self::OpenAndRecent,
        Self::FullHistory,
    ];

    /// The mode's name in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::OpenOnly => "open_only",
            Self::OpenAndRecent => "open_and_recent",
            Self::FullHistory => "full_history",
        }
    }

    /// The arguments of a `backfill`.
    #[must_use]
    pub fn args(self, budget: Budget) -> CanonicalArgs {
        let mut args = json!({ "mode": self.as_str() });
        if let Some(changes) = budget.max_changes {
            args["max_changes"] = changes.into();
        }
        if let Some(seconds) = budget.max_runtime_s {
            args["max_runtime_s"] = seconds.into();
        }
        CanonicalArgs::made(args)
    }

    pub(super) fn from_sql_name(name: &str) -> Result<Self, DatabaseError> {
        name.parse()
            .map_err(|UnknownMode(name)| DatabaseError::UnknownValue(name))
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| UnknownMode(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Says which changes are kept current, from now on; answers whether there is such a repository.
///
/// The later word wins. A `backfill` that is enqueued says one too, which counts from when the job was accepted: a
/// job that was accepted before this works in this mode.
///
/// # Errors
/// When the database is away.
pub async fn set_mode(
    database: &Database,
    repo_id: RepoId,
    mode: Mode,
    priority: Priority,
) -> Result<bool, DatabaseError> {
    let client = database.client().await?;
    let open = client
        .prepare_cached(include_str!("setting_open.sql"))
        .await?;
    client.execute(&open, &[&repo_id.as_uuid()]).await?;
    let say = client
        .prepare_cached(include_str!("setting_say.sql"))
        .await?;
    let said = client
        .execute(&say, &[&repo_id.as_uuid(), &mode.as_str(), &priority.get()])
        .await?;
    Ok(said == 1)
}

/// What the latest word about a repository's backfill says; nothing as long as nobody said one.
///
/// # Errors
/// When the database is away.
pub async fn setting(
    database: &Database,
    repo_id: RepoId,
) -> Result<Option<Setting>, DatabaseError> {
    let client = database.client().await?;
    let statement = client
        .prepare_cached(include_str!("setting_read.sql"))
        .await?;
    let row = client.query_opt(&statement, &[&repo_id.as_uuid()]).await?;
    row.map(|row| {
        Ok(Setting {
            mode: Mode::from_sql_name(row.get("mode"))?,
            priority: stored_priority(row.get("priority"))?,
            said_at: row.get("said_at"),
        })
    })
    .transpose()
}

/// The `backfill` that the mode of a repository asks for, to be enqueued in the same transaction; nothing when the
/// mode is `off`, or nobody said one. It repeats the latest word, and who says another one waits for the commit.
///
/// # Errors
/// When the database is away.
pub async fn pass_request(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
) -> Result<Option<EnqueueRequest>, FenceError> {
    repeated(fenced, repo_id, Budget::default()).await
}

/// The same with a budget.
pub(super) async fn repeated(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    budget: Budget,
) -> Result<Option<EnqueueRequest>, FenceError> {
    let transaction = fenced.statements();
    let statement = transaction
        .prepare_cached(include_str!("setting_repeat.sql"))
        .await?;
    let row = transaction
        .query_opt(&statement, &[&repo_id.as_uuid()])
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let mode = Mode::from_sql_name(row.get("mode"))?;
    let priority = stored_priority(row.get("priority"))?;
    let request = EnqueueRequest::new(repo_id, &BACKFILL, mode.args(budget));
    Ok(Some(request.priority(priority)))
}

fn stored_priority(value: i16) -> Result<Priority, DatabaseError> {
    Priority::try_from(i64::from(value))
        .map_err(|error| DatabaseError::UnknownValue(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kinds;

    #[test]
    fn the_arguments_are_those_that_the_kind_takes() {
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse::<Mode>().unwrap(), mode);
            assert!(Mode::WORDS.contains(&mode.as_str()));
            for budget in [
                Budget::default(),
                Budget {
                    max_changes: Some(7),
                    max_runtime_s: Some(60),
                },
            ] {
                let args = mode.args(budget);
                let checked = Kinds::standard().canonical_args("backfill", args.as_json());
                assert_eq!(checked.unwrap(), args);
            }
        }
        assert!("everything".parse::<Mode>().is_err());
    }
}
