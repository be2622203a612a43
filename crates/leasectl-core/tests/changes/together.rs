//! Fetches and backfills of a repository write at the same time.

use std::sync::Arc;

use leasectl_core::changes::Mode;

use crate::world::{MAIN, World, entries, oid, open_change};

const ROUNDS: u64 = 25;

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
    while !fetches.is_finished() {
        world.run(Mode::OpenOnly, open_change).await;
    }
    fetches.await.unwrap();
    world.run(Mode::OpenOnly, open_change).await;
    let counts = world.counts().await;
    assert_eq!((counts.total, counts.current), (50, 50), "{counts:?}");
}
