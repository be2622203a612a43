//! `--concurrency fetch=4,index=2,backfill=2,stack=2`.

use std::fmt;
use std::str::FromStr;

use leasectl_core::kind::{Lane, UnknownLane};
use thiserror::Error;

use crate::daemon::Concurrency;

/// The most handlers of one lane that one process runs at a time.
const MAX_HANDLERS: usize = 4_096;

/// How many handlers of each lane one process runs at a time; 0 switches a lane off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConcurrencyArg {
    handlers: [(Lane, usize); Lane::ALL.len()],
}

/// The text does not say how many handlers each lane may run.
#[derive(Debug, Error)]
pub enum ConcurrencyError {
    /// A part is not `LANE=N`.
    #[error("{0:?} is not LANE=N; write for example fetch=4,index=2,backfill=2,stack=2")]
    NotAPair(String),
    /// No such lane.
    #[error(transparent)]
    UnknownLane(#[from] UnknownLane),
    /// A lane is named twice.
    #[error("{0} is given twice")]
    Twice(Lane),
    /// Not a number, or too large.
    #[error("{lane}={given}: write a whole number from 0 (off) to {MAX_HANDLERS}")]
    NotACount {
        /// The lane.
        lane: Lane,
        /// What was given for it.
        given: String,
    },
    /// A worker that may run nothing has no purpose.
    #[error("every lane is switched off; give at least one lane a number above 0")]
    AllOff,
}

impl ConcurrencyArg {
    /// How many handlers run at once in all lanes together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.handlers.iter().map(|(_, handlers)| handlers).sum()
    }

    /// The same for the supervisor.
    #[must_use]
    pub fn for_daemon(&self) -> Concurrency {
        self.handlers
            .iter()
            .fold(Concurrency::none(), |all, (lane, handlers)| {
                all.with(*lane, *handlers)
            })
    }
}

impl Default for ConcurrencyArg {
    fn default() -> Self {
        let usual = |lane| match lane {
            Lane::Fetch => 4,
            Lane::Index | Lane::Backfill | Lane::Stack => 2,
        };
        Self {
            handlers: Lane::ALL.map(|lane| (lane, usual(lane))),
        }
    }
}

impl fmt::Display for ConcurrencyArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (lane, handlers)) in self.handlers.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{lane}={handlers}")?;
        }
        Ok(())
    }
}

impl FromStr for ConcurrencyArg {
    type Err = ConcurrencyError;

    /// Lanes that are not named keep their default.
    fn from_str(text: &str) -> Result<Self, ConcurrencyError> {
        let mut read = Self::default();
        let mut seen = Vec::new();
        for part in text.split(',') {
            let (lane, handlers) = pair(part)?;
            if seen.contains(&lane) {
                return Err(ConcurrencyError::Twice(lane));
            }
            seen.push(lane);
            for known in read.handlers.iter_mut().filter(|(known, _)| *known == lane) {
                known.1 = handlers;
            }
        }
        if read.total() == 0 {
            Err(ConcurrencyError::AllOff)
        } else {
            Ok(read)
        }
    }
}

fn pair(part: &str) -> Result<(Lane, usize), ConcurrencyError> {
    let shortened = |text: &str| text.chars().take(40).collect();
    let (lane, count) = part
        .split_once('=')
        .ok_or_else(|| ConcurrencyError::NotAPair(shortened(part)))?;
    let lane: Lane = lane.trim().parse()?;
    let handlers = count
        .trim()
        .parse()
        .ok()
        .filter(|handlers| *handlers <= MAX_HANDLERS);
    let given = || shortened(count);
    let handlers = handlers.ok_or_else(|| ConcurrencyError::NotACount {
        lane,
        given: given(),
    })?;
    Ok((lane, handlers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_contracts() {
        let default = ConcurrencyArg::default();
        assert_eq!(default.to_string(), "fetch=4,index=2,backfill=2,stack=2");
        assert_eq!(
            default.to_string().parse::<ConcurrencyArg>().unwrap(),
            default
        );
        assert_eq!(default.total(), 10);
    }

    #[test]
    fn lanes_that_are_not_named_keep_their_default() {
        let some: ConcurrencyArg = "fetch=0, stack=7".parse().unwrap();
        assert_eq!(some.to_string(), "fetch=0,index=2,backfill=2,stack=7");
        assert_eq!(some.for_daemon().of(Lane::Stack), 7);
        assert_eq!(some.for_daemon().of(Lane::Fetch), 0);
    }

    #[test]
    fn nonsense_is_refused_with_the_part_named() {
        for (text, part) in [
            ("fetch", "fetch"),
            ("", "LANE=N"),
            ("fetch=4,", "LANE=N"),
            ("fetch=-1", "-1"),
            ("fetch=5000", "5000"),
            ("fetch=1,fetch=2", "twice"),
            ("push=1", "push"),
            ("fetch=0,index=0,backfill=0,stack=0", "switched off"),
        ] {
            let message = text.parse::<ConcurrencyArg>().unwrap_err().to_string();
            assert!(message.contains(part), "{text:?}: {message}");
        }
    }
}
