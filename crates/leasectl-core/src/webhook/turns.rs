//! Whose turn it is, in this process, to ask for a fetch of a repository.

use std::array::from_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio::time::timeout;
use uuid::Uuid;

use super::Seen;
use crate::database::DatabaseError;

/// One for each value of a byte: repositories may meet by chance, and wait for each other.
const PLACES: usize = 256;

/// How many deliveries wait at one place at most: three quarters of the requests that the API works on at once, so
/// that a repository whose row is held leaves some to others.
const WAITING: usize = 192;

/// Has deliveries that find no queued fetch ask for one after another, repository by repository.
///
/// It spares connections, and decides nothing: askers of other processes meet at the repository's row.
#[derive(Debug)]
pub(super) struct Turns {
    places: [Place; PLACES],
    patience: Duration,
}

#[derive(Debug)]
struct Place {
    turn: Arc<Mutex<()>>,
    waiting: Semaphore,
}

/// Held by the delivery that asks.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Turns that are waited for so long.
    pub(super) fn new(patience: Duration) -> Self {
        let place = |_| Place {
            turn: Arc::default(),
            waiting: Semaphore::new(WAITING),
        };
        Self {
            places: from_fn(place),
            patience,
        }
    }

    /// The turn to ask for what was not found; nothing when somebody had it, who is done now: look again.
    ///
    /// # Errors
    /// When too many wait already, or the wait is too long.
    pub(super) async fn take(&self, seen: &Seen) -> Result<Option<Turn>, DatabaseError> {
        let first = seen.fetches.first().map(|(repo, _)| repo.as_uuid());
        let place = &self.places[number(first.unwrap_or_default())];
        if let Ok(turn) = Arc::clone(&place.turn).try_lock_owned() {
            return Ok(Some(turn));
        }
        let Ok(_waits) = place.waiting.try_acquire() else {
            return Err(DatabaseError::NoAnswer);
        };
        let waited = timeout(self.patience, place.turn.lock()).await;
        waited
            .map(|_turn| None)
            .map_err(|_elapsed| DatabaseError::NoAnswer)
    }
}

/// The last byte of a random UUID is random.
fn number(repository: Uuid) -> usize {
    let [.., last] = *repository.as_bytes();
    usize::from(last)
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    fn without_fetch() -> Seen {
        Seen {
            fetches: vec![(Uuid::from_u128(7).into(), None)],
            noted: false,
        }
    }

    #[tokio::test]
    async fn no_more_than_three_quarters_of_the_requests_wait_for_one_turn() {
        let turns = Turns::new(Duration::from_secs(60));
        let held = turns.take(&without_fetch()).await.unwrap();
        assert!(held.is_some(), "nobody had it");
        let seen = without_fetch();
        let storm = join_all((0..WAITING + 3).map(|_| turns.take(&seen)));
        let release = async {
            tokio::task::yield_now().await;
            drop(held);
        };
        let (answers, ()) = tokio::join!(storm, release);
        let refused = answers.iter().filter(|answer| answer.is_err()).count();
        assert_eq!(refused, 3);
        assert!(answers.iter().flatten().all(Option::is_none));
        assert!(matches!(turns.take(&seen).await, Ok(Some(_))));
    }

    #[tokio::test]
    async fn a_turn_that_does_not_come_is_not_waited_for_without_end() {
        let turns = Turns::new(Duration::from_millis(20));
        let _held = turns.take(&without_fetch()).await.unwrap();
        assert!(turns.take(&without_fetch()).await.is_err());
    }
}
