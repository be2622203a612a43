//! Tells systemd, where it is there, that the worker is ready, alive and stopping.

use sd_notify::NotifyState;

/// The worker can claim.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

/// The worker has begun to drain.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Feeds the watchdog from the runtime that runs the handlers, for as long as that one lives.
pub(crate) async fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        tell(NotifyState::Watchdog);
        tokio::time::sleep(limit / 3).await;
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd was not told");
    }
}
