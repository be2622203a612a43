//! The poll: one cheap look per interval, which finds whatever no wakeup told.
//!
//! **Invariant.** Nothing here takes a row's lock or acts on what it sees: a sweep that takes long, or a
//! claim that waits, does not delay the next look.

use std::sync::Arc;

use leasectl_core::database::DatabaseError;
use leasectl_core::lease::{self, Outlook};
use tokio::sync::Notify;

use super::shared::Shared;

/// Looks at every poll until the future is dropped, and tells the other loops what there is to do.
pub(crate) async fn look_out(shared: Arc<Shared>, to_sweep: Arc<Notify>) {
    let poll_interval = shared.settings.poll_interval;
    let mut outage = shared.outages.watch("look", 2 * poll_interval);
    loop {
        let looked = look(&shared).await.map(|outlook| {
            tell(&shared, &to_sweep, outlook);
        });
        tokio::time::sleep(outage.pause(looked, poll_interval)).await;
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
