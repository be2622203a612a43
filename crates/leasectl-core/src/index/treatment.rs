//! How files are treated, as their paths decide. There are a few dozen ways; each has a number, so that a
//! directory needs two bytes for it.

use std::collections::HashMap;

use super::author::Author;
use super::error::IndexError;
use super::ids::TreatmentId;
use crate::database::Client;

/// A way in which files are treated.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Treatment {
    /// The language, as the view `leasectl.index_files` says it.
    pub language: Option<String>,
    /// Whether the text is searched; if not, `skip` says why.
    pub text: bool,
    /// The extractor of symbols and imports, by name.
    pub tags: Option<String>,
    /// Why the text, or the symbols, are left out.
    pub skip: Option<String>,
}

/// The numbers of treatments, in their order. New ones are registered.
///
/// # Errors
/// When one leaves the text out and gives no reason, the lease is lost, or the database is away.
pub async fn treatment_ids<'a>(
    client: &mut Client,
    author: impl Into<Author<'a>>,
    wanted: &[Treatment],
) -> Result<Vec<TreatmentId>, IndexError> {
    let known = all(client).await?;
    if let Some(ids) = numbers(&known, wanted) {
        return Ok(ids);
    }
    let writing = author.into().begin(client).await?;
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for one in wanted.iter().filter(|one| !known.contains_key(*one)) {
        columns.0.push(one.language.as_deref());
        columns.1.push(one.text);
        columns.2.push(one.tags.as_deref());
        columns.3.push(one.skip.as_deref());
    }
    writing
        .statements()
        .execute(
            include_str!("treatments_insert.sql"),
            &[&columns.0, &columns.1, &columns.2, &columns.3],
        )
        .await?;
    writing.commit().await?;
    numbers(&all(client).await?, wanted).ok_or(IndexError::Gone)
}

async fn all(client: &Client) -> Result<HashMap<Treatment, TreatmentId>, IndexError> {
    let statement = client
        .prepare_cached(include_str!("treatments.sql"))
        .await?;
    let rows = client.query(&statement, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let treatment = Treatment {
                language: row.get("language"),
                text: row.get("text"),
                tags: row.get("tags"),
                skip: row.get("skip"),
            };
            (treatment, TreatmentId::new(row.get("id")))
        })
        .collect())
}

fn numbers(
    known: &HashMap<Treatment, TreatmentId>,
    wanted: &[Treatment],
) -> Option<Vec<TreatmentId>> {
    wanted.iter().map(|one| known.get(one).copied()).collect()
}
