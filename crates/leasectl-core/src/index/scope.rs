//! What a run works with: the trust domain of its repository, and the extractor versions of its release.

use tokio_postgres::Row;

use super::author::Author;
use super::error::{IndexError, TRIES};
use super::ids::{DomainId, ExtractorId, RulesetId};
use crate::database::{Client, DatabaseError};
use crate::ids::RepoId;

/// The extractor of the text; every ruleset has it.
pub const TEXT_EXTRACTOR: &str = "trigram";

/// One version of an extractor, or of the rules by which files are treated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Extractor<'a> {
    /// Its name: lower-case letters, digits, dots and dashes, such as `tags.rust`.
    pub name: &'a str,
    /// Its version, from 1.
    pub version: i32,
}

/// A trust domain and a ruleset: what is looked up and stored belongs to both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexScope {
    domain: DomainId,
    ruleset: RulesetId,
    /// By name.
    extractors: Vec<(String, ExtractorId)>,
}

impl IndexScope {
    /// The trust domain.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// The ruleset.
    #[must_use]
    pub fn ruleset(&self) -> RulesetId {
        self.ruleset
    }

    /// The ruleset's version of the extractor of that name.
    #[must_use]
    pub fn extractor(&self, name: &str) -> Option<ExtractorId> {
        self.extractors
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, id)| *id)
    }

    /// The extractor of the text.
    pub(super) fn text(&self) -> Result<ExtractorId, IndexError> {
        self.extractor(TEXT_EXTRACTOR).ok_or(IndexError::BadRuleset)
    }
}

/// The scope of a repository for these extractors; nothing when it is not registered. Ask once for each run:
/// it also keeps the ruleset from being collected.
///
/// Usually one round trip; the first run of a release or a trust domain registers what is new.
///
/// # Errors
/// When the extractors lack `trigram` or one is named twice, the lease is lost, or the database is away.
pub async fn open_scope<'a>(
    client: &mut Client,
    author: impl Into<Author<'a>>,
    repo_id: RepoId,
    extractors: &[Extractor<'_>],
) -> Result<Option<IndexScope>, IndexError> {
    let author = author.into();
    let mut sorted = extractors.to_vec();
    sorted.sort_unstable();
    let named_twice = sorted.windows(2).any(|pair| pair[0].name == pair[1].name);
    if named_twice || !sorted.iter().any(|one| one.name == TEXT_EXTRACTOR) {
        return Err(IndexError::BadRuleset);
    }
    for _ in 0..TRIES {
        let statement = client.prepare_cached(include_str!("scope.sql")).await?;
        let key = key_of(&sorted);
        let row = client
            .query_opt(&statement, &[&repo_id.as_uuid(), &key])
            .await?;
        let Some(row) = row else { return Ok(None) };
        if let Some(scope) = scope_of(&row)? {
            if row.get("unused") {
                touch(client, author, scope.ruleset).await?;
            }
            return Ok(Some(scope));
        }
        match register(client, author, repo_id, &sorted, &key).await {
            Err(error) if !error.is_lost_race() => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Err(IndexError::Gone)
}

fn key_of(sorted: &[Extractor<'_>]) -> String {
    let named: Vec<String> = sorted
        .iter()
        .map(|one| format!("{}@{}", one.name, one.version))
        .collect();
    named.join(" ")
}

fn scope_of(row: &Row) -> Result<Option<IndexScope>, DatabaseError> {
    let domain: Option<i32> = row.try_get("domain_id")?;
    let ruleset: Option<i32> = row.try_get("ruleset_id")?;
    let names: Vec<String> = row.try_get("names")?;
    let ids: Vec<i16> = row.try_get("extractor_ids")?;
    Ok(domain.zip(ruleset).map(|(domain, ruleset)| IndexScope {
        domain: DomainId::new(domain),
        ruleset: RulesetId::new(ruleset),
        extractors: names
            .into_iter()
            .zip(ids.into_iter().map(ExtractorId::new))
            .collect(),
    }))
}

async fn touch(
    client: &mut Client,
    author: Author<'_>,
    ruleset: RulesetId,
) -> Result<(), IndexError> {
    let writing = author.begin(client).await?;
    let statement = writing
        .statements()
        .prepare_cached(include_str!("scope_touch.sql"))
        .await?;
    writing
        .statements()
        .execute(&statement, &[&ruleset.get()])
        .await?;
    Ok(writing.commit().await?)
}

/// Registers what is missing, each in the order of its names.
async fn register(
    client: &mut Client,
    author: Author<'_>,
    repo_id: RepoId,
    sorted: &[Extractor<'_>],
    key: &str,
) -> Result<(), IndexError> {
    let (names, versions): (Vec<&str>, Vec<i32>) =
        sorted.iter().map(|one| (one.name, one.version)).unzip();
    let writing = author.begin(client).await?;
    let transaction = writing.statements();
    transaction
        .execute(include_str!("scope_domain.sql"), &[&repo_id.as_uuid()])
        .await?;
    transaction
        .execute(include_str!("scope_extractors.sql"), &[&names, &versions])
        .await?;
    transaction
        .execute(include_str!("scope_ruleset.sql"), &[&key])
        .await?;
    transaction
        .execute(
            include_str!("scope_ruleset_extractors.sql"),
            &[&key, &names, &versions],
        )
        .await?;
    Ok(writing.commit().await?)
}
