//! Answers about one tree. A caller holds a [`Root`] of a ref that it may see, so what it reads are blobs of
//! that tree.
//!
//! Symbols and imports come as the rows hold them and are taken apart here: the views' functions give a row
//! for each, which takes the server several times as long.

use super::error::IndexError;
use super::ids::{BlobId, DirId, LinksId, ObjectId};
use super::publish::{Root, object};
use super::tags::{Import, Symbol, unpack_imports, unpack_symbols};
use crate::database::{Client, DatabaseError};

/// A file of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexedFile {
    /// Its path.
    pub path: String,
    /// Its content's number.
    pub blob: BlobId,
    /// Its content's name.
    pub oid: ObjectId,
    /// Its language.
    pub language: Option<String>,
    /// Why its text or its symbols are left out.
    pub skip: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its lines, if its text can be searched.
    pub lines: Option<u32>,
}

/// A symbol of a file of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSymbol {
    /// The file.
    pub path: String,
    /// The symbol.
    pub symbol: Symbol,
}

/// An import of a file of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileImport {
    /// The file.
    pub path: String,
    /// The import.
    pub import: Import,
    /// To what it leads.
    pub resolved_path: Option<String>,
}

/// The files of a tree, directory by directory.
///
/// # Errors
/// When the database is away.
pub async fn files(client: &Client, root: DirId) -> Result<Vec<IndexedFile>, IndexError> {
    let statement = client.prepare_cached(include_str!("files.sql")).await?;
    let rows = client.query(&statement, &[&root.get()]).await?;
    let files = rows.iter().map(|row| {
        Ok(IndexedFile {
            path: row.get("path"),
            blob: BlobId::new(row.get("blob_id")),
            oid: object(row, "oid")?,
            language: row.get("language"),
            skip: row.get("skip"),
            bytes: row.get::<_, i64>("bytes").unsigned_abs(),
            lines: row.get::<_, Option<i32>>("lines").map(i32::unsigned_abs),
        })
    });
    Ok(files.collect::<Result<_, DatabaseError>>()?)
}

/// Every symbol of a tree.
///
/// # Errors
/// When the database is away.
pub async fn symbols(client: &Client, root: DirId) -> Result<Vec<FileSymbol>, IndexError> {
    read_symbols(client, root, None).await
}

/// The symbols of a tree that have that name.
///
/// # Errors
/// When the database is away.
pub async fn symbols_named(
    client: &Client,
    root: DirId,
    name: &str,
) -> Result<Vec<FileSymbol>, IndexError> {
    read_symbols(client, root, Some(name)).await
}

async fn read_symbols(
    client: &Client,
    root: DirId,
    name: Option<&str>,
) -> Result<Vec<FileSymbol>, IndexError> {
    let statement = client.prepare_cached(include_str!("symbols.sql")).await?;
    let rows = client.query(&statement, &[&root.get(), &name]).await?;
    let mut symbols = Vec::new();
    for row in rows {
        let path: &str = row.get("path");
        let found = unpack_symbols(row.get("symbols")).ok_or_else(|| unknown("symbols", path))?;
        let wanted = |symbol: &Symbol| name.is_none_or(|name| symbol.name == name);
        symbols.extend(found.into_iter().filter(wanted).map(|symbol| FileSymbol {
            path: path.to_owned(),
            symbol,
        }));
    }
    Ok(symbols)
}

/// The imports of a tree, each file's in their order. Before links are stored, none leads anywhere.
///
/// # Errors
/// When the database is away.
pub async fn imports(
    client: &Client,
    root: DirId,
    links: Option<LinksId>,
) -> Result<Vec<FileImport>, IndexError> {
    let statement = client.prepare_cached(include_str!("imports.sql")).await?;
    let links = links.map(LinksId::get);
    let rows = client.query(&statement, &[&root.get(), &links]).await?;
    let mut imports = Vec::new();
    for row in rows {
        let path: &str = row.get("path");
        let found = unpack_imports(row.get("imports")).ok_or_else(|| unknown("imports", path))?;
        let leads = row.get::<_, Option<&str>>("links").unwrap_or_default();
        let leads = leads.split("//").chain(std::iter::repeat(""));
        imports.extend(
            found
                .into_iter()
                .zip(leads)
                .map(|(import, leads)| FileImport {
                    path: path.to_owned(),
                    import,
                    resolved_path: (!leads.is_empty()).then(|| leads.to_owned()),
                }),
        );
    }
    Ok(imports)
}

/// Why the symbols and imports of a blob of a tree are left out, such as `too_slow`; nothing when they are there.
/// `extractors` are those of the file's language, by name.
///
/// # Errors
/// When the database is away.
pub async fn left_out(
    client: &Client,
    root: &Root,
    blob: BlobId,
    extractors: &[&str],
) -> Result<Option<String>, IndexError> {
    let statement = client.prepare_cached(include_str!("left_out.sql")).await?;
    let row = client
        .query_opt(&statement, &[&root.ruleset.get(), &blob.get(), &extractors])
        .await?;
    Ok(row.map(|row| row.get("skip")))
}

fn unknown(what: &str, path: &str) -> DatabaseError {
    DatabaseError::UnknownValue(format!("the {what} of {path}"))
}

/// The most vectors of one answer: what one holds is bounded by the size of the files that are indexed.
const MOST_VECTORS: usize = 256;

/// The vectors of the first blobs of a tree, and how many of them were looked at: a caller that assembles a
/// shard asks again for the rest, in bounded memory and without a snapshot that stays open. Blobs without
/// text are missing from the answer.
///
/// # Errors
/// When the database is away.
pub async fn vectors(
    client: &Client,
    root: &Root,
    blobs: &[BlobId],
) -> Result<(Vec<(BlobId, Vec<u8>)>, usize), IndexError> {
    let looked_at = blobs.len().min(MOST_VECTORS);
    let ids: Vec<i64> = blobs[..looked_at].iter().map(|blob| blob.get()).collect();
    let statement = client.prepare_cached(include_str!("vectors.sql")).await?;
    let rows = client
        .query(&statement, &[&root.ruleset.get(), &ids])
        .await?;
    let vectors = rows
        .iter()
        .map(|row| (BlobId::new(row.get("blob_id")), row.get("vector")))
        .collect();
    Ok((vectors, looked_at))
}
