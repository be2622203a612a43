//! Tells systemd, where it is there, that the worker is ready, alive and stopping.

use std::sync::Arc;

use sd_notify::NotifyState;

use super::vigil::Vigil;

/// The worker can claim.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

/// The worker has begun to drain.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Feeds the watchdog for as long as the worker's own threads run, and handlers can.
pub(crate) async fn feed_watchdog(vigil: Arc<Vigil>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        if vigil.is_well() {
            tell(NotifyState::Watchdog);
        }
        tokio::time::sleep(limit / 3).await;
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd was not told");
    }
}
