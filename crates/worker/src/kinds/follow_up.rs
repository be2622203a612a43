//! Jobs that follow from the work of another.

use leasectl_core::database::Client;
use leasectl_core::failure::JobError;
use leasectl_core::job::{EnqueueRequest, FollowUp, enqueue_fenced};
use leasectl_core::kind::{CanonicalArgs, FETCH};
use leasectl_core::lease::FenceError;

use super::clone;
use crate::daemon::{JobContext, metrics, outage};

/// Has a job start whose transaction has committed.
pub(super) async fn start(context: &JobContext, client: &Client, follow_up: FollowUp) {
    let kind = follow_up.kind;
    if !follow_up.deduplicated {
        metrics::enqueued(kind);
    }
    tracing::debug!(job = %context.job.id, follow_up = %follow_up.job_id, kind, "a job follows");
    if let Err(error) = follow_up.start(client).await {
        let error = outage::chain(&error);
        tracing::debug!(error, "a job that follows is found by polling");
    }
}

/// Accepts a `fetch` of the job's repository, under the fence.
pub(super) async fn ask_for_fetch(context: &JobContext) -> Result<(), JobError> {
    loop {
        match accept_fetch(context).await {
            Ok(()) => return Ok(()),
            Err(error) => clone::wait_out(error, &context.cancel).await?,
        }
    }
}

async fn accept_fetch(context: &JobContext) -> Result<(), FenceError> {
    let mut client = context.database.client().await?;
    let fenced = context.fence.begin(&mut client).await?;
    let fetch = EnqueueRequest::new(context.job.repo_id, &FETCH, CanonicalArgs::none());
    let follow_ups = enqueue_fenced(&fenced, &[fetch]).await?;
    fenced.commit().await?;
    for follow_up in follow_ups {
        start(context, &client, follow_up).await;
    }
    Ok(())
}
