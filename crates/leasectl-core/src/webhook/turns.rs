//! Whose turn it is, in this process, to ask for a fetch of a repository.

use std::array::from_fn;

use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::Seen;

/// One for each value of a byte. Repositories that meet here by chance wait for each other, and no more comes of it.
const PLACES: usize = 256;

/// Has deliveries that find no queued fetch ask for one after another, repository by repository.
///
/// It spares connections, and decides nothing: askers of other processes meet at the repository's row.
#[derive(Debug)]
pub(super) struct Turns([Mutex<()>; PLACES]);

impl Turns {
    pub(super) fn new() -> Self {
        Self(from_fn(|_| Mutex::new(())))
    }

    /// The turn to ask for what was not found; nothing when somebody had it, who is done now: look again.
    pub(super) async fn take(&self, seen: &Seen) -> Option<MutexGuard<'_, ()>> {
        let first = seen.fetches.first().map(|(repo, _)| repo.as_uuid());
        let place = &self.0[place(first.unwrap_or_default())];
        if let Ok(turn) = place.try_lock() {
            return Some(turn);
        }
        drop(place.lock().await);
        None
    }
}

/// The last byte of a random UUID is random.
fn place(repository: Uuid) -> usize {
    let [.., last] = *repository.as_bytes();
    usize::from(last)
}
