//! Durations as people write them.

use std::time::Duration;

/// The text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration; write a number and a unit, such as 500ms, 10s, 15m, 6h or 7d")]
pub struct DurationError(String);

/// How much of a wrong value is repeated in an error, in characters.
const SHOWN: usize = 40;

/// Reads a duration such as `500ms`, `10s`, `15m`, `6h`, `7d` or `1h 30m`.
///
/// # Errors
/// When the text is not written that way; a number alone has no unit and is refused, except `0`.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    humantime::parse_duration(text.trim())
        .map_err(|_| DurationError(text.chars().take(SHOWN).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_the_documentation_is_read() {
        for (text, seconds) in [
            ("10s", 10),
            ("15m", 900),
            ("6h", 21_600),
            ("7d", 604_800),
            (" 1h 30m ", 5_400),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn a_value_without_a_unit_is_refused_with_an_example() {
        for text in [
            "",
            "10",
            "-5s",
            "ten seconds",
            "5 fortnights",
            "99999999999999999999d",
        ] {
            let error = parse_duration(text).expect_err(text).to_string();
            assert!(error.contains("15m"), "{error}");
        }
    }

    #[test]
    fn a_long_wrong_value_is_not_repeated_in_full() {
        let error = parse_duration(&"x".repeat(10_000))
            .expect_err("no duration")
            .to_string();
        assert!(error.len() < 200, "{error}");
    }
}
