//! What is known of changes, for people and programs.

use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::facts::{FileStatus, Hunk};
use super::key::{ChangeId, ChangeKey, Family};
use crate::database::{Client, Database, DatabaseError, planned_anew};
use crate::failure::JobError;
use crate::ids::RepoId;
use crate::index::ObjectId;
use crate::job::{LookupError, Page, checked_limit, read_json};
use crate::time::Timestamp;

/// How the facts of a change relate to today's refs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// They are those of today.
    Current,
    /// They are those of another head.
    StaleHeadChanged,
    /// The target has moved since: the facts may be the same, and whether it is open.
    StaleBaseMoved,
    /// They are older or not there, since studying the head failed.
    Failed,
}

/// A change as users see it. What was not studied yet is null.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ChangeRow {
    /// Its number.
    pub number: i64,
    /// Its ref.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit to which the ref leads.
    pub head: ObjectId,
    /// The commit of the target with which it was compared.
    pub base: Option<ObjectId>,
    /// The best common ancestor of both.
    pub merge_base: Option<ObjectId>,
    /// Whether it is not in the default branch yet.
    pub open: Option<bool>,
    /// How the facts relate to today's refs.
    pub freshness: Option<Freshness>,
    /// How many commits it has.
    pub commits: Option<i64>,
    /// How many files it touches.
    pub files_changed: Option<i64>,
    /// Lines that they gain.
    pub additions: Option<i64>,
    /// Lines that they lose.
    pub deletions: Option<i64>,
    /// Whose refs it has.
    pub family: Family,
    /// The commit whose facts these are.
    pub studied_head: Option<ObjectId>,
    /// Which limits kept some of it out.
    pub limits: Option<Vec<String>>,
    /// When a fetch last found another head than before.
    pub head_moved_at: Option<Timestamp>,
    /// When it was studied.
    pub studied_at: Option<Timestamp>,
    /// When the facts were last found to be the same.
    pub checked_at: Option<Timestamp>,
    /// How often studying this head has failed.
    pub tries: i16,
    /// Whether it is not tried again unasked.
    pub parked: bool,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
    /// Why it failed.
    pub last_error: Option<JobError>,
}

/// A file of a change as users see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FileRow {
    /// Its name; of a deleted file the old one.
    pub path: String,
    /// Its old name, of a renamed or copied file.
    pub old_path: Option<String>,
    /// What happened.
    pub status: FileStatus,
    /// Lines that it gains; null for content without lines.
    pub additions: Option<i32>,
    /// Lines that it loses; null for content without lines.
    pub deletions: Option<i32>,
    /// The new content; of a deleted file the old one.
    pub blob: Option<ObjectId>,
}

/// A hunk of a change as users see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HunkRow {
    /// The file that it is in, by its new name.
    pub path: String,
    /// Where.
    #[serde(flatten)]
    pub hunk: Hunk,
}

/// A commit of a change as users see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CommitRow {
    /// Its name.
    pub commit: ObjectId,
    /// Its parents.
    pub parents: Vec<ObjectId>,
    /// Who wrote it.
    pub author_name: String,
    /// The author's address.
    pub author_email: String,
    /// When it was written.
    pub authored_at: Timestamp,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// The first line of its message.
    pub summary: String,
}

/// A change with all that is known of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ChangeDetail {
    /// The change.
    #[serde(flatten)]
    pub change: ChangeRow,
    /// Its files.
    pub files: Vec<FileRow>,
    /// Where they change.
    pub hunks: Vec<HunkRow>,
    /// Its commits.
    pub commit_list: Vec<CommitRow>,
}

/// Which changes to list.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    /// Only those that are open, or that are not.
    pub open: Option<bool>,
    /// Only those that are not tried again unasked.
    pub parked: bool,
    /// Only of this number.
    pub number: Option<i64>,
    /// Only of this family.
    pub family: Option<Family>,
}

impl Freshness {
    /// The word in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::StaleHeadChanged => "stale_head_changed",
            Self::StaleBaseMoved => "stale_base_moved",
            Self::Failed => "failed",
        }
    }

    fn from_sql_name(name: &str) -> Result<Self, DatabaseError> {
        match name {
            "current" => Ok(Self::Current),
            "stale_head_changed" => Ok(Self::StaleHeadChanged),
            "stale_base_moved" => Ok(Self::StaleBaseMoved),
            "failed" => Ok(Self::Failed),
            other => Err(DatabaseError::UnknownValue(other.to_owned())),
        }
    }
}

impl ChangeRow {
    fn from_row(row: &Row) -> Result<Self, DatabaseError> {
        let key = ChangeKey::from_row(row)?;
        let freshness = row.get::<_, Option<&str>>("freshness");
        Ok(Self {
            number: key.number,
            reference: row.get("ref"),
            head: row.get("head"),
            base: row.get("base"),
            merge_base: row.get("merge_base"),
            open: row.get("open"),
            freshness: freshness.map(Freshness::from_sql_name).transpose()?,
            commits: row.get("commit_count"),
            files_changed: row.get("file_count"),
            additions: row.get("additions"),
            deletions: row.get("deletions"),
            family: key.family,
            studied_head: row.get("studied_head"),
            limits: row.get("limits"),
            head_moved_at: row.get("head_moved_at"),
            studied_at: row.get("studied_at"),
            checked_at: row.get("checked_at"),
            tries: row.get("tries"),
            parked: row.get("is_parked"),
            retry_at: row.get("retry_at"),
            last_error: read_json(row.get::<_, Option<Value>>("error"))?,
        })
    }

    fn key(&self) -> ChangeKey {
        ChangeKey {
            family: self.family,
            number: self.number,
        }
    }
}

/// Changes of a repository, the highest number of a family first. `limit` is 1 to 200.
///
/// # Errors
/// When the cursor or the limit is bad, or the database away.
pub async fn list(
    database: &Database,
    repo_id: RepoId,
    filter: &ChangeFilter,
    limit: u16,
    cursor: Option<&str>,
) -> Result<Page<ChangeRow>, LookupError> {
    let limit = checked_limit(limit)?;
    let before = cursor
        .map(|cursor| cursor.parse().map_err(|_| LookupError::BadCursor))
        .transpose()?;
    let mut client = database.client().await?;
    let rows = select(&mut client, repo_id, filter, before, i64::from(limit) + 1).await?;
    Ok(Page::cut(rows, limit, |change: &ChangeRow| {
        change.key().to_string()
    }))
}

async fn select(
    client: &mut Client,
    repo_id: RepoId,
    filter: &ChangeFilter,
    before: Option<ChangeKey>,
    limit: i64,
) -> Result<Vec<ChangeRow>, DatabaseError> {
    let family = before.map(|key| key.family.as_str());
    let number = before.map(|key| key.number);
    let wanted = filter.family.map(Family::as_str);
    let transaction = client.build_transaction().read_only(true).start().await?;
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &repo_id.as_uuid(),
        &family,
        &number,
        &filter.open,
        &filter.parked,
        &filter.number,
        &wanted,
        &limit,
    ];
    let query = transaction.query(include_str!("list.sql"), &parameters);
    let rows = planned_anew(&transaction, query).await?;
    transaction.commit().await?;
    rows.iter().map(ChangeRow::from_row).collect()
}

/// The change of a number. Of several families with that number, pull requests go first, then merge requests.
pub(super) async fn find(
    client: &Client,
    repo_id: RepoId,
    number: i64,
    family: Option<Family>,
) -> Result<Option<ChangeId>, DatabaseError> {
    let families: Vec<&str> = match family {
        Some(family) => vec![family.as_str()],
        None => Family::ALL.map(Family::as_str).to_vec(),
    };
    let statement = client.prepare_cached(include_str!("find.sql")).await?;
    let row = client
        .query_opt(&statement, &[&repo_id.as_uuid(), &families, &number])
        .await?;
    Ok(row.map(|row| ChangeId::new(row.get("id"))))
}

/// A change with all that is known of it, as of one moment. Where no family is given and several have that number,
/// pull requests go first, then merge requests.
///
/// # Errors
/// When the database is away.
pub async fn show(
    database: &Database,
    repo_id: RepoId,
    number: i64,
    family: Option<Family>,
) -> Result<Option<ChangeDetail>, DatabaseError> {
    let mut client = database.client().await?;
    let Some(id) = find(&client, repo_id, number, family).await? else {
        return Ok(None);
    };
    let transaction = client
        .build_transaction()
        .read_only(true)
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await?;
    let statement = transaction.prepare_cached(include_str!("show.sql")).await?;
    let Some(row) = transaction.query_opt(&statement, &[&id.get()]).await? else {
        return Ok(None);
    };
    let change = ChangeRow::from_row(&row)?;
    let statement = transaction
        .prepare_cached(include_str!("show_files.sql"))
        .await?;
    let (mut files, mut hunks) = (Vec::new(), Vec::new());
    for row in transaction.query(&statement, &[&id.get()]).await? {
        let file = FileRow::from_row(&row)?;
        let numbers = row.get::<_, Option<Vec<i32>>>("hunks").unwrap_or_default();
        hunks.extend(Hunk::all_of(&numbers).into_iter().map(|hunk| HunkRow {
            path: file.path.clone(),
            hunk,
        }));
        files.push(file);
    }
    let statement = transaction
        .prepare_cached(include_str!("show_commits.sql"))
        .await?;
    let rows = transaction.query(&statement, &[&id.get()]).await?;
    transaction.commit().await?;
    Ok(Some(ChangeDetail {
        change,
        files,
        hunks,
        commit_list: rows.iter().map(CommitRow::from_row).collect(),
    }))
}

impl FileRow {
    fn from_row(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            path: row.get("path"),
            old_path: row.get("old_path"),
            status: FileStatus::from_sql_name(row.get("status"))?,
            additions: row.get("additions"),
            deletions: row.get("deletions"),
            blob: row.get("blob"),
        })
    }
}

impl CommitRow {
    fn from_row(row: &Row) -> Self {
        Self {
            commit: row.get("oid"),
            parents: row.get("parents"),
            author_name: row.get("author_name"),
            author_email: row.get("author_email"),
            authored_at: row.get("authored_at"),
            committed_at: row.get("committed_at"),
            summary: row.get("summary"),
        }
    }
}

/// Has a change that failed be tried again, by the pass that runs or the next one, as if for the first time; answers
/// whether it had failed since somebody last asked. The family is as for [`show`].
///
/// # Errors
/// When the database is away.
pub async fn unpark(
    database: &Database,
    repo_id: RepoId,
    number: i64,
    family: Option<Family>,
) -> Result<bool, DatabaseError> {
    let client = database.client().await?;
    let Some(id) = find(&client, repo_id, number, family).await? else {
        return Ok(false);
    };
    let statement = client.prepare_cached(include_str!("unpark.sql")).await?;
    Ok(client.execute(&statement, &[&id.get()]).await? == 1)
}
