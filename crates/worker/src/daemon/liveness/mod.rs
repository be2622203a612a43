//! Holds this worker's liveness lock, and detects the deaths of others, on a thread of its own.
//!
//! `keeper` holds the lock and holds it again, `detector` looks for locks that are absent, `beats`, `phase` and
//! `hindrance` decide without I/O when it asks the server for what, what a worker may do while the lock is lost and
//! when it tries again, and `board` tells the other loops.

mod beats;
mod board;
mod detector;
mod hindrance;
mod keeper;
mod phase;

use std::io;
use std::sync::Arc;

use leasectl_core::database::DatabaseUrl;
use leasectl_core::liveness::DeathGrace;
use leasectl_core::time::BootInstant;

pub(crate) use self::board::{LivenessBoard, Stops};
use self::keeper::Keeper;
pub(crate) use self::phase::Phase;
use super::own_thread::OwnThread;
use super::shared::Shared;
use super::verdict::StopReason;

/// Starts to hold the worker's lock, over connections to `direct`.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    direct: DatabaseUrl,
    grace: DeathGrace,
) -> io::Result<OwnThread> {
    OwnThread::spawn("liveness", move |end| async move {
        let keeper = Keeper::new(Arc::clone(&shared), direct, grace);
        tokio::select! {
            () = keeper.keep() => {}
            () = enforce(&shared) => {}
            () = end.cancelled() => {}
        }
    })
}

/// Stops every handler when the lock was lost and is not held again by the deadline (I11).
async fn enforce(shared: &Shared) {
    loop {
        shared
            .liveness
            .until(|phase| phase.deadline().is_some())
            .await;
        let Some(deadline) = shared.liveness.phase().deadline() else {
            continue;
        };
        let left = deadline.since(BootInstant::now());
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            () = shared.liveness.until(|phase| phase.deadline() != Some(deadline)) => continue,
        }
        if shared.liveness.expire(BootInstant::now()) {
            stop_handlers(shared);
        }
    }
}

fn stop_handlers(shared: &Shared) {
    let jobs = shared.registry.snapshot();
    let stopped = jobs
        .iter()
        .filter(|job| job.is_held() && job.stop(StopReason::LivenessLost))
        .inspect(|job| job.kind.metrics.lost.increment(1))
        .count();
    tracing::warn!(
        handlers = stopped,
        "cut off from the database: the liveness lock was not held again in time; stopping handlers"
    );
}
