//! Values of flags: durations, byte sizes, the death grace.
//!
//! Each is parsed once, here, into a type that cannot hold nonsense, so that a wrong flag is a
//! usage error before anything is opened.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use leasectl_core::repository::FETCH_EVERY;
use leasectl_service::{DurationError, parse_duration};
use thiserror::Error;

/// The text is no duration, or one that makes no sense here.
#[derive(Debug, Error)]
pub enum PositiveDurationError {
    /// Not written as a number and a unit.
    #[error(transparent)]
    NotADuration(#[from] DurationError),
    /// Zero would mean "at once, for ever".
    #[error("the duration must be longer than zero")]
    Zero,
}

/// The text is not how often a repository may be fetched.
#[derive(Debug, Error)]
pub enum FetchEveryError {
    /// Not written as a number and a unit.
    #[error(transparent)]
    NotADuration(#[from] DurationError),
    /// Too often, or hardly ever.
    #[error("from 1s to 366d, such as 15m, 6h or 7d")]
    OutOfRange,
}

/// Parses a duration that is longer than zero.
///
/// # Errors
/// When the text is written differently or means zero.
pub fn positive_duration(text: &str) -> Result<Duration, PositiveDurationError> {
    match parse_duration(text)? {
        Duration::ZERO => Err(PositiveDurationError::Zero),
        longer => Ok(longer),
    }
}

/// Reads how often a repository is fetched unasked.
///
/// # Errors
/// When the text is written differently, or outside [`FETCH_EVERY`].
pub fn fetch_every(text: &str) -> Result<Duration, FetchEveryError> {
    let every = parse_duration(text)?;
    if FETCH_EVERY.contains(&every) {
        Ok(every)
    } else {
        Err(FetchEveryError::OutOfRange)
    }
}

/// How long a missing liveness session means death, or `off`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeathGrace {
    /// Heartbeats alone decide.
    Off,
    /// The death signal is wanted, with this grace.
    After(Duration),
}

impl FromStr for DeathGrace {
    type Err = PositiveDurationError;

    fn from_str(text: &str) -> Result<Self, PositiveDurationError> {
        if text == "off" {
            Ok(Self::Off)
        } else {
            positive_duration(text).map(Self::After)
        }
    }
}

/// A size in bytes, written as `50GiB`, `500MB` or a plain number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(u64);

impl ByteSize {
    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

/// The text is no size in bytes.
#[derive(Debug, Error)]
#[error("{0:?} is no size; write bytes, or a number with KiB, MiB, GiB, TiB, kB, MB, GB or TB")]
pub struct ByteSizeError(String);

const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let refused = || ByteSizeError(text.chars().take(40).collect());
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, *unit)))
            .unwrap_or((text, 1));
        let number: u64 = number.trim().parse().map_err(|_| refused())?;
        number.checked_mul(unit).map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut whole = self.0;
        let mut rest = 0;
        let mut unit = "B";
        for step in STEPS {
            if whole < 1024 {
                break;
            }
            rest = whole % 1024;
            whole /= 1024;
            unit = step;
        }
        write!(f, "{whole}.{} {unit}", rest * 10 / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_of_nothing_is_refused() {
        assert_eq!(positive_duration("10s").unwrap(), Duration::from_secs(10));
        for text in ["0s", "10", ""] {
            assert!(positive_duration(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_repository_is_fetched_once_a_second_at_most_and_once_a_year_at_least() {
        assert_eq!(fetch_every("1s").unwrap(), Duration::from_secs(1));
        assert!(fetch_every("366d").is_ok());
        for text in ["999ms", "0s", "367d", "15"] {
            assert!(fetch_every(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn the_death_grace_is_a_duration_or_off() {
        assert_eq!("off".parse::<DeathGrace>().unwrap(), DeathGrace::Off);
        let parsed = "300ms".parse::<DeathGrace>().unwrap();
        assert_eq!(parsed, DeathGrace::After(Duration::from_millis(300)));
        assert!("never".parse::<DeathGrace>().is_err());
    }

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("50GiB", 50 << 30),
            ("1 MB", 1_000_000),
            ("7B", 7),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1 XB", "99999999999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn sizes_are_written_with_one_decimal() {
        assert_eq!(ByteSize(1023).to_string(), "1023 B");
        assert_eq!(ByteSize(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteSize(50 << 30).to_string(), "50.0 GiB");
    }
}
