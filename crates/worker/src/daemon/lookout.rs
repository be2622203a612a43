//! The poll: one look per interval, which finds whatever no wakeup told.
//!
//! **Invariant.** Nothing here waits for a lock or acts on what it sees: a sweep that takes long, or a
//! claim that waits, does not delay the next look.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::database::DatabaseError;
use leasectl_core::lease::{self, Outlook};
use leasectl_core::time::BootInstant;
use tokio::sync::{Notify, watch};

use super::shared::Shared;

/// Whether the pings of the liveness session find any job at all. While they find none, a look would
/// find nothing either, and an idle worker sends no statement but its pings.
#[derive(Debug)]
pub(crate) struct Quiet {
    /// When the last ping was sent, if it found no job. Told of when that ends.
    since: watch::Sender<Option<BootInstant>>,
}

impl Quiet {
    /// Nothing was heard yet.
    pub(crate) fn new() -> Self {
        Self {
            since: watch::Sender::new(None),
        }
    }

    /// A ping that was sent at that moment was answered.
    pub(crate) fn heard(&self, sent: BootInstant, any_job: bool) {
        self.since.send_if_modified(|since| {
            let ends = since.is_some() && any_job;
            *since = (!any_job).then_some(sent);
            ends
        });
    }

    /// Whether there was no job at a moment that is not longer ago.
    fn is_fresh(&self, age: Duration) -> bool {
        self.since
            .borrow()
            .is_some_and(|sent| sent.elapsed() <= age)
    }
}

/// Looks at every poll until the future is dropped, and tells the other loops what there is to do.
pub(crate) async fn look_out(shared: Arc<Shared>, to_sweep: Arc<Notify>) {
    let poll_interval = shared.settings.poll_interval;
    let mut outage = shared.outages.watch("look", 2 * poll_interval);
    let mut quiet_ends = shared.quiet.since.subscribe();
    loop {
        let looked = if shared.quiet.is_fresh(poll_interval) {
            Ok(())
        } else {
            let outlook = look(&shared).await;
            outlook.map(|outlook| tell(&shared, &to_sweep, outlook))
        };
        let pause = outage.pause(looked, poll_interval);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The sender lives in `shared`.
            Ok(()) = quiet_ends.changed() => {}
        }
    }
}

async fn look(shared: &Shared) -> Result<Outlook, DatabaseError> {
    let client = shared.database.client().await?;
    let looked = shared.answer(lease::look(&client, &shared.settings.owner));
    let looked = looked.await;
    shared.heard(client, looked)
}

fn tell(shared: &Shared, to_sweep: &Notify, outlook: Outlook) {
    for job in outlook.cancelled {
        shared.registry.cancel(job);
    }
    // Some of them may be beyond another run.
    if outlook.to_sweep || !outlook.over.is_empty() {
        to_sweep.notify_one();
    }
    let mut over = outlook.over;
    over.retain(|lane| shared.kinds.serve(*lane));
    if !over.is_empty() {
        shared.hints.give_dead(over);
    }
    shared.hints.give_seen(outlook.ready);
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(1);

    #[test]
    fn looks_are_saved_only_after_a_recent_ping_that_found_no_job() {
        let quiet = Quiet::new();
        let now = BootInstant::now();
        assert!(!quiet.is_fresh(POLL), "nothing was heard");
        quiet.heard(now, false);
        assert!(quiet.is_fresh(POLL));
        assert!(!quiet.is_fresh(Duration::ZERO), "too long ago");
        quiet.heard(now, true);
        assert!(!quiet.is_fresh(POLL));
    }

    #[test]
    fn the_first_job_after_none_is_told_of_and_the_next_ones_are_not() {
        let quiet = Quiet::new();
        let mut ends = quiet.since.subscribe();
        let mut hear = |any_job| {
            quiet.heard(BootInstant::now(), any_job);
            let told = ends.has_changed().expect("the sender lives");
            ends.mark_unchanged();
            told
        };
        assert_eq!(
            [true, false, false, true, true].map(&mut hear),
            [false, false, false, true, false]
        );
    }
}
