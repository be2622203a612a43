//! One attempt: runs the handler, contains its panic, stops it when told, and hands on the outcome.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use leasectl_core::time::BootInstant;
use tokio::sync::mpsc;

use super::handler::JobContext;
use super::running::{Finished, RunningJob};
use super::shared::Shared;
use super::slots::Slot;
use super::trust::TrustRules;
use super::verdict::{Ended, Verdict, verdict};

/// A handler whose grace is over for so long was not dropped either: it blocks its thread.
const OVERDUE: Duration = Duration::from_secs(1);

/// How often such handlers are looked for.
const OVERDUE_LOOK: Duration = Duration::from_millis(250);

/// Runs the job's handler to its end and passes the settlement on.
///
/// The slot is given back when the settlement is in the channel: a slow database holds up claims,
/// not memory.
pub(crate) async fn run(
    shared: Arc<Shared>,
    job: Arc<RunningJob>,
    settlements: mpsc::Sender<Finished>,
    slot: Slot,
) {
    let Some(context) = job.context(&shared.database) else {
        return;
    };
    let started = Instant::now();
    let ended = supervise(context, &job, &shared.rules).await;
    job.kind.metrics.job_seconds.record(started.elapsed());
    let verdict = verdict(ended, job.stop_reason());
    log(&job, &verdict);
    match job.end(verdict) {
        // The receiver goes away only when the worker ends without waiting.
        Some(finished) => drop(settlements.send(finished).await),
        None => shared.registry.remove([&job.key]),
    }
    drop(slot);
}

/// Waits for the handler; from the moment it is asked to stop, for the grace at most.
async fn supervise(context: JobContext, job: &RunningJob, rules: &TrustRules) -> Ended {
    let handler = Arc::clone(&job.kind.handler);
    let handler = AssertUnwindSafe(async move { handler.run(context).await }).catch_unwind();
    let handler = noted(handler, job);
    let out_of_patience = async {
        let reason = job.stopped().await;
        tokio::time::sleep(rules.grace(reason)).await;
    };
    tokio::select! {
        biased;
        returned = handler => match returned {
            Ok(result) => Ended::Returned(result),
            Err(panic) => Ended::Panicked(panic_message(panic.as_ref())),
        },
        () = out_of_patience => Ended::Dropped,
    }
}

/// Notes for each time that a thread is inside the handler since when it is.
async fn noted<T>(handler: impl Future<Output = T>, job: &RunningJob) -> T {
    let mut handler = std::pin::pin!(handler);
    std::future::poll_fn(|cx| {
        job.on_thread(Some(BootInstant::now()));
        let polled = handler.as_mut().poll(cx);
        job.on_thread(None);
        polled
    })
    .await
}

/// Settles the leases of handlers that were asked to stop and block their threads instead; runs until
/// it is aborted. Their slots stay taken, as their threads are.
pub(crate) async fn end_overdue(shared: Arc<Shared>, settlements: mpsc::Sender<Finished>) {
    loop {
        tokio::time::sleep(OVERDUE_LOOK).await;
        for finished in shared.registry.end_overdue(&shared.rules, OVERDUE) {
            let job = &finished.job;
            tracing::error!(
                job = %job.key.job_id, token = %job.key.token, kind = job.kind.spec.name,
                outcome = finished.settlement.outcome().as_str(),
                "a handler blocks its thread and does not stop; settling without it"
            );
            drop(settlements.send(finished).await);
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(500).collect()
}

fn log(job: &RunningJob, verdict: &Verdict) {
    let (id, token, kind) = (job.key.job_id, job.key.token, job.kind.spec.name);
    let stop = job.stop_reason().map(|reason| reason.as_str());
    match verdict {
        Verdict::Complete(_) => tracing::debug!(job = %id, %token, kind, "job completed"),
        Verdict::Fail(error) => {
            tracing::warn!(job = %id, %token, kind, stop, %error, "attempt failed");
        }
        Verdict::Cancel => tracing::info!(job = %id, %token, kind, "job cancelled"),
        Verdict::Release => tracing::info!(job = %id, %token, kind, stop, "lease released"),
        Verdict::Abandon => tracing::warn!(job = %id, %token, kind, stop, "lease abandoned"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        let text = String::from("its own");
        assert_eq!(panic_message(&text), "its own");
        assert_eq!(panic_message(&"a literal"), "a literal");
        assert_eq!(panic_message(&7), "no message");
    }

    #[test]
    fn a_panic_that_says_much_is_cut() {
        assert_eq!(panic_message(&"x".repeat(600)).len(), 500);
    }
}
