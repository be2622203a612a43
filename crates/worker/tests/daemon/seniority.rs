//! What a worker does that many others are older than.

use leasectl_core::ids::Owner;

use crate::death::idler;
use crate::handlers::no_op;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn whom_ten_are_older_than_counts_them_without_a_look_at_their_locks() {
    let world = World::new().await;
    let mut elders = Vec::new();
    for number in 0..10 {
        let owner = Owner::from(format!("elder-{number}:1:1"));
        elders.push(idler(&world, &owner).await);
    }
    let detects = elders[0].ping().await.expect("an answer").detects;
    assert!(detects, "one of them is the detector");
    // However slow the machine, they count as at work.
    let at_work = "update leasectl.worker set heartbeat_interval = '1 hour'";
    assert_eq!(world.sql(at_work).await, 10);
    let worker = world.worker([no_op()]).start();
    // Not when it is prepared, at the start.
    let counted = "select count(*) from pg_stat_activity \
                    where datname = current_database() and query_start > backend_start + interval '5 s' \
                      and query like '-- How many watched workers at work are older%'";
    world.until_some(counted, "nobody counts").await;
    worker.drain().await;
}
