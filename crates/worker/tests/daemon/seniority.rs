//! What the youngest of many workers leaves to older ones.

use std::time::Duration;

use leasectl_core::ids::Owner;
use leasectl_embedded::scratch::ScratchServer;

use crate::death::idler;
use crate::handlers::no_op;
use crate::world::World;

/// The server has run the statement that only counts who is older.
const COUNTED: &str = ": -- How many watched workers at work are older";

fn log_of(server: &ScratchServer) -> String {
    std::fs::read_to_string(server.log_path()).expect("a log")
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_ten_are_older_than_counts_them() {
    let (world, server) = World::with_server().await;
    let mut elders = Vec::new();
    for number in 0..10 {
        let owner = Owner::from(format!("elder:{number}:1"));
        elders.push(idler(&world, &owner).await);
    }
    // One of them is the detector, so that the youngest goes on with its looks around.
    assert!(elders[0].ping().await.expect("an answer").detects);
    world
        .sql("update leasectl.worker set heartbeat_at = now() + interval '1 hour'")
        .await;
    world.sql("alter system set log_statement = 'all'").await;
    world.sql("select pg_reload_conf()").await;
    let youngest = world.worker([no_op()]).start();
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    let counted = async {
        while !log_of(&server)
            .lines()
            .any(|line| line.contains("execute") && line.contains(COUNTED))
        {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), counted)
        .await
        .expect("the youngest counts");
    youngest.drain().await;
}
