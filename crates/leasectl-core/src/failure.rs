//! The error object of a job: a stable code, one actionable sentence, and whether to try again.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Why an attempt or a job failed, by stable name (contract §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The remote could not be reached, or the repository is not registered any more.
    RepoUnavailable,
    /// The remote refused the credentials, or wants some.
    AuthFailed,
    /// The remote says that there is no such repository.
    RemoteNotFound,
    /// The remote stalled or was too slow.
    RemoteTimeout,
    /// A limit on bytes, refs or objects was passed.
    RemoteTooLarge,
    /// The worker's disk is full.
    DiskFull,
    /// The clone stayed damaged although it was made anew.
    CloneCorrupt,
    /// The remote offers no such ref or commit.
    RefNotFound,
    /// A merge or a state conflict; nothing was changed.
    Conflict,
    /// The remote refused a push.
    PushRejected,
    /// The lease was lost before the work was done.
    LeaseLost,
    /// The handler made no progress until the lease expired.
    NoProgress,
    /// The handler panicked.
    HandlerPanicked,
    /// Every attempt failed; the message names the last cause.
    AttemptsExhausted,
    /// The job's arguments cannot be carried out.
    InvalidArgument,
    /// Somebody asked for the job to stop.
    Cancelled,
    /// A code of a newer release, read during a rolling deployment.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// The code as it is written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RepoUnavailable => "repo_unavailable",
            Self::AuthFailed => "auth_failed",
            Self::RemoteNotFound => "remote_not_found",
            Self::RemoteTimeout => "remote_timeout",
            Self::RemoteTooLarge => "remote_too_large",
            Self::DiskFull => "disk_full",
            Self::CloneCorrupt => "clone_corrupt",
            Self::RefNotFound => "ref_not_found",
            Self::Conflict => "conflict",
            Self::PushRejected => "push_rejected",
            Self::LeaseLost => "lease_lost",
            Self::NoProgress => "no_progress",
            Self::HandlerPanicked => "handler_panicked",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::InvalidArgument => "invalid_argument",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error object that users see: `{"code", "message", "retryable"}` and details beside them.
///
/// The message is one sentence for a person. It never holds a credential, SQL or a local path.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobError {
    /// The stable code.
    pub code: ErrorCode,
    /// One sentence that says what to do.
    pub message: String,
    /// Whether another attempt may succeed without anybody changing anything.
    pub retryable: bool,
    /// Further fields of some codes, such as `branch` and `paths` of a conflict.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl JobError {
    /// A failure that another attempt may cure.
    #[must_use]
    pub fn retryable(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: true,
            details: Map::new(),
        }
    }

    /// A failure that no attempt can cure.
    #[must_use]
    pub fn permanent(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: false,
            details: Map::new(),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for JobError {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_error_object_is_flat_and_round_trips() {
        let mut error = JobError::permanent(ErrorCode::Conflict, "rebase by hand");
        error.details.insert("branch".into(), "topic".into());
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            json,
            json!({
                "code": "conflict", "message": "rebase by hand",
                "retryable": false, "branch": "topic"
            })
        );
        assert_eq!(serde_json::from_value::<JobError>(json).unwrap(), error);
    }

    #[test]
    fn a_code_of_a_newer_release_can_be_read() {
        let newer = json!({"code": "moon_phase", "message": "full", "retryable": true});
        let error: JobError = serde_json::from_value(newer).unwrap();
        assert_eq!(error.code, ErrorCode::Unknown);
    }

    #[test]
    fn every_code_is_written_as_serde_writes_it() {
        for code in [
            ErrorCode::RepoUnavailable,
            ErrorCode::NoProgress,
            ErrorCode::Cancelled,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
