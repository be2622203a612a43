//! Which changes a pass has to study.

use tokio_postgres::Row;

use super::key::{ChangeId, ChangeKey};
use super::pass::Pass;
use crate::database::{Client, DatabaseError};
use crate::index::ObjectId;

/// A change that is to be studied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// Its identity in the database.
    pub id: ChangeId,
    /// Which one.
    pub key: ChangeKey,
    /// Its ref.
    pub reference: String,
    /// The commit to study.
    pub head: ObjectId,
    /// What the forge made by merging it, where it says so in a ref. Who has to study the change without it takes it
    /// out: what is recorded is what was studied, and the change stays due.
    pub test_merge: Option<ObjectId>,
    /// What was found when it was last studied.
    pub known: Option<Known>,
    /// How often studying this head has failed.
    pub tries: i16,
}

/// What was found of a change before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The commit that was studied.
    pub head: ObjectId,
    /// The test merge of that time.
    pub test_merge: Option<ObjectId>,
    /// The commit of the target with which it was compared.
    pub base: Option<ObjectId>,
    /// Their best common ancestor.
    pub merge_base: Option<ObjectId>,
    /// Whether it was open.
    pub open: bool,
    /// How many commits it was made of.
    pub commit_count: i64,
    /// The head of the default branch at that time.
    pub default_head: Option<ObjectId>,
}

/// Changes that a pass has to study, in the order of their keys, after a key or from the first one on.
///
/// # Errors
/// When the database is away.
pub async fn due(
    client: &Client,
    pass: &Pass,
    after: Option<ChangeKey>,
    limit: u16,
) -> Result<Vec<Due>, DatabaseError> {
    let statement = client.prepare_cached(include_str!("due.sql")).await?;
    let (family, number) = after.map_or(("", 0), |key| (key.family.as_str(), key.number));
    let rows = client
        .query(
            &statement,
            &[
                &pass.repo_id.as_uuid(),
                &family,
                &number,
                &pass.mode.as_str(),
                &i64::from(limit),
            ],
        )
        .await?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<Due, DatabaseError> {
    let known = row
        .get::<_, Option<ObjectId>>("studied_head")
        .map(|head| Known {
            head,
            test_merge: row.get("studied_test_merge"),
            base: row.get("base"),
            merge_base: row.get("merge_base"),
            open: row.get("open"),
            commit_count: row.get("commit_count"),
            default_head: row.get("studied_default_head"),
        });
    Ok(Due {
        id: ChangeId::new(row.get("change_id")),
        key: ChangeKey::from_row(row)?,
        reference: row.get("ref"),
        head: row.get("head"),
        test_merge: row.get("test_merge"),
        known,
        tries: row.get("tries"),
    })
}
