//! The poll: one cheap look per interval, which finds whatever no wakeup told.
//!
//! **Invariant.** Nothing here takes a row's lock or acts on what it sees: a sweep that takes long, or a
//! claim that waits, does not delay the next look.

use std::sync::Arc;

use leasectl_core::database::DatabaseError;
use leasectl_core::lease::{self, Outlook};
use leasectl_core::wakeup;
use tokio::sync::Notify;

use super::seniority::turns_per_own;
use super::shared::Shared;

/// Looks at every poll until the future is dropped, and tells the other loops what there is to do.
pub(crate) async fn look_out(shared: Arc<Shared>, to_sweep: Arc<Notify>) {
    let poll_interval = shared.settings.poll_interval;
    let mut outage = shared.outages.watch("look", 2 * poll_interval);
    loop {
        let looked = look(&shared).await.map(|outlook| {
            tell(&shared, &to_sweep, outlook);
        });
        let is_answered = looked.is_ok();
        tokio::time::sleep(outage.pause(looked, poll_interval)).await;
        // What a poll finds, older workers find too and tell of: of leases that are over and that they cannot take
        // themselves, and of jobs that come due. Should they be full, ready jobs that no wakeup told of have to wait
        // for the look of a younger one.
        let left_to_others = turns_per_own(shared.liveness.older()) - 1;
        if is_answered {
            tokio::select! {
                () = tokio::time::sleep(left_to_others * poll_interval) => {}
                () = shared.registry.until(true) => {}
                () = shared.hints.until_deaf() => {}
            }
        }
    }
}

async fn look(shared: &Shared) -> Result<Outlook, DatabaseError> {
    let client = shared.database.client().await?;
    let looking = async {
        let outlook = lease::look(&client, &shared.settings.owner).await?;
        // Younger workers do not look as often, and they may be who can.
        let mut for_others = outlook.over.clone();
        for_others.retain(|lane| !shared.kinds.serve(*lane) || shared.slots.free(*lane) == 0);
        if !for_others.is_empty() {
            wakeup::announce_over(&client, &for_others).await?;
        }
        Ok(outlook)
    };
    let looked = shared.answer(looking).await;
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
