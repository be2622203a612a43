//! Whether JSON has the fields that the contract names, each of its type.

use serde_json::Value;

/// Expects at least these fields, given as one string of words; others may be added by a release.
///
/// # Panics
/// When one is missing.
#[track_caller]
pub fn assert_fields(value: &Value, fields: &str) {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"));
    for field in fields.split_whitespace() {
        assert!(
            object.contains_key(field),
            "{field} is missing in {value:#}"
        );
    }
}

/// Expects an RFC 3339 time in UTC with microseconds.
///
/// # Panics
/// When it is anything else.
#[track_caller]
pub fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{text}");
}

/// Expects `hostname:pid:nanoseconds`; the process id.
///
/// # Panics
/// When it is anything else.
#[track_caller]
pub fn assert_owner(value: &Value) -> u32 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("no owner: {value}"));
    let parts: Vec<&str> = text.rsplitn(3, ':').collect();
    assert_eq!(parts.len(), 3, "{text}");
    let nanoseconds: u128 = parts[0].parse().unwrap_or_else(|_| panic!("{text}"));
    assert!(nanoseconds > 1_600_000_000_000_000_000, "{text}");
    assert!(!parts[2].is_empty(), "{text}");
    parts[1].parse().unwrap_or_else(|_| panic!("{text}"))
}

/// Expects the error object, with that code.
///
/// # Panics
/// When it is anything else.
#[track_caller]
pub fn assert_error(value: &Value, code: &str) {
    assert_eq!(value["code"], code, "{value}");
    assert!(
        value["message"]
            .as_str()
            .is_some_and(|text| text.len() > 10),
        "{value}"
    );
    assert!(value["retryable"].is_boolean(), "{value}");
}

/// Expects the job view of contract §4, in whatever state.
///
/// # Panics
/// When a field is missing or of the wrong type.
#[track_caller]
pub fn assert_job_view(job: &Value) {
    assert_fields(
        job,
        "id repo_id repo kind lane args priority state attempt max_attempts not_before created_at \
         started_at finished_at message progress result last_error lease attempts",
    );
    for field in ["id", "repo_id", "repo", "kind", "lane", "state"] {
        assert!(job[field].is_string(), "{field} in {job:#}");
    }
    for field in ["priority", "attempt", "max_attempts"] {
        assert!(job[field].is_i64(), "{field} in {job:#}");
    }
    assert!(job["args"].is_object(), "{job:#}");
    assert_time(&job["created_at"]);
    for field in ["not_before", "started_at", "finished_at"] {
        if !job[field].is_null() {
            assert_time(&job[field]);
        }
    }
    let running = job["state"] == "running";
    assert_eq!(job["lease"].is_object(), running, "{job:#}");
    if running {
        assert_fields(
            &job["lease"],
            "owner token acquired_at heartbeat_at expires_at",
        );
        assert_owner(&job["lease"]["owner"]);
        for field in ["acquired_at", "heartbeat_at", "expires_at"] {
            assert_time(&job["lease"][field]);
        }
    }
    for attempt in job["attempts"]
        .as_array()
        .unwrap_or_else(|| panic!("{job:#}"))
    {
        assert_fields(
            attempt,
            "attempt owner token started_at finished_at outcome error",
        );
        assert!(
            attempt["token"].as_i64().is_some_and(|token| token > 0),
            "{attempt}"
        );
        assert_owner(&attempt["owner"]);
        assert_time(&attempt["started_at"]);
    }
}
