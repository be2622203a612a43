//! The poll: one cheap look per interval, which finds whatever no wakeup told.
//!
//! **Invariant.** Nothing here takes a row's lock or acts on what it sees: a sweep that takes long, or a
//! claim that waits, does not delay the next look.

use std::sync::Arc;

use leasectl_core::database::DatabaseError;
use leasectl_core::lease::{self, Outlook};
use leasectl_core::wakeup;
use tokio::sync::Notify;

use super::seniority::until_own_turn;
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
        if is_answered {
            leave_to_older(&shared).await;
        }
    }
}

/// Waits while older workers look. What they find that they cannot take, they tell of: leases that are over, and jobs
/// that their sweeps made ready. Ready jobs that no wakeup told of wait for the look of whoever has room.
async fn leave_to_older(shared: &Shared) {
    let one_poll = || tokio::time::sleep(shared.settings.poll_interval);
    tokio::select! {
        () = until_own_turn(|| shared.liveness.older(), one_poll) => {}
        () = shared.registry.until(true) => {}
        () = shared.hints.until_not_listening() => {}
    }
}

async fn look(shared: &Shared) -> Result<Outlook, DatabaseError> {
    let client = shared.database.client().await?;
    let looking = async {
        let outlook = lease::look(&client, &shared.settings.owner).await?;
        // Younger workers do not look as often, and they may be who can.
        let for_others = shared.for_others(&outlook.over);
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
