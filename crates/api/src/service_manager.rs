//! What a service manager (systemd) is told: ready, stopping, still alive.
//!
//! Without one (no `NOTIFY_SOCKET`), each call does nothing.

use sd_notify::NotifyState;

/// The service answers requests now.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

/// The service takes no more requests.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says "still alive" twice per watchdog period, when the manager wants it, also while the last
/// requests are finished.
///
/// It runs on the runtime that answers the requests, so a runtime that is stuck falls silent.
pub(crate) async fn keep_watchdog_quiet() {
    let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) else {
        return;
    };
    let mut ticks = tokio::time::interval(period / 2);
    loop {
        ticks.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
