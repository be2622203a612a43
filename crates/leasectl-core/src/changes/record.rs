//! Writing what was found of changes, a batch at a time.

use std::collections::HashSet;

use deadpool_postgres::Transaction;
use tokio_postgres::types::{Json, ToSql};

use super::columns::{CommitColumns, FileColumns, Slices};
use super::due::Due;
use super::facts::{Snapshot, total};
use super::key::ChangeKey;
use super::pass::Pass;
use crate::failure::JobError;
use crate::ids::RepoId;
use crate::index::ObjectId;
use crate::lease::{FenceError, FencedTransaction};

/// The most changes of one transaction.
pub const BATCH: usize = 64;

/// How often a change is tried before it waits for somebody to ask.
const TRIES: i16 = 5;

/// What came of studying a change.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Its facts.
    Snapshot(Box<Snapshot>),
    /// They are what is known, though the target's commit may be another one: head, merge base, and whether it is
    /// open are the same.
    Unchanged {
        /// The commit of the target with which it was compared.
        base: Option<ObjectId>,
    },
    /// None.
    Failed(JobError),
}

/// A change that was studied.
#[derive(Clone, PartialEq, Debug)]
pub struct Studied {
    /// The change, as it was due.
    pub due: Due,
    /// What came of it.
    pub outcome: Outcome,
}

/// What was written of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchOutcome {
    /// Snapshots.
    pub written: usize,
    /// Changes that are what they were.
    pub unchanged: usize,
    /// Changes that could not be studied.
    pub failed: usize,
    /// Changes that a fetch deleted meanwhile; nothing is written of them.
    pub gone: usize,
}

/// A change with its number.
type Found<'a, T> = (i64, &'a Due, T);

/// Writes a batch of at most [`BATCH`] changes and how far the pass has come, in a transaction that is durable
/// progress. Batches of one transaction add up to more work that is lost with it.
///
/// # Errors
/// When the database is away.
pub async fn record_batch(
    fenced: &FencedTransaction<'_>,
    pass: &Pass,
    studied: &[Studied],
    cursor: ChangeKey,
) -> Result<BatchOutcome, FenceError> {
    let transaction = fenced.statements();
    let there = locked(transaction, pass.repo_id, studied).await?;
    let (mut snapshots, mut unchanged, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for Studied { due, outcome } in studied {
        let id = due.id.get();
        if !there.contains(&id) {
            continue;
        }
        match outcome {
            Outcome::Snapshot(snapshot) => snapshots.push((id, due, &**snapshot)),
            Outcome::Unchanged { base } => unchanged.push((id, due, *base)),
            Outcome::Failed(error) => failed.push((id, due, error)),
        }
    }
    let succeeded: Vec<i64> = snapshots
        .iter()
        .map(|(id, _, _)| *id)
        .chain(unchanged.iter().map(|(id, _, _)| *id))
        .collect();
    let forget = include_str!("record_successes.sql");
    execute(transaction, forget, &[&succeeded]).await?;
    write_snapshots(transaction, pass, &snapshots).await?;
    write_files(transaction, pass.repo_id, &snapshots).await?;
    write_commits(transaction, &snapshots).await?;
    write_unchanged(transaction, pass, &unchanged).await?;
    write_failures(transaction, pass.repo_id, &failed).await?;
    let (family, number) = (cursor.family.as_str(), cursor.number);
    let at: [&(dyn ToSql + Sync); 3] = [&pass.repo_id.as_uuid(), &family, &number];
    execute(transaction, include_str!("pass_cursor.sql"), &at).await?;
    fenced.mark_durable();
    Ok(BatchOutcome {
        written: snapshots.len(),
        unchanged: unchanged.len(),
        failed: failed.len(),
        gone: studied.len() - snapshots.len() - unchanged.len() - failed.len(),
    })
}

async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<(), FenceError> {
    let statement = transaction.prepare_cached(sql).await?;
    transaction.execute(&statement, parameters).await?;
    Ok(())
}

/// Which of them are still there; they stay until the transaction ends.
async fn locked(
    transaction: &Transaction<'_>,
    repo_id: RepoId,
    studied: &[Studied],
) -> Result<HashSet<i64>, FenceError> {
    let ids: Vec<i64> = studied.iter().map(|studied| studied.due.id.get()).collect();
    let statement = transaction
        .prepare_cached(include_str!("record_lock.sql"))
        .await?;
    let rows = transaction
        .query(&statement, &[&repo_id.as_uuid(), &ids])
        .await?;
    Ok(rows.iter().map(|row| row.get("id")).collect())
}

async fn write_snapshots(
    transaction: &Transaction<'_>,
    pass: &Pass,
    found: &[Found<'_, &Snapshot>],
) -> Result<(), FenceError> {
    if found.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = found.iter().map(|(id, _, _)| *id).collect();
    execute(transaction, include_str!("record_clear.sql"), &[&ids]).await?;
    let heads: Vec<ObjectId> = found.iter().map(|(_, due, _)| due.head).collect();
    let test_merges: Vec<_> = found.iter().map(|(_, due, _)| due.test_merge).collect();
    let facts = |number: fn(&Snapshot) -> u64| -> Vec<i64> {
        let numbers = found.iter().map(|(_, _, snapshot)| number(snapshot));
        numbers.map(total).collect()
    };
    let limits = |snapshot: &Snapshot| snapshot.limits.join(" ");
    let parameters: [&(dyn ToSql + Sync); 14] = [
        &pass.epoch,
        &pass.default_head,
        &ids,
        &heads,
        &test_merges,
        &each(found, |snapshot| snapshot.base),
        &each(found, |snapshot| snapshot.merge_base),
        &each(found, |snapshot| snapshot.open),
        &each(found, |snapshot| snapshot.digest.as_deref()),
        &facts(|snapshot| snapshot.commit_count),
        &facts(|snapshot| snapshot.file_count),
        &facts(|snapshot| snapshot.additions),
        &facts(|snapshot| snapshot.deletions),
        &each(found, limits),
    ];
    execute(
        transaction,
        include_str!("record_snapshots.sql"),
        &parameters,
    )
    .await
}

fn each<'a, T>(found: &[Found<'a, &'a Snapshot>], fact: impl Fn(&'a Snapshot) -> T) -> Vec<T> {
    let facts = found.iter().map(|(_, _, snapshot)| fact(snapshot));
    facts.collect()
}

fn place(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

async fn write_files(
    transaction: &Transaction<'_>,
    repo_id: RepoId,
    found: &[Found<'_, &Snapshot>],
) -> Result<(), FenceError> {
    let (mut ids, mut places) = (Vec::new(), Vec::new());
    let (mut files, mut blobs, mut hunks) = (FileColumns::default(), Vec::new(), Slices::default());
    for (id, _, snapshot) in found {
        for (number, file) in snapshot.files.iter().enumerate() {
            ids.push(*id);
            places.push(place(number));
            let lines = [file.additions, file.deletions];
            files.push(&file.path, file.old_path.as_deref(), file.status, lines);
            blobs.push(file.blob);
            hunks.push(file.hunks.iter().flat_map(|hunk| hunk.numbers()));
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let parameters: [&(dyn ToSql + Sync); 12] = [
        &repo_id.as_uuid(),
        &ids,
        &places,
        &files.paths,
        &files.old_paths,
        &files.statuses,
        &files.additions,
        &files.deletions,
        &blobs,
        &hunks.from,
        &hunks.to,
        &hunks.all,
    ];
    execute(transaction, include_str!("record_files.sql"), &parameters).await
}

async fn write_commits(
    transaction: &Transaction<'_>,
    found: &[Found<'_, &Snapshot>],
) -> Result<(), FenceError> {
    let (mut ids, mut places) = (Vec::new(), Vec::new());
    let mut commits = CommitColumns::default();
    for (id, _, snapshot) in found {
        for (number, commit) in snapshot.commits.iter().enumerate() {
            ids.push(*id);
            places.push(place(number));
            commits.push(commit);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &ids,
        &places,
        &commits.ids,
        &commits.author_names,
        &commits.author_emails,
        &commits.authored_at,
        &commits.committed_at,
        &commits.summaries,
        &commits.parents.from,
        &commits.parents.to,
        &commits.parents.all,
    ];
    execute(transaction, include_str!("record_commits.sql"), &parameters).await
}

async fn write_unchanged(
    transaction: &Transaction<'_>,
    pass: &Pass,
    found: &[Found<'_, Option<ObjectId>>],
) -> Result<(), FenceError> {
    if found.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = found.iter().map(|(id, _, _)| *id).collect();
    let test_merges: Vec<_> = found.iter().map(|(_, due, _)| due.test_merge).collect();
    let bases: Vec<_> = found.iter().map(|(_, _, base)| *base).collect();
    let sql = include_str!("record_unchanged.sql");
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&pass.epoch, &pass.default_head, &ids, &test_merges, &bases];
    execute(transaction, sql, &parameters).await
}

async fn write_failures(
    transaction: &Transaction<'_>,
    repo_id: RepoId,
    found: &[Found<'_, &JobError>],
) -> Result<(), FenceError> {
    if found.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = found.iter().map(|(id, _, _)| *id).collect();
    let heads: Vec<ObjectId> = found.iter().map(|(_, due, _)| due.head).collect();
    let errors: Vec<Json<&JobError>> = found.iter().map(|(_, _, error)| Json(*error)).collect();
    let sql = include_str!("record_failures.sql");
    let parameters: [&(dyn ToSql + Sync); 5] = [&repo_id.as_uuid(), &TRIES, &ids, &heads, &errors];
    execute(transaction, sql, &parameters).await
}
