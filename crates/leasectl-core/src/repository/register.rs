//! Registering a repository. It needs no network: the canonical URL is its identity.

use std::ops::RangeInclusive;
use std::time::Duration;

use leasectl_remote::{RemoteUrl, RepoName};
use thiserror::Error;

use super::{RepoRef, Repository, find};
use crate::database::{Database, DatabaseError};
use crate::time::seconds;

/// How many suggestions are tried when a name is taken.
const SUGGESTIONS: u32 = 100;

/// How often a repository may be fetched unasked.
pub const FETCH_EVERY: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 60 * 60);

/// A repository to register.
#[derive(Clone, Debug)]
pub struct NewRepository {
    /// The remote.
    pub git_url: RemoteUrl,
    /// Its label; the URL's own when none is given.
    pub name: Option<RepoName>,
    /// The default branch; the remote's own when none is given.
    pub default_branch: Option<String>,
    /// How often to fetch it unasked.
    pub fetch_every: Option<Duration>,
}

/// A repository that is registered now.
#[derive(Clone, PartialEq, Debug)]
pub struct Registered {
    /// The repository.
    pub repository: Repository,
    /// Whether it was registered by this call.
    pub created: bool,
    /// Whether it was registered already, and is fetched at another interval from now on.
    pub rescheduled: bool,
}

/// Why a repository was not registered.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// Another remote has this name.
    #[error("the name {name} is taken by another repository; {suggestion} is free")]
    NameTaken {
        /// The name asked for.
        name: RepoName,
        /// One that is free.
        suggestion: RepoName,
    },
    /// The database is away.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<tokio_postgres::Error> for RegisterError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Registers a repository, or finds the one that has this URL already, whose schedule becomes the one that is given,
/// if any is; all else of it stays. When the URL's own name is taken by another remote and no name was asked for, a
/// free one is chosen.
///
/// # Errors
/// When the name asked for is taken, or the database away.
pub async fn register(
    database: &Database,
    new: &NewRepository,
) -> Result<Registered, RegisterError> {
    let wanted = new
        .name
        .clone()
        .unwrap_or_else(|| new.git_url.suggested_name());
    for number in 1..SUGGESTIONS {
        let name = if number == 1 {
            wanted.clone()
        } else {
            wanted.numbered(number)
        };
        if let Some(repository) = find(database, &RepoRef::Url(new.git_url.clone())).await? {
            let rescheduled = reschedule(database, &repository, new.fetch_every).await?;
            return Ok(Registered {
                created: false,
                rescheduled: rescheduled.is_some(),
                repository: rescheduled.unwrap_or(repository),
            });
        }
        // A number asks whether a suggestion is free; the name asked for was taken then.
        if number > 1 && new.name.is_some() {
            if find(database, &RepoRef::Name(name.clone()))
                .await?
                .is_none()
            {
                return Err(RegisterError::NameTaken {
                    name: wanted,
                    suggestion: name,
                });
            }
            continue;
        }
        if let Some(repository) = insert(database, new, &name).await? {
            return Ok(Registered {
                repository,
                created: true,
                rescheduled: false,
            });
        }
    }
    Err(RegisterError::NameTaken {
        name: wanted.clone(),
        suggestion: wanted.numbered(SUGGESTIONS),
    })
}

/// Gives a registered repository another schedule; none when it keeps the one it has.
async fn reschedule(
    database: &Database,
    repository: &Repository,
    fetch_every: Option<Duration>,
) -> Result<Option<Repository>, RegisterError> {
    let Some(fetch_every) = fetch_every.map(seconds) else {
        return Ok(None);
    };
    let client = database.client().await?;
    let sql = include_str!("reschedule.sql");
    let statement = client.prepare_cached(sql).await?;
    let row = client
        .query_opt(&statement, &[&repository.id.as_uuid(), &fetch_every])
        .await?;
    Ok(row.as_ref().map(Repository::from_row))
}

/// Inserts the repository; none when its URL or its name is there already.
async fn insert(
    database: &Database,
    new: &NewRepository,
    name: &RepoName,
) -> Result<Option<Repository>, RegisterError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(include_str!("register.sql")).await?;
    let fetch_every = new.fetch_every.map(seconds);
    let row = client
        .query_opt(
            &statement,
            &[
                &name.as_str(),
                &new.git_url.as_str(),
                &new.default_branch,
                &fetch_every,
            ],
        )
        .await?;
    Ok(row.as_ref().map(Repository::from_row))
}
