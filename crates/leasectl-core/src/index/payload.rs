//! Storing blobs with what extractors say of them.

use tokio_postgres::types::ToSql;

use super::author::{Author, Writing};
use super::error::{IndexError, TRIES};
use super::ids::{BlobId, ExtractorId, ObjectId};
use super::scope::IndexScope;
use super::tags::{Import, Symbol, pack_imports, pack_symbols};
use crate::database::Client;

/// A blob, and what is new about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewBlob {
    /// Its name.
    pub oid: ObjectId,
    /// Its size in bytes.
    pub bytes: u64,
    /// What the ruleset's extractor of the text says; nothing when that is there, or not wanted.
    pub text: Option<TextPayload>,
    /// What extractors of symbols and imports say.
    pub tags: Vec<(ExtractorId, TagsPayload)>,
}

/// What the extractor of the text says of a blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TextPayload {
    /// It can be searched.
    Vector {
        /// How many lines it has.
        lines: u32,
        /// Its trigrams, compressed by the extractor.
        vector: Vec<u8>,
        /// What the content says that matters once it is found under another path.
        hint: Option<String>,
    },
    /// It cannot.
    Skipped {
        /// Why, such as `binary`.
        reason: String,
        /// As above.
        hint: Option<String>,
    },
}

/// What an extractor of symbols and imports says of a blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TagsPayload {
    /// What it found.
    Found {
        /// The definitions.
        symbols: Vec<Symbol>,
        /// The imports, in the order in which their links are given later.
        imports: Vec<Import>,
    },
    /// Nothing, such as for a file that takes too long to parse.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// The most blobs of one transaction.
const BATCH: usize = 1_000;
/// About the most bytes of one transaction.
const BATCH_BYTES: usize = 4 << 20;

/// Stores blobs and payloads, in as many transactions as bound each; their numbers come in the order of
/// the blobs. What is there already stays as it is. Each transaction is durable progress of the job.
///
/// # Errors
/// When the lease is lost, the ruleset was collected meanwhile, or the database is away.
pub async fn store_payloads<'a>(
    client: &mut Client,
    author: impl Into<Author<'a>>,
    scope: &IndexScope,
    blobs: &[NewBlob],
) -> Result<Vec<BlobId>, IndexError> {
    let author = author.into();
    let mut order: Vec<usize> = (0..blobs.len()).collect();
    order.sort_by_key(|&place| blobs[place].oid);
    let mut ids = vec![BlobId::new(0); blobs.len()];
    let mut rest = &order[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_length(blobs, rest));
        let sorted: Vec<&NewBlob> = batch.iter().map(|&place| &blobs[place]).collect();
        for (place, id) in batch
            .iter()
            .zip(store_batch(client, author, scope, &sorted).await?)
        {
            ids[*place] = id;
        }
        rest = later;
    }
    Ok(ids)
}

fn batch_length(blobs: &[NewBlob], order: &[usize]) -> usize {
    let mut bytes = 0;
    let fits = order.iter().take(BATCH).take_while(|&&place| {
        let first = bytes == 0;
        bytes += blobs[place].weight();
        first || bytes <= BATCH_BYTES
    });
    fits.count()
}

impl NewBlob {
    /// About how many bytes are sent for it.
    #[must_use]
    pub fn weight(&self) -> usize {
        let text = match &self.text {
            Some(TextPayload::Vector { vector, .. }) => vector.len(),
            Some(TextPayload::Skipped { .. }) | None => 0,
        };
        let tags: usize = self.tags.iter().map(|(_, tags)| tags.weight()).sum();
        64 + text + tags
    }
}

impl TagsPayload {
    fn weight(&self) -> usize {
        match self {
            Self::Found { symbols, imports } => {
                let names: usize = symbols.iter().map(|symbol| symbol.name.len() + 12).sum();
                let targets: usize = imports.iter().map(|import| import.target.len() + 8).sum();
                names + targets
            }
            Self::Skipped { .. } => 0,
        }
    }
}

async fn store_batch(
    client: &mut Client,
    author: Author<'_>,
    scope: &IndexScope,
    sorted: &[&NewBlob],
) -> Result<Vec<BlobId>, IndexError> {
    for _ in 1..TRIES {
        match try_store_batch(client, author, scope, sorted).await {
            Err(error) if error.is_lost_race() || matches!(error, IndexError::Gone) => {}
            answer => return answer,
        }
    }
    try_store_batch(client, author, scope, sorted).await
}

/// The blobs in the order of their names, then the payloads in the order of the blobs' numbers.
async fn try_store_batch(
    client: &mut Client,
    author: Author<'_>,
    scope: &IndexScope,
    sorted: &[&NewBlob],
) -> Result<Vec<BlobId>, IndexError> {
    let writing = author.begin(client).await?;
    let ids = store_blobs(&writing, scope, sorted).await?;
    let mut numbered: Vec<(i64, &NewBlob)> = ids
        .iter()
        .map(|id| id.get())
        .zip(sorted.iter().copied())
        .collect();
    numbered.sort_unstable_by_key(|(id, _)| *id);
    store_texts(&writing, scope, &numbered).await?;
    store_tags(&writing, &numbered).await?;
    writing.mark_durable();
    writing.commit().await?;
    Ok(ids)
}

async fn execute(
    writing: &Writing<'_>,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<(), IndexError> {
    let statement = writing.statements().prepare_cached(sql).await?;
    writing.statements().execute(&statement, parameters).await?;
    Ok(())
}

async fn store_blobs(
    writing: &Writing<'_>,
    scope: &IndexScope,
    sorted: &[&NewBlob],
) -> Result<Vec<BlobId>, IndexError> {
    let domain = scope.domain().get();
    let oids: Vec<&[u8]> = sorted.iter().map(|blob| blob.oid.as_bytes()).collect();
    let bytes: Vec<i64> = sorted
        .iter()
        .map(|blob| i64::try_from(blob.bytes).unwrap_or(i64::MAX))
        .collect();
    let insert = include_str!("blobs_insert.sql");
    execute(writing, insert, &[&domain, &oids, &bytes]).await?;
    let lock = writing
        .statements()
        .prepare_cached(include_str!("blobs_lock.sql"))
        .await?;
    let rows = writing.statements().query(&lock, &[&domain, &oids]).await?;
    let mut ids = vec![None; sorted.len()];
    for row in rows {
        super::known::put(&mut ids, row.get("ord"), BlobId::new(row.get("id")));
    }
    // The collector took one between the two statements.
    ids.into_iter()
        .map(|id| id.ok_or(IndexError::Gone))
        .collect()
}

async fn store_texts(
    writing: &Writing<'_>,
    scope: &IndexScope,
    numbered: &[(i64, &NewBlob)],
) -> Result<(), IndexError> {
    let mut ids = Vec::with_capacity(numbered.len());
    let (mut lines, mut skips, mut hints, mut vectors) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, blob) in numbered {
        let (count, skip, hint, vector) = match &blob.text {
            None => continue,
            Some(TextPayload::Vector {
                lines,
                vector,
                hint,
            }) => {
                let lines = i32::try_from(*lines).unwrap_or(i32::MAX);
                (Some(lines), None, hint, Some(vector.as_slice()))
            }
            Some(TextPayload::Skipped { reason, hint }) => {
                (None, Some(reason.as_str()), hint, None)
            }
        };
        ids.push(*id);
        lines.push(count);
        skips.push(skip);
        hints.push(hint.as_deref());
        vectors.push(vector);
    }
    if ids.is_empty() {
        return Ok(());
    }
    let text = scope.text()?.get();
    let parameters: [&(dyn ToSql + Sync); 6] = [&text, &ids, &lines, &skips, &hints, &vectors];
    execute(writing, include_str!("text_insert.sql"), &parameters).await
}

async fn store_tags(writing: &Writing<'_>, numbered: &[(i64, &NewBlob)]) -> Result<(), IndexError> {
    let (mut ids, mut extractors, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut skips, mut symbols, mut imports) = (Vec::new(), Vec::new(), Vec::new());
    for (id, blob) in numbered {
        for (extractor, tags) in &blob.tags {
            let (count, skip, packed, asked) = match tags {
                TagsPayload::Found { symbols, imports } => {
                    let count = i32::try_from(symbols.len()).unwrap_or(i32::MAX);
                    (count, None, pack_symbols(symbols), pack_imports(imports))
                }
                TagsPayload::Skipped { reason } => (0, Some(reason.as_str()), None, None),
            };
            ids.push(*id);
            extractors.push(extractor.get());
            counts.push(count);
            skips.push(skip);
            symbols.push(packed);
            imports.push(asked);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&ids, &extractors, &counts, &skips, &symbols, &imports];
    execute(writing, include_str!("tags_insert.sql"), &parameters).await
}
