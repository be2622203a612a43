//! What is there already: each question is one round trip, for thousands of names at once.

use super::error::IndexError;
use super::ids::{BlobId, Context, DirId, ExtractorId, ObjectId};
use super::publish::Root;
use super::scope::IndexScope;
use crate::database::Client;

/// A blob that is known, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownBlob {
    /// Its number.
    pub id: BlobId,
    /// Its size in bytes.
    pub bytes: u64,
    /// What the ruleset's extractor of the text said of it, if it has seen it.
    pub text: Option<KnownText>,
    /// The extractors whose symbols and imports are there, of whatever version.
    pub tags: Vec<ExtractorId>,
}

/// What the extractor of the text said of a blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownText {
    /// Why there is no text, such as `binary`.
    pub skip: Option<String>,
    /// What was noted of the content for when it is found under another path.
    pub hint: Option<String>,
}

/// What is known of blobs, in their order.
///
/// # Errors
/// When the database is away.
pub async fn known_blobs(
    client: &Client,
    scope: &IndexScope,
    oids: &[ObjectId],
) -> Result<Vec<Option<KnownBlob>>, IndexError> {
    let names: Vec<&[u8]> = oids.iter().map(ObjectId::as_bytes).collect();
    let statement = client
        .prepare_cached(include_str!("known_blobs.sql"))
        .await?;
    let text = scope.text()?.get();
    let rows = client
        .query(&statement, &[&scope.domain().get(), &text, &names])
        .await?;
    let mut known = vec![None; oids.len()];
    for row in rows {
        let extracted: bool = row.get("extracted");
        let blob = KnownBlob {
            id: BlobId::new(row.get("id")),
            bytes: row.get::<_, i64>("bytes").unsigned_abs(),
            text: extracted.then(|| KnownText {
                skip: row.get("skip"),
                hint: row.get("hint"),
            }),
            tags: row
                .get::<_, Vec<i16>>("tags")
                .into_iter()
                .map(ExtractorId::new)
                .collect(),
        };
        put(&mut known, row.get("ord"), blob);
    }
    Ok(known)
}

/// The directories that are there for the scope, complete with all that is below, in their order.
///
/// # Errors
/// When the database is away.
pub async fn known_dirs(
    client: &Client,
    scope: &IndexScope,
    dirs: &[(ObjectId, Context)],
) -> Result<Vec<Option<DirId>>, IndexError> {
    let oids: Vec<&[u8]> = dirs.iter().map(|(oid, _)| oid.as_bytes()).collect();
    let contexts: Vec<&[u8]> = dirs.iter().map(|(_, context)| context.as_bytes()).collect();
    let statement = client
        .prepare_cached(include_str!("known_dirs.sql"))
        .await?;
    let (ruleset, domain) = (scope.ruleset().get(), scope.domain().get());
    let rows = client
        .query(&statement, &[&ruleset, &domain, &oids, &contexts])
        .await?;
    let mut known = vec![None; dirs.len()];
    for row in rows {
        put(&mut known, row.get("ord"), DirId::new(row.get("id")));
    }
    Ok(known)
}

/// The tree, when it was published before, for whatever ref: it can be published again as it is.
///
/// # Errors
/// When the database is away.
pub async fn known_root(
    client: &Client,
    scope: &IndexScope,
    tree: ObjectId,
) -> Result<Option<Root>, IndexError> {
    let statement = client
        .prepare_cached(include_str!("known_root.sql"))
        .await?;
    let (ruleset, domain) = (scope.ruleset().get(), scope.domain().get());
    let row = client
        .query_opt(&statement, &[&ruleset, &domain, &tree.as_bytes()])
        .await?;
    Ok(row.as_ref().map(Root::from_row).transpose()?)
}

/// The tree of a commit, when it was published for that commit before, whoever asked: it can be published again
/// as it is, and nobody needs the commit itself for that.
///
/// # Errors
/// When the database is away.
pub async fn known_commit(
    client: &Client,
    scope: &IndexScope,
    commit: ObjectId,
) -> Result<Option<Root>, IndexError> {
    let statement = client
        .prepare_cached(include_str!("known_commit.sql"))
        .await?;
    let (ruleset, domain) = (scope.ruleset().get(), scope.domain().get());
    let row = client
        .query_opt(&statement, &[&ruleset, &domain, &commit.as_bytes()])
        .await?;
    Ok(row.as_ref().map(Root::from_row).transpose()?)
}

/// Puts what a row says at its place, counted from 1.
pub(super) fn put<T>(places: &mut [Option<T>], ord: i64, value: T) {
    let place = usize::try_from(ord - 1).ok();
    if let Some(place) = place.and_then(|place| places.get_mut(place)) {
        *place = Some(value);
    }
}
