//! How text answers write ages, moments and progress.

use std::time::Duration;

use leasectl_core::time::Timestamp;

/// A length of time in at most two units, as a person says it: `850ms`, `12s`, `3m20s`, `2d4h`.
#[must_use]
pub(crate) fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small}{small_unit}")
        }
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// A moment to the second, in UTC.
#[must_use]
pub(crate) fn moment(at: Timestamp) -> String {
    at.as_datetime().format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Progress as `done/total unit (percent)`, or what is known of it.
#[must_use]
pub(crate) fn progress(done: u64, total: Option<u64>, unit: &str) -> String {
    match total {
        Some(total) if total > 0 => {
            let percent = u128::from(done.min(total)) * 100 / u128::from(total);
            format!("{done}/{total} {unit} ({percent}%)")
        }
        Some(_) | None => format!("{done} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_at_most_two_units() {
        for (millis, text) in [
            (0, "0ms"),
            (850, "850ms"),
            (1_250, "1.2s"),
            (60_000, "1m"),
            (200_000, "3m20s"),
            (7_380_000, "2h3m"),
            (187_200_000, "2d4h"),
        ] {
            assert_eq!(age(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn progress_shows_a_share_only_when_there_is_a_whole() {
        assert_eq!(progress(3, Some(4), "objects"), "3/4 objects (75%)");
        assert_eq!(progress(9, Some(4), "objects"), "9/4 objects (100%)");
        assert_eq!(progress(3, None, "objects"), "3 objects");
        assert_eq!(progress(0, Some(0), "objects"), "0 objects");
    }
}
