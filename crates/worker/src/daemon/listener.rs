//! Wakeups of the database, as hints for the claim loop and stops for cancelled handlers.
//!
//! They only make things faster: polling finds the same. So a lost connection is not a failure, and
//! after every connect each lane is hinted at, for whatever was missed.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::database::DatabaseUrl;
use leasectl_core::kind::Lane;
use leasectl_core::wakeup::{Listener, Wakeup};

use super::backoff::Backoff;
use super::outage::chain;
use super::shared::Shared;

/// The longest pause between two attempts to listen.
const MOST: Duration = Duration::from_secs(5);

/// Listens until the future is dropped.
pub(crate) async fn listen(shared: Arc<Shared>, url: DatabaseUrl) {
    let mut backoff = Backoff::new(Duration::from_millis(50), MOST);
    loop {
        match Listener::connect(&url).await {
            Ok(mut listener) => {
                backoff.reset();
                shared.hints.give(Lane::ALL);
                shared.hints.listens(true);
                while let Some(wakeup) = listener.recv().await {
                    take(&shared, wakeup);
                }
                shared.hints.listens(false);
                tracing::debug!("the wakeup connection ended; polling until it is back");
            }
            Err(error) => tracing::debug!(error = chain(&error), "cannot listen; polling"),
        }
        tokio::time::sleep(backoff.after_failure(rand::random())).await;
    }
}

fn take(shared: &Shared, wakeup: Wakeup) {
    match wakeup {
        Wakeup::Lanes(lanes) => shared.hints.give(lanes),
        Wakeup::Dead(lanes) => shared.hints.give_dead(lanes),
        Wakeup::Cancel(job) => shared.registry.cancel(job),
    }
}
