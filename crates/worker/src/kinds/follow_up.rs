//! Jobs that follow from the work of another.

use leasectl_core::database::Client;
use leasectl_core::job::FollowUp;

use crate::daemon::{JobContext, metrics, outage};

/// Has a job start whose transaction has committed.
pub(super) async fn start(context: &JobContext, client: &Client, follow_up: FollowUp) {
    let kind = follow_up.kind().name;
    if !follow_up.deduplicated {
        metrics::enqueued(kind);
    }
    tracing::debug!(job = %context.job.id, follow_up = %follow_up.job_id, kind, "a job follows");
    if let Err(error) = follow_up.start(client).await {
        let error = outage::chain(&error);
        tracing::debug!(error, "a job that follows is found by polling");
    }
}
