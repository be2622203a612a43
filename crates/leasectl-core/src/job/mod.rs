//! Jobs: accepting, finding, cancelling and retrying them, and keeping their history.

mod cancel;
mod enqueue;
pub mod follow;
mod follow_up;
mod lookup;
mod retention;
mod retry;
mod view;

pub use self::cancel::{CancelOutcome, cancel};
pub(crate) use self::enqueue::merge_in;
pub use self::enqueue::{EnqueueError, EnqueueRequest, Enqueued, NotBefore, enqueue, warm_up};
pub use self::follow_up::{FollowUp, enqueue_fenced};
pub(crate) use self::lookup::checked_limit;
pub use self::lookup::{JobFilter, LookupError, Page, find, list};
pub use self::retention::{Maintained, maintain};
pub use self::retry::{RetryOutcome, retry};
pub(crate) use self::view::read_json;
pub use self::view::{AttemptView, JobView, LeaseView, PublicState, UnknownState};

use crate::database::{Client, DatabaseError};

/// Reads a state of the `leasectl.job_status` view.
fn state_of(name: &str) -> Result<PublicState, DatabaseError> {
    PublicState::from_sql_name(name)
}

/// Promotes one lane after a job left it or came to it, and wakes whoever may run its first one. That has happened
/// whatever becomes of this; the next poll and its sweep find the lane as well.
async fn promote_lane_quietly(client: &Client, repo: uuid::Uuid, lane: &str) {
    let promoted = async {
        let lane = lane
            .parse()
            .map_err(|_| DatabaseError::UnknownValue(lane.to_owned()))?;
        let ready = crate::lease::promote(client, &[(repo.into(), lane)]).await?;
        crate::wakeup::announce(client, &ready).await
    };
    if let Err(error) = promoted.await {
        tracing::debug!(%error, lane, "the next poll promotes what waits in the lane");
    }
}
