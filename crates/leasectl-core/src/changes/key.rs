//! Which change is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;
use tokio_postgres::Row;

use crate::database::DatabaseError;

/// Whose refs a change has. In the order in which their names are sorted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// `refs/changes/XX/N/P`, of Gerrit.
    Gerrit,
    /// `refs/merge-requests/N/head`, of GitLab.
    MergeRequest,
    /// `refs/pull/N/head`, of GitHub, Gitea and Forgejo.
    Pull,
}

/// A change of a repository, as users name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChangeKey {
    /// Whose refs it has.
    pub family: Family,
    /// Its number.
    pub number: i64,
}

/// A change as the database names it. One whose ref was deleted and made anew is another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChangeId(i64);

/// The text names no family, or no change of one.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0:?} is no change; write pull:N, merge_request:N or gerrit:N, where N is a whole number")]
pub struct UnknownChange(pub String);

impl Family {
    /// All of them, sorted.
    pub const ALL: [Self; 3] = [Self::Gerrit, Self::MergeRequest, Self::Pull];

    /// The family's name in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gerrit => "gerrit",
            Self::MergeRequest => "merge_request",
            Self::Pull => "pull",
        }
    }
}

impl FromStr for Family {
    type Err = UnknownChange;

    fn from_str(text: &str) -> Result<Self, UnknownChange> {
        Self::ALL
            .into_iter()
            .find(|family| family.as_str() == text)
            .ok_or_else(|| UnknownChange(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl ChangeKey {
    /// Reads the columns `family` and `number`.
    pub(super) fn from_row(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            family: stored_family(row.get("family"))?,
            number: row.get("number"),
        })
    }

    /// Reads the columns of a cursor.
    pub(super) fn of_cursor(row: &Row) -> Result<Option<Self>, DatabaseError> {
        let family = row.get::<_, Option<&str>>("cursor_family");
        let number = row.get::<_, Option<i64>>("cursor_number");
        let Some((family, number)) = family.zip(number) else {
            return Ok(None);
        };
        let family = stored_family(family)?;
        Ok(Some(Self { family, number }))
    }
}

fn stored_family(name: &str) -> Result<Family, DatabaseError> {
    name.parse()
        .map_err(|UnknownChange(name)| DatabaseError::UnknownValue(name))
}

impl fmt::Display for ChangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family, self.number)
    }
}

impl FromStr for ChangeKey {
    type Err = UnknownChange;

    fn from_str(text: &str) -> Result<Self, UnknownChange> {
        let unknown = || UnknownChange(text.chars().take(64).collect());
        let (family, number) = text.split_once(':').ok_or_else(unknown)?;
        Ok(Self {
            family: family.parse()?,
            number: number.parse().map_err(|_| unknown())?,
        })
    }
}

impl Serialize for ChangeKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ChangeId {
    pub(super) fn new(id: i64) -> Self {
        Self(id)
    }

    pub(super) fn get(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_is_written() {
        for text in ["pull:7", "merge_request:0", "gerrit:9223372036854775807"] {
            assert_eq!(text.parse::<ChangeKey>().unwrap().to_string(), text);
        }
        for text in ["", "pull", "pull:", "pull:x", "issue:7", "7", "pull:1:2"] {
            assert!(text.parse::<ChangeKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn families_are_sorted_by_their_names_as_the_index_has_them() {
        let names = Family::ALL.map(Family::as_str);
        assert!(names.is_sorted());
        assert!(Family::ALL.is_sorted());
    }
}
