//! Asking the supervisor to end: first a drain, then at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far a shutdown has gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Running,
    Draining,
    Ending,
}

/// A request to end, in two stages; clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    stage: watch::Sender<Stage>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Nobody asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Running),
        }
    }

    /// Listens for SIGTERM and SIGINT: the first asks for a drain, the second ends at once.
    ///
    /// Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the operating system refuses to install the handlers.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let asked = shutdown.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                asked.request();
            }
        });
        Ok(shutdown)
    }

    /// Asks once: the first call starts a drain, the second ends at once.
    pub fn request(&self) {
        self.stage.send_modify(|stage| {
            *stage = match *stage {
                Stage::Running => Stage::Draining,
                Stage::Draining | Stage::Ending => Stage::Ending,
            };
        });
    }

    /// Whether anybody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }

    /// Waits until somebody asked once.
    pub async fn requested(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Waits until somebody asked twice.
    pub async fn requested_at_once(&self) {
        self.reached(Stage::Ending).await;
    }

    async fn reached(&self, goal: Stage) {
        let mut stage = self.stage.subscribe();
        // The sender lives in `self`, so waiting cannot fail while this borrow lasts.
        let _ = stage.wait_for(|stage| *stage >= goal).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn the_first_request_drains_and_the_second_ends() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_requested());
        assert!(shutdown.requested().now_or_never().is_none());
        shutdown.clone().request();
        assert!(shutdown.is_requested());
        assert!(shutdown.requested().now_or_never().is_some());
        assert!(shutdown.requested_at_once().now_or_never().is_none());
        shutdown.request();
        shutdown.request();
        assert!(shutdown.is_requested());
        assert!(shutdown.requested().now_or_never().is_some());
        assert!(shutdown.requested_at_once().now_or_never().is_some());
    }
}
