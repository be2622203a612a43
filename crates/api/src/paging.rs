//! Limits of lists.

use crate::problem::Problem;

/// How many items a list holds unless asked otherwise.
const DEFAULT_LIMIT: u16 = 50;

/// The most items that a list holds.
const MAX_LIMIT: u16 = 200;

/// The number of items to list.
///
/// # Errors
/// When it is not from 1 to 200.
pub(crate) fn limit_of(asked: Option<i64>) -> Result<u16, Problem> {
    let Some(asked) = asked else {
        return Ok(DEFAULT_LIMIT);
    };
    match u16::try_from(asked) {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid(format!(
            "limit is a whole number from 1 to {MAX_LIMIT}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_from_1_to_200_and_50_unless_given() {
        assert_eq!(limit_of(None), Ok(50));
        assert_eq!(limit_of(Some(1)), Ok(1));
        assert_eq!(limit_of(Some(200)), Ok(200));
        for refused in [0, -1, 201, i64::MAX, i64::MIN] {
            assert!(limit_of(Some(refused)).is_err(), "{refused}");
        }
    }
}
