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

/// Promotes one lane after a job left it or came to it.
async fn promote_lane(
    client: &Client,
    repo: uuid::Uuid,
    lane: &str,
) -> Result<Vec<crate::kind::Lane>, DatabaseError> {
    let lane = lane
        .parse()
        .map_err(|_| DatabaseError::UnknownValue(lane.to_owned()))?;
    crate::lease::promote(client, &[(repo.into(), lane)]).await
}
