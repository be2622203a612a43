//! Priorities.

use serde::Serialize;
use thiserror::Error;

/// How urgent a job is: −100 to 100, higher is sooner, 0 unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Priority(i16);

/// A priority outside −100 to 100.
#[derive(Debug, Error)]
#[error("priority {0} is out of range; it is a whole number from -100 to 100")]
pub struct PriorityOutOfRange(pub i64);

impl Priority {
    /// The priority's value.
    #[must_use]
    pub fn get(self) -> i16 {
        self.0
    }
}

impl TryFrom<i64> for Priority {
    type Error = PriorityOutOfRange;

    fn try_from(value: i64) -> Result<Self, PriorityOutOfRange> {
        match i16::try_from(value) {
            Ok(small) if (-100..=100).contains(&small) => Ok(Self(small)),
            _ => Err(PriorityOutOfRange(value)),
        }
    }
}
