//! A clock that stands still while the host does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The time in which the machine let this process run: a limit in it is not broken by a host that stands still.
#[derive(Clone)]
pub(crate) struct GrantedTime(Arc<AtomicU32>);

impl GrantedTime {
    const TICK: Duration = Duration::from_millis(10);

    pub(crate) fn start() -> Self {
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::downgrade(&ticks);
        std::thread::spawn(move || {
            while let Some(ticks) = counted.upgrade() {
                std::thread::sleep(Self::TICK);
                ticks.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self(ticks)
    }

    /// At most as much as really passed.
    pub(crate) fn passed(&self) -> Duration {
        Self::TICK * self.0.load(Ordering::Relaxed)
    }
}
