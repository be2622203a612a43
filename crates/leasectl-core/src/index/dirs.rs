//! Storing directories, a level at a time from the leaves to the root.
//!
//! **Invariant.** Each batch is a transaction of its own, in the order of the key: two runs that take the same
//! directory for different levels, because one of them found more below it, cannot wait in a circle.

use tokio_postgres::types::ToSql;

use super::author::Author;
use super::error::{IndexError, TRIES};
use super::ids::{BlobId, Context, DirId, EntryName, ObjectId, TreatmentId};
use super::known::put;
use super::scope::IndexScope;
use crate::database::Client;

/// A directory of which everything below is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDir {
    /// The tree object.
    pub oid: ObjectId,
    /// What the directories above decide about it.
    pub context: Context,
    /// Its files.
    pub files: Vec<NewFile>,
    /// Its directories, by name.
    pub dirs: Vec<(EntryName, DirId)>,
}

/// A file of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewFile {
    /// Its name.
    pub name: EntryName,
    /// Its content, with every payload that its treatment asks for.
    pub blob: BlobId,
    /// How it is treated.
    pub treatment: TreatmentId,
}

/// The most entries of one transaction, unless one directory has more.
const BATCH_ENTRIES: usize = 10_000;
/// The most directories of one transaction.
const BATCH: usize = 1_000;

/// Stores directories that do not name each other; their numbers come in their order. What is there already
/// stays as it is.
///
/// # Errors
/// [`IndexError::Gone`] when something that one names is not there, or lacks a payload; also when a tree has
/// too many paths, the lease is lost, or the database is away.
pub async fn store_dirs<'a>(
    client: &mut Client,
    author: impl Into<Author<'a>>,
    scope: &IndexScope,
    level: &[NewDir],
) -> Result<Vec<DirId>, IndexError> {
    let author = author.into();
    let mut order: Vec<usize> = (0..level.len()).collect();
    order.sort_by_key(|&place| (level[place].oid, level[place].context));
    let mut ids = vec![DirId::new(0); level.len()];
    let mut rest = &order[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_length(level, rest));
        let sorted: Vec<&NewDir> = batch.iter().map(|&place| &level[place]).collect();
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

fn batch_length(level: &[NewDir], order: &[usize]) -> usize {
    let mut entries = 0;
    let fits = order.iter().take(BATCH).take_while(|&&place| {
        let first = entries == 0;
        entries += 1 + level[place].files.len() + level[place].dirs.len();
        first || entries <= BATCH_ENTRIES
    });
    fits.count()
}

async fn store_batch(
    client: &mut Client,
    author: Author<'_>,
    scope: &IndexScope,
    sorted: &[&NewDir],
) -> Result<Vec<DirId>, IndexError> {
    let columns = Columns::of(sorted);
    for _ in 1..TRIES {
        match columns.store(client, author, scope).await {
            Err(error) if error.is_lost_race() => {}
            answer => return answer,
        }
    }
    columns.store(client, author, scope).await
}

/// The columns of a batch. A directory's own entries are a slice of all, from and to a place from 1.
#[derive(Default)]
struct Columns<'a> {
    oids: Vec<&'a [u8]>,
    contexts: Vec<&'a [u8]>,
    file_names: Vec<String>,
    files_from: Vec<i32>,
    files_to: Vec<i32>,
    blobs: Vec<i64>,
    treatments: Vec<i16>,
    dir_names: Vec<String>,
    dirs_from: Vec<i32>,
    dirs_to: Vec<i32>,
    dirs: Vec<i64>,
}

fn place(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn joined<'a>(names: impl Iterator<Item = &'a EntryName>) -> String {
    let names: Vec<&str> = names.map(EntryName::as_str).collect();
    names.join("/")
}

impl<'a> Columns<'a> {
    fn of(sorted: &[&'a NewDir]) -> Self {
        let mut columns = Self::default();
        for dir in sorted {
            columns.push(dir);
        }
        columns
    }

    fn push(&mut self, dir: &'a NewDir) {
        self.oids.push(dir.oid.as_bytes());
        self.contexts.push(dir.context.as_bytes());
        self.file_names
            .push(joined(dir.files.iter().map(|file| &file.name)));
        self.files_from.push(place(self.blobs.len() + 1));
        self.blobs
            .extend(dir.files.iter().map(|file| file.blob.get()));
        self.treatments
            .extend(dir.files.iter().map(|file| file.treatment.get()));
        self.files_to.push(place(self.blobs.len()));
        self.dir_names
            .push(joined(dir.dirs.iter().map(|(name, _)| name)));
        self.dirs_from.push(place(self.dirs.len() + 1));
        self.dirs.extend(dir.dirs.iter().map(|(_, id)| id.get()));
        self.dirs_to.push(place(self.dirs.len()));
    }

    async fn store(
        &self,
        client: &mut Client,
        author: Author<'_>,
        scope: &IndexScope,
    ) -> Result<Vec<DirId>, IndexError> {
        let (ruleset, domain) = (scope.ruleset().get(), scope.domain().get());
        let writing = author.begin(client).await?;
        let transaction = writing.statements();
        let insert = transaction
            .prepare_cached(include_str!("dirs_insert.sql"))
            .await?;
        let parameters: [&(dyn ToSql + Sync); 13] = [
            &ruleset,
            &domain,
            &self.oids,
            &self.contexts,
            &self.file_names,
            &self.files_from,
            &self.files_to,
            &self.blobs,
            &self.treatments,
            &self.dir_names,
            &self.dirs_from,
            &self.dirs_to,
            &self.dirs,
        ];
        transaction.execute(&insert, &parameters).await?;
        let known = transaction
            .prepare_cached(include_str!("known_dirs.sql"))
            .await?;
        let rows = transaction
            .query(&known, &[&ruleset, &domain, &self.oids, &self.contexts])
            .await?;
        let mut ids = vec![None; self.oids.len()];
        for row in rows {
            put(&mut ids, row.get("ord"), DirId::new(row.get("id")));
        }
        writing.mark_durable();
        writing.commit().await?;
        ids.into_iter()
            .map(|id| id.ok_or(IndexError::Gone))
            .collect()
    }
}
