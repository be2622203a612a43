//! What to do with a lease when its handler has ended: a table, decided without I/O.

use leasectl_core::failure::{ErrorCode, JobError};
use serde_json::Value;

/// Why a handler was asked to stop. The first reason stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StopReason {
    /// The database says that the lease is not ours any more.
    LeaseLost,
    /// Nothing was heard from the database for too long.
    TrustEnded,
    /// The same, and this process itself stood still meanwhile.
    StoodStill,
    /// The lock by which others see that this worker lives was lost and not held again in time.
    LivenessLost,
    /// Somebody cancelled the job.
    CancelRequested,
    /// The handler did not get anywhere until its lease expired.
    NoProgress,
    /// The handler kept its thread, as every other thread was kept, until the worker was given up.
    KeptThread,
    /// The worker is ending.
    Drain,
}

impl StopReason {
    /// Whether the lease is, or may be, somebody else's: it is not beaten for any more.
    pub(crate) fn ends_trust(self) -> bool {
        match self {
            Self::LeaseLost | Self::TrustEnded | Self::StoodStill | Self::LivenessLost => true,
            Self::CancelRequested | Self::NoProgress | Self::KeptThread | Self::Drain => false,
        }
    }

    /// The reason in a log record.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::LeaseLost => "lease lost",
            Self::TrustEnded => "no answer from the database within the trust window",
            Self::StoodStill => "the process stood still for longer than the trust window",
            Self::LivenessLost => "the liveness lock was not held again within the death grace",
            Self::CancelRequested => "cancel requested",
            Self::NoProgress => "no progress until the lease expired",
            Self::KeptThread => "the handler blocks its thread",
            Self::Drain => "the worker is ending",
        }
    }
}

/// How a handler ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It returned.
    Returned(Result<Value, JobError>),
    /// It panicked with this message.
    Panicked(String),
    /// It was dropped, having been asked to stop and not having done so within the grace.
    Dropped,
}

/// What to do with the lease.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Verdict {
    /// Settle as completed.
    Complete(Value),
    /// Settle as a failed attempt.
    Fail(JobError),
    /// Settle as cancelled.
    Cancel,
    /// Hand it back without spending an attempt.
    Release,
    /// Change nothing: the lease is somebody else's, or its loss is to be counted as a crash.
    Abandon,
}

/// Decides what to do with the lease.
///
/// A lease that is merely not trusted any more is settled all the same: the statement is fenced by
/// owner and token, so it changes nothing once somebody else has taken over, and until then an
/// outage costs the job no attempt. That holds for a handler that was dropped and may still run on
/// some thread too: what it writes meets the fence. Where this process stood still, though, the
/// handler may be why, as when it makes the machine swap, and a job must not do that for ever:
/// such a lease is left to be taken over, which counts.
pub(crate) fn verdict(ended: Ended, stop: Option<StopReason>) -> Verdict {
    match (stop, ended) {
        (Some(StopReason::LeaseLost | StopReason::StoodStill), _) => Verdict::Abandon,
        // Work that was done is done, whoever asked to stop meanwhile.
        (_, Ended::Returned(Ok(result))) => Verdict::Complete(result),
        (_, Ended::Returned(Err(error))) if error.code == ErrorCode::LeaseLost => Verdict::Abandon,
        (Some(StopReason::CancelRequested), _) => Verdict::Cancel,
        (Some(StopReason::NoProgress), _) => Verdict::Fail(JobError::retryable(
            ErrorCode::NoProgress,
            "the handler made no progress until the lease expired",
        )),
        (Some(StopReason::KeptThread), _) => Verdict::Fail(JobError::retryable(
            ErrorCode::NoProgress,
            "the handler blocked its thread, until its worker had none left",
        )),
        (Some(_), _) | (None, Ended::Dropped) => Verdict::Release,
        (None, Ended::Returned(Err(error))) => Verdict::Fail(error),
        (None, Ended::Panicked(message)) => Verdict::Fail(JobError::retryable(
            ErrorCode::HandlerPanicked,
            format!("the handler panicked: {message}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn failed() -> Ended {
        Ended::Returned(Err(JobError::retryable(
            ErrorCode::RemoteTimeout,
            "too slow",
        )))
    }

    #[test]
    fn a_handler_left_alone_decides_itself() {
        let done = Ended::Returned(Ok(json!({"n": 1})));
        assert_eq!(verdict(done, None), Verdict::Complete(json!({"n": 1})));
        let Verdict::Fail(error) = verdict(failed(), None) else {
            panic!("not failed")
        };
        assert_eq!(error.code, ErrorCode::RemoteTimeout);
    }

    #[test]
    fn a_panic_is_a_failed_attempt_that_may_be_repeated() {
        let Verdict::Fail(error) = verdict(Ended::Panicked("oh".into()), None) else {
            panic!("not failed")
        };
        assert_eq!(error.code, ErrorCode::HandlerPanicked);
        assert_eq!(error.message, "the handler panicked: oh");
        assert!(error.retryable);
    }

    #[test]
    fn a_lease_that_is_lost_or_must_count_as_a_crash_is_left_alone() {
        for stop in [StopReason::LeaseLost, StopReason::StoodStill] {
            assert_eq!(verdict(failed(), Some(stop)), Verdict::Abandon);
            assert_eq!(
                verdict(Ended::Returned(Ok(json!({}))), Some(stop)),
                Verdict::Abandon
            );
            assert_eq!(verdict(Ended::Dropped, Some(stop)), Verdict::Abandon);
        }
        let fenced_off = JobError::permanent(ErrorCode::LeaseLost, "fenced off");
        assert_eq!(
            verdict(Ended::Returned(Err(fenced_off)), None),
            Verdict::Abandon
        );
    }

    #[test]
    fn each_reason_to_stop_has_its_outcome() {
        for ended in [
            failed,
            || Ended::Dropped,
            || Ended::Panicked("stopped".into()),
        ] {
            assert_eq!(
                verdict(ended(), Some(StopReason::CancelRequested)),
                Verdict::Cancel
            );
            assert_eq!(verdict(ended(), Some(StopReason::Drain)), Verdict::Release);
            for stop in [StopReason::NoProgress, StopReason::KeptThread] {
                let Verdict::Fail(error) = verdict(ended(), Some(stop)) else {
                    panic!("not failed")
                };
                assert_eq!(error.code, ErrorCode::NoProgress);
            }
        }
    }

    #[test]
    fn a_lease_is_beaten_for_until_it_may_be_somebody_elses() {
        for stop in [
            StopReason::LeaseLost,
            StopReason::TrustEnded,
            StopReason::StoodStill,
            StopReason::LivenessLost,
        ] {
            assert!(stop.ends_trust(), "{stop:?}");
        }
        for stop in [
            StopReason::CancelRequested,
            StopReason::NoProgress,
            StopReason::KeptThread,
            StopReason::Drain,
        ] {
            assert!(!stop.ends_trust(), "{stop:?}");
        }
    }

    #[test]
    fn a_log_record_says_why_a_handler_was_stopped() {
        assert_eq!(StopReason::Drain.as_str(), "the worker is ending");
        assert_eq!(StopReason::LeaseLost.as_str(), "lease lost");
    }

    #[test]
    fn an_outage_spends_no_attempt() {
        for stop in [StopReason::TrustEnded, StopReason::LivenessLost] {
            assert_eq!(verdict(failed(), Some(stop)), Verdict::Release);
            assert_eq!(verdict(Ended::Dropped, Some(stop)), Verdict::Release);
        }
    }

    #[test]
    fn work_that_was_done_counts_although_a_stop_was_asked_for() {
        for stop in [
            StopReason::CancelRequested,
            StopReason::Drain,
            StopReason::NoProgress,
            StopReason::TrustEnded,
            StopReason::LivenessLost,
        ] {
            let done = Ended::Returned(Ok(json!({})));
            assert_eq!(verdict(done, Some(stop)), Verdict::Complete(json!({})));
        }
    }
}
