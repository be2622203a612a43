//! Refs and the trees to which they lead.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::error::IndexError;
use super::ids::{DirId, DomainId, LinksId, ObjectId, RulesetId};
use super::worktree::WorktreeRef;
use crate::database::{Client, DatabaseError};
use crate::ids::RepoId;
use crate::lease::{FenceError, FencedTransaction};
use crate::time::Timestamp;

/// A whole tree, ready to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Root {
    /// Its directory.
    pub dir: DirId,
    /// To what its imports lead.
    pub links: Option<LinksId>,
    /// The tree object.
    pub tree: ObjectId,
    /// What it was indexed with.
    pub ruleset: RulesetId,
    /// To whom it belongs.
    pub domain: DomainId,
    /// Its files.
    pub files: u64,
    /// Its distinct blobs.
    pub blobs: u64,
    /// The bytes of its files.
    pub bytes: u64,
    /// The symbols of its files.
    pub symbols: u64,
}

/// Where a ref of a repository stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefState {
    /// The commit.
    pub commit: ObjectId,
    /// Its tree.
    pub root: Root,
    /// When it was published.
    pub indexed_at: Timestamp,
}

/// A ref to publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewRef<'a> {
    /// The repository.
    pub repo_id: RepoId,
    /// The ref, such as `refs/heads/main`.
    pub name: &'a str,
    /// The commit.
    pub commit: ObjectId,
    /// The directory of its tree.
    pub root: DirId,
    /// To what its imports lead; not asked for when the tree was published before.
    pub links: Option<LinksId>,
}

impl Root {
    pub(super) fn from_row(row: &Row) -> Result<Self, DatabaseError> {
        let count = |name| row.get::<_, i64>(name).unsigned_abs();
        Ok(Self {
            dir: DirId::new(row.get("dir_id")),
            links: row.get::<_, Option<i64>>("links_id").map(LinksId::new),
            tree: object(row, "tree")?,
            ruleset: RulesetId::new(row.get("ruleset_id")),
            domain: DomainId::new(row.get("domain_id")),
            files: count("files"),
            blobs: count("blobs"),
            bytes: count("bytes"),
            symbols: count("symbols"),
        })
    }
}

pub(super) fn object(row: &Row, column: &str) -> Result<ObjectId, DatabaseError> {
    ObjectId::from_bytes(row.get(column))
        .map_err(|error| DatabaseError::UnknownValue(error.to_string()))
}

/// Has a ref lead to a tree that is stored completely; the tree to which it led before is replaced at the
/// commit. Answers where the ref stands, or nothing when the repository is gone or has moved to another trust
/// domain than that of the tree.
///
/// # Errors
/// [`IndexError::Gone`] when the tree or its links were collected, [`IndexError::ForWorktrees`] for a name that
/// jobs do not publish; also when the database is away.
pub async fn publish(
    fenced: &FencedTransaction<'_>,
    new: &NewRef<'_>,
) -> Result<Option<RefState>, IndexError> {
    if WorktreeRef::is_one(new.name) {
        return Err(IndexError::ForWorktrees);
    }
    let transaction = fenced.statements();
    publish_root(transaction, new.root, new.links.map(LinksId::get)).await?;
    let statement = transaction
        .prepare_cached(include_str!("publish_ref.sql"))
        .await?;
    let token = fenced.token().get();
    let published = transaction
        .execute(
            &statement,
            &[
                &new.repo_id.as_uuid(),
                &new.name,
                &new.commit.as_bytes(),
                &new.root.get(),
                &token,
            ],
        )
        .await?;
    if published == 0 {
        return Ok(None);
    }
    ref_state_in(transaction, new.repo_id, new.name).await
}

/// Makes a directory a tree that answers, if it is none yet.
pub(super) async fn publish_root(
    transaction: &Transaction<'_>,
    root: DirId,
    links: Option<i64>,
) -> Result<(), IndexError> {
    let statement = transaction
        .prepare_cached(include_str!("publish_root.sql"))
        .await?;
    transaction
        .execute(&statement, &[&root.get(), &links])
        .await?;
    Ok(())
}

/// Where a ref stands, as a transaction sees it.
pub(super) async fn ref_state_in(
    transaction: &Transaction<'_>,
    repo_id: RepoId,
    name: &str,
) -> Result<Option<RefState>, IndexError> {
    let statement = transaction
        .prepare_cached(include_str!("ref_state.sql"))
        .await?;
    let row = transaction
        .query_opt(&statement, &[&repo_id.as_uuid(), &name])
        .await?;
    Ok(row.as_ref().map(state_of).transpose()?)
}

/// Forgets the branches of a repository that are none of these; answers how many there were.
///
/// # Errors
/// When the database is away.
pub async fn unpublish_branches(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    there: &[&str],
) -> Result<u64, FenceError> {
    let transaction = fenced.statements();
    let statement = transaction
        .prepare_cached(include_str!("unpublish_branches.sql"))
        .await?;
    Ok(transaction
        .execute(&statement, &[&repo_id.as_uuid(), &there])
        .await?)
}

/// Forgets refs of a repository, such as those of branches that are gone; answers how many there were.
///
/// # Errors
/// When the database is away.
pub async fn unpublish(
    fenced: &FencedTransaction<'_>,
    repo_id: RepoId,
    names: &[&str],
) -> Result<u64, FenceError> {
    let transaction = fenced.statements();
    let statement = transaction
        .prepare_cached(include_str!("unpublish.sql"))
        .await?;
    Ok(transaction
        .execute(&statement, &[&repo_id.as_uuid(), &names])
        .await?)
}

/// Where a ref stands; nothing when it was never indexed.
///
/// # Errors
/// When the database is away.
pub async fn ref_state(
    client: &Client,
    repo_id: RepoId,
    name: &str,
) -> Result<Option<RefState>, IndexError> {
    let statement = client.prepare_cached(include_str!("ref_state.sql")).await?;
    let row = client
        .query_opt(&statement, &[&repo_id.as_uuid(), &name])
        .await?;
    Ok(row.as_ref().map(state_of).transpose()?)
}

fn state_of(row: &Row) -> Result<RefState, DatabaseError> {
    Ok(RefState {
        commit: object(row, "commit_oid")?,
        root: Root::from_row(row)?,
        indexed_at: row.get("indexed_at"),
    })
}
