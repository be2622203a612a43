//! Fetches and backfills of a repository write at the same time.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::changes::Mode;

use crate::world::{MAIN, World, entries, oid, open_change};

const ROUNDS: u64 = 25;
/// A few hundred short transactions are over by then, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(180);

#[tokio::test]
async fn neither_waits_for_the_other_in_a_circle() {
    let world = Arc::new(World::new().await);
    world.fetch(MAIN, &entries(100)).await;
    let fetching = Arc::clone(&world);
    let fetches = tokio::spawn(async move {
        for round in 0..ROUNDS {
            // Deletes, makes anew and moves, so that all of its statements meet the batches.
            let mut next = entries(if round % 2 == 0 { 50 } else { 100 });
            next.iter_mut()
                .step_by(3)
                .for_each(|entry| entry.head = oid(1_000 + round));
            fetching.fetch(MAIN + round, &next).await;
        }
    });
    let backfills = async {
        while !fetches.is_finished() {
            world.run(Mode::OpenOnly, open_change).await;
        }
        fetches.await.unwrap();
    };
    let ended = tokio::time::timeout(DEADLINE, backfills).await;
    assert!(ended.is_ok(), "they wait for each other");
    world.run(Mode::OpenOnly, open_change).await;
    let counts = world.counts().await;
    assert_eq!((counts.total, counts.current), (50, 50), "{counts:?}");
}
