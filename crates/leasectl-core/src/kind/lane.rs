//! Lanes: what leases protect, and the order in which work of one repository runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a lease protects, together with the repository.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Bringing the clone and the branch projection up to date.
    Fetch,
    /// Extracting and publishing the index.
    Index,
    /// Snapshots of changes.
    Backfill,
    /// Stack actions; strictly first in, first out.
    Stack,
}

impl Lane {
    /// Every lane, in the order in which status shows them.
    pub const ALL: [Self; 4] = [Self::Fetch, Self::Index, Self::Backfill, Self::Stack];

    /// The lane's name in SQL, JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Index => "index",
            Self::Backfill => "backfill",
            Self::Stack => "stack",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no lane.
#[derive(Debug, Error)]
#[error("there is no lane {0:?}; lanes are fetch, index, backfill and stack")]
pub struct UnknownLane(pub String);

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|lane| lane.as_str() == text)
            .ok_or_else(|| UnknownLane(text.to_owned()))
    }
}
