//! The commits of the default branch, each with its files.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::types::ToSql;

use super::columns::{CommitColumns, FileColumns};
use super::facts::{Commit, FileStatus};
use super::pass::Pass;
use crate::database::{Client, DatabaseError};
use crate::index::ObjectId;
use crate::lease::{FenceError, FencedTransaction};

/// The most commits that one call of [`finish_history`] deletes.
const FORGOTTEN: i64 = 1_000;

/// A commit of the default branch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryCommit {
    /// What it says.
    pub commit: Commit,
    /// The files that differ from its first parent, as many as the limits allow.
    pub files: Vec<HistoryFile>,
    /// Which limits were met: words such as `too_many_files`, without blanks.
    pub limits: Vec<&'static str>,
}

/// A file of a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryFile {
    /// Its name; of a deleted file the old one.
    pub path: String,
    /// Its old name, of a renamed or copied file.
    pub old_path: Option<String>,
    /// What happened.
    pub status: FileStatus,
    /// Lines that it gains; nothing for content without lines.
    pub additions: Option<u32>,
    /// Lines that it loses; nothing for content without lines.
    pub deletions: Option<u32>,
}

/// The commits that are recorded since the default branch was last rewritten. Whoever records ancestors first, and
/// walks from the head to those, goes on where the last one stopped.
///
/// # Errors
/// When the database is away.
pub async fn known_history(
    client: &Client,
    pass: &Pass,
) -> Result<HashSet<ObjectId>, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("history_known.sql"))
        .await?;
    let rows = client
        .query(&statement, &[&pass.repo_id.as_uuid(), &pass.epoch])
        .await?;
    Ok(rows.iter().map(|row| row.get("oid")).collect())
}

/// Records commits in a transaction that is durable progress. What was recorded before a rewrite of the branch stays
/// as it is, and is noted to be there.
///
/// # Errors
/// When the database is away.
pub async fn record_history(
    fenced: &FencedTransaction<'_>,
    pass: &Pass,
    new: &[HistoryCommit],
) -> Result<(), FenceError> {
    // Each once, whatever is given twice.
    let new: BTreeMap<ObjectId, &HistoryCommit> =
        new.iter().map(|new| (new.commit.id, new)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let inserted = insert_commits(fenced, pass, &new).await?;
    insert_files(fenced, &new, &inserted).await?;
    fenced.mark_durable();
    Ok(())
}

/// Writes commits; answers those that were not there, with their numbers.
async fn insert_commits(
    fenced: &FencedTransaction<'_>,
    pass: &Pass,
    new: &BTreeMap<ObjectId, &HistoryCommit>,
) -> Result<Vec<(ObjectId, i64)>, FenceError> {
    let transaction = fenced.statements();
    let mut commits = CommitColumns::default();
    new.values().for_each(|new| commits.push(&new.commit));
    let limits: Vec<String> = new.values().map(|new| new.limits.join(" ")).collect();
    let statement = transaction
        .prepare_cached(include_str!("history_insert.sql"))
        .await?;
    let parameters: [&(dyn ToSql + Sync); 12] = [
        &pass.repo_id.as_uuid(),
        &pass.epoch,
        &commits.ids,
        &commits.author_names,
        &commits.author_emails,
        &commits.authored_at,
        &commits.committed_at,
        &commits.summaries,
        &commits.parents.from,
        &commits.parents.to,
        &commits.parents.all,
        &limits,
    ];
    let rows = transaction.query(&statement, &parameters).await?;
    let inserted = rows.iter().filter(|row| row.get("is_new"));
    Ok(inserted
        .map(|row| (row.get("oid"), row.get("id")))
        .collect())
}

async fn insert_files(
    fenced: &FencedTransaction<'_>,
    new: &BTreeMap<ObjectId, &HistoryCommit>,
    inserted: &[(ObjectId, i64)],
) -> Result<(), FenceError> {
    let (mut ids, mut places, mut files) = (Vec::new(), Vec::new(), FileColumns::default());
    for (commit, id) in inserted {
        let of_it = new.get(commit).map(|new| new.files.as_slice());
        for (place, file) in (0_i32..).zip(of_it.unwrap_or_default()) {
            ids.push(*id);
            places.push(place);
            let lines = [file.additions, file.deletions];
            files.push(&file.path, file.old_path.as_deref(), file.status, lines);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &ids,
        &places,
        &files.paths,
        &files.old_paths,
        &files.statuses,
        &files.additions,
        &files.deletions,
    ];
    let statement = fenced
        .statements()
        .prepare_cached(include_str!("history_files.sql"))
        .await?;
    fenced.statements().execute(&statement, &parameters).await?;
    Ok(())
}

/// Notes that the whole branch is recorded, once what a rewritten branch no longer has is gone: answers whether it is.
/// Else some of it was deleted, in a transaction of its own; call again.
///
/// # Errors
/// When the database is away.
pub async fn finish_history(
    fenced: &FencedTransaction<'_>,
    pass: &Pass,
) -> Result<bool, FenceError> {
    let transaction = fenced.statements();
    let repo = pass.repo_id.as_uuid();
    let forget = transaction
        .prepare_cached(include_str!("history_forget.sql"))
        .await?;
    let gone = transaction
        .execute(&forget, &[&repo, &pass.epoch, &FORGOTTEN])
        .await?;
    if gone >= FORGOTTEN.unsigned_abs() {
        return Ok(false);
    }
    let finish = transaction
        .prepare_cached(include_str!("history_finish.sql"))
        .await?;
    transaction
        .execute(&finish, &[&repo, &pass.default_head])
        .await?;
    Ok(true)
}
