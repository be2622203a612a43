//! Which other changes touch the same lines.
//!
//! Lines are compared as they were before: two changes that replace the same lines of the same old content cannot
//! both be merged as they are. Only changes with the same merge base have the same old content; of others the
//! comparison is an estimate, and says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use tokio_postgres::Row;

use super::facts::Hunk;
use super::key::{ChangeId, ChangeKey, Family};
use super::read::find;
use crate::database::{Client, Database, DatabaseError};
use crate::ids::RepoId;
use crate::index::ObjectId;
use crate::job::{LookupError, checked_limit};

/// So many files of the change are compared, from the first.
const FILES: i64 = 2_000;

/// Another open change that touches the same files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Overlap {
    /// Its number.
    pub number: i64,
    /// Whose refs it has.
    pub family: Family,
    /// Its ref.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit to which the ref leads.
    pub head: ObjectId,
    /// How many files both touch.
    pub files: usize,
    /// How many hunks of the change that was asked for meet hunks of this one.
    pub hunks: usize,
    /// Whether both have the same merge base, so that their lines are the same lines.
    pub exact: bool,
    /// The files, by the names that they have in common.
    pub paths: Vec<String>,
}

/// What another change has in common with the one that was asked for.
#[derive(Default)]
struct Common {
    paths: BTreeSet<String>,
    /// Pairs of files that were compared: a renamed one may be met by both of its names.
    pairs: BTreeSet<(i32, i32)>,
    hunks: usize,
}

/// Other open changes that touch the same files, those with the most overlapping hunks first, then those with the
/// most files. A renamed file is met by its old name too. `limit` is 1 to 200, the family as for [`super::show`].
/// Nothing when there is no such change.
///
/// # Errors
/// When the limit is bad, or the database away.
pub async fn overlaps(
    database: &Database,
    repo_id: RepoId,
    number: i64,
    family: Option<Family>,
    limit: u16,
) -> Result<Option<Vec<Overlap>>, LookupError> {
    let limit = checked_limit(limit)?;
    let client = database.client().await?;
    let Some(id) = find(&client, repo_id, number, family).await? else {
        return Ok(None);
    };
    let common = common(&client, repo_id, id).await?;
    let mut ranked: Vec<(i64, Common)> = common.into_iter().collect();
    ranked.sort_by_key(|(other, common)| {
        let (hunks, files) = (common.hunks, common.paths.len());
        (std::cmp::Reverse((hunks, files)), *other)
    });
    ranked.truncate(usize::from(limit));
    Ok(Some(named(&client, repo_id, id, ranked).await?))
}

/// What each other change has in common with one.
async fn common(
    client: &Client,
    repo_id: RepoId,
    id: ChangeId,
) -> Result<BTreeMap<i64, Common>, DatabaseError> {
    let own = own_hunks(client, id).await?;
    let statement = client
        .prepare_cached(include_str!("overlaps_files.sql"))
        .await?;
    let rows = client
        .query(&statement, &[&repo_id.as_uuid(), &id.get(), &FILES])
        .await?;
    let mut changes: BTreeMap<i64, Common> = BTreeMap::new();
    for row in rows {
        let common = changes.entry(row.get("change_id")).or_default();
        common.paths.insert(row.get("path"));
        let (own_ord, ord) = (row.get("own_ord"), row.get("ord"));
        if !common.pairs.insert((own_ord, ord)) {
            continue;
        }
        let other: Option<Vec<i32>> = row.get("hunks");
        if let Some((own, other)) = own.get(&own_ord).zip(other) {
            common.hunks += overlapping(own, &lines(&Hunk::all_of(&other)));
        }
    }
    Ok(changes)
}

/// The lines that each file of a change replaces, by the file's place.
async fn own_hunks(
    client: &Client,
    id: ChangeId,
) -> Result<HashMap<i32, Vec<(u32, u32)>>, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("overlaps_own.sql"))
        .await?;
    let rows = client.query(&statement, &[&id.get(), &FILES]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let numbers: Vec<i32> = row.get("hunks");
            (row.get("ord"), lines(&Hunk::all_of(&numbers)))
        })
        .collect())
}

/// The old lines that hunks touch, first and last: of one that only inserts, those on either side.
fn lines(hunks: &[Hunk]) -> Vec<(u32, u32)> {
    hunks
        .iter()
        .map(|hunk| match hunk.old_lines {
            0 => (hunk.old_start, hunk.old_start.saturating_add(1)),
            lines => (hunk.old_start, hunk.old_start.saturating_add(lines - 1)),
        })
        .collect()
}

/// How many of the first meet any of the second; both are in the order of their lines.
fn overlapping(own: &[(u32, u32)], other: &[(u32, u32)]) -> usize {
    let mut rest = other;
    let meets = |&&(first, last): &&(u32, u32)| {
        // What ends before this one begins meets none of those that follow.
        while let [(_, end), after @ ..] = rest
            && *end < first
        {
            rest = after;
        }
        rest.first().is_some_and(|(begin, _)| *begin <= last)
    };
    own.iter().filter(meets).count()
}

/// The names of the changes that are answered.
async fn named(
    client: &Client,
    repo_id: RepoId,
    id: ChangeId,
    ranked: Vec<(i64, Common)>,
) -> Result<Vec<Overlap>, DatabaseError> {
    let mut ids: Vec<i64> = ranked.iter().map(|(other, _)| *other).collect();
    ids.push(id.get());
    let statement = client
        .prepare_cached(include_str!("overlaps_changes.sql"))
        .await?;
    let rows = client
        .query(&statement, &[&repo_id.as_uuid(), &ids])
        .await?;
    let rows: HashMap<i64, Row> = rows.into_iter().map(|row| (row.get("id"), row)).collect();
    let base = |row: &Row| row.get::<_, Option<ObjectId>>("merge_base");
    let own_base = rows.get(&id.get()).and_then(base);
    let mut overlaps = Vec::with_capacity(ranked.len());
    for (other, common) in ranked {
        // One that is not there was deleted since.
        let Some(row) = rows.get(&other) else {
            continue;
        };
        let key = ChangeKey::from_row(row)?;
        overlaps.push(Overlap {
            number: key.number,
            family: key.family,
            reference: row.get("ref"),
            head: row.get("head"),
            files: common.paths.len(),
            hunks: common.hunks,
            exact: base(row) == own_base,
            paths: common.paths.into_iter().collect(),
        });
    }
    Ok(overlaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunk(old_start: u32, old_lines: u32) -> Hunk {
        Hunk {
            old_start,
            old_lines,
            new_start: 1,
            new_lines: 1,
        }
    }

    fn count(own: &[(u32, u32)], other: &[(u32, u32)]) -> usize {
        let of = |hunks: &[(u32, u32)]| {
            let hunks: Vec<Hunk> = hunks.iter().map(|(at, lines)| hunk(*at, *lines)).collect();
            lines(&hunks)
        };
        overlapping(&of(own), &of(other))
    }

    #[test]
    fn hunks_meet_where_they_replace_the_same_old_lines() {
        assert_eq!(count(&[(5, 3)], &[(7, 1)]), 1);
        assert_eq!(count(&[(5, 3)], &[(8, 1)]), 0);
        assert_eq!(count(&[(5, 3)], &[(1, 4), (8, 9)]), 0);
        assert_eq!(count(&[(1, 1), (5, 3), (20, 2)], &[(6, 15)]), 2);
        assert_eq!(count(&[(6, 15)], &[(1, 1), (5, 3), (20, 2)]), 1);
        assert_eq!(count(&[], &[(1, 1)]), 0);
    }

    #[test]
    fn what_is_inserted_meets_the_lines_on_either_side() {
        assert_eq!(count(&[(5, 0)], &[(5, 0)]), 1);
        assert_eq!(count(&[(5, 0)], &[(5, 1)]), 1);
        assert_eq!(count(&[(5, 0)], &[(6, 1)]), 1);
        assert_eq!(count(&[(5, 0)], &[(7, 1)]), 0);
        assert_eq!(count(&[(0, 0)], &[(1, 1)]), 1);
    }
}
