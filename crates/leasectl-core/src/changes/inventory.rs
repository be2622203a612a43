//! What changes there are, as a fetch saw it.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::key::ChangeKey;
use crate::database::DatabaseError;
use crate::ids::RepoId;
use crate::index::ObjectId;
use crate::lease::{FenceError, FencedTransaction};

/// Rows of one statement; more only makes its memory larger.
const CHUNK: usize = 5_000;

/// A change that the remote has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InventoryEntry {
    /// Which one.
    pub key: ChangeKey,
    /// Its ref, such as `refs/pull/7/head`.
    pub reference: String,
    /// The commit to which it leads.
    pub head: ObjectId,
    /// What the forge made by merging it, where it says so in a ref.
    pub test_merge: Option<ObjectId>,
}

/// How an inventory differs from the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InventoryOutcome {
    /// Counts the inventories that differed.
    pub generation: i64,
    /// Changes that were not there before.
    pub created: u64,
    /// Changes that have another head.
    pub moved: u64,
    /// Changes that have the same head, and another test merge or ref.
    pub retested: u64,
    /// Changes that are gone.
    pub deleted: u64,
    /// Whether the default branch has another head.
    pub default_moved: bool,
    /// Whether there was none before.
    pub is_first: bool,
}

impl InventoryOutcome {
    /// Whether there is anything that a pass may have to study, or to find that there is nothing.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.is_first
            || self.default_moved
            || self.created + self.moved + self.retested + self.deleted > 0
    }
}

/// A change as it is stored.
struct Stored {
    id: i64,
    reference: String,
    head: ObjectId,
    test_merge: Option<ObjectId>,
}

/// What is to be written.
#[derive(Default)]
struct Difference<'a> {
    created: Vec<&'a InventoryEntry>,
    updated: Vec<(i64, &'a InventoryEntry)>,
    deleted: Vec<i64>,
    outcome: InventoryOutcome,
}

/// Replaces a repository's inventory by what a fetch saw of all its changes, under that fetch's fence. Of entries
/// with the same key the last one counts. Nothing is written when nothing differs, or the repository is gone.
///
/// # Errors
/// When the database is away.
pub async fn record_inventory(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    default_head: Option<ObjectId>,
    entries: &[InventoryEntry],
) -> Result<InventoryOutcome, FenceError> {
    let transaction = fenced.statements();
    let repo = repo_id.as_uuid();
    let open = include_str!("inventory_open.sql");
    let opened = execute(transaction, open, &[&repo]).await?;
    let lock = transaction
        .prepare_cached(include_str!("inventory_lock.sql"))
        .await?;
    let Some(before) = transaction.query_opt(&lock, &[&repo]).await? else {
        return Ok(InventoryOutcome::default());
    };
    let read = transaction
        .prepare_cached(include_str!("inventory_read.sql"))
        .await?;
    let stored = stored(&transaction.query(&read, &[&repo]).await?)?;
    let mut difference = Difference::of(entries, stored);
    let outcome = &mut difference.outcome;
    outcome.generation = before.get("generation");
    outcome.default_moved = before.get::<_, Option<ObjectId>>("default_head") != default_head;
    outcome.is_first = opened == 1;
    if !outcome.has_changed() {
        return Ok(*outcome);
    }
    let switch = transaction
        .prepare_cached(include_str!("inventory_switch.sql"))
        .await?;
    let switched = transaction
        .query_one(&switch, &[&repo, &default_head])
        .await?;
    outcome.generation = switched.get("generation");
    difference.write(transaction, repo_id).await?;
    Ok(difference.outcome)
}

fn stored(rows: &[Row]) -> Result<HashMap<ChangeKey, Stored>, DatabaseError> {
    rows.iter()
        .map(|row| {
            let stored = Stored {
                id: row.get("id"),
                reference: row.get("ref"),
                head: row.get("head"),
                test_merge: row.get("test_merge"),
            };
            Ok((ChangeKey::from_row(row)?, stored))
        })
        .collect()
}

impl<'a> Difference<'a> {
    fn of(entries: &'a [InventoryEntry], mut stored: HashMap<ChangeKey, Stored>) -> Self {
        let mut difference = Self::default();
        let entries: HashMap<ChangeKey, &InventoryEntry> =
            entries.iter().map(|entry| (entry.key, entry)).collect();
        for entry in entries.into_values() {
            difference.add(entry, stored.remove(&entry.key));
        }
        difference.deleted = stored.into_values().map(|stored| stored.id).collect();
        let number = |length| u64::try_from(length).unwrap_or(u64::MAX);
        difference.outcome.created = number(difference.created.len());
        difference.outcome.deleted = number(difference.deleted.len());
        // Rows are locked in the order of their ids by whoever locks several.
        difference.deleted.sort_unstable();
        difference.updated.sort_unstable_by_key(|(id, _)| *id);
        difference
    }

    fn add(&mut self, entry: &'a InventoryEntry, stored: Option<Stored>) {
        match stored {
            None => self.created.push(entry),
            Some(stored) if stored.head != entry.head => {
                self.outcome.moved += 1;
                self.updated.push((stored.id, entry));
            }
            Some(stored)
                if stored.test_merge != entry.test_merge || stored.reference != entry.reference =>
            {
                self.outcome.retested += 1;
                self.updated.push((stored.id, entry));
            }
            Some(_) => {}
        }
    }

    async fn write(
        &self,
        transaction: &Transaction<'_>,
        repo_id: RepoId,
    ) -> Result<(), FenceError> {
        for gone in self.deleted.chunks(CHUNK) {
            let sql = include_str!("inventory_delete.sql");
            execute(transaction, sql, &[&gone]).await?;
        }
        for moved in self.updated.chunks(CHUNK) {
            let ids: Vec<i64> = moved.iter().map(|(id, _)| *id).collect();
            let entries: Vec<&InventoryEntry> = moved.iter().map(|(_, entry)| *entry).collect();
            let (refs, heads, test_merges) = columns(&entries);
            let sql = include_str!("inventory_update.sql");
            execute(transaction, sql, &[&ids, &refs, &heads, &test_merges]).await?;
        }
        for new in self.created.chunks(CHUNK) {
            let families: Vec<&str> = new.iter().map(|entry| entry.key.family.as_str()).collect();
            let numbers: Vec<i64> = new.iter().map(|entry| entry.key.number).collect();
            let (refs, heads, test_merges) = columns(new);
            let repo = repo_id.as_uuid();
            let parameters: [&(dyn ToSql + Sync); 6] =
                [&repo, &families, &numbers, &refs, &heads, &test_merges];
            execute(
                transaction,
                include_str!("inventory_insert.sql"),
                &parameters,
            )
            .await?;
        }
        Ok(())
    }
}

type EntryColumns<'a> = (Vec<&'a str>, Vec<ObjectId>, Vec<Option<ObjectId>>);

fn columns<'a>(entries: &[&'a InventoryEntry]) -> EntryColumns<'a> {
    (
        entries.iter().map(|entry| &*entry.reference).collect(),
        entries.iter().map(|entry| entry.head).collect(),
        entries.iter().map(|entry| entry.test_merge).collect(),
    )
}

async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<u64, FenceError> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.execute(&statement, parameters).await?)
}
