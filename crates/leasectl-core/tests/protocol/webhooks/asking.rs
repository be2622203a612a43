//! Deliveries that find no queued fetch, while somebody holds their repository's row.

use std::time::{Duration, Instant};

use futures::future::join_all;
use leasectl_core::database::{Database, PoolOptions};
use leasectl_core::webhook::{Deliveries, Delivery, Received};

use crate::fixture::Fixture;

use super::{accepted, alive, push, receive};

const HOLD: &str = "select from leasectl.repository where id = $1 for update";

/// What tells one wait for a lock from the next.
const WAIT: &str = "select count(*), coalesce(max(extract(epoch from query_start)::float8), 0) from pg_stat_activity \
                     where wait_event_type = 'Lock' and datname = current_database()";

#[tokio::test]
async fn whoever_waits_for_another_delivery_to_ask_holds_no_connection() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.repository("b").await;
    accepted(&fixture, &push("b1", "b")).await;
    let options = PoolOptions {
        max_size: 2,
        application_name: "two connections".to_owned(),
    };
    let process = Deliveries::over(Database::open(&fixture.url, options).unwrap());
    let mut holder = fixture.client().await;
    let held = holder.transaction().await.unwrap();
    held.query(HOLD, &[&repo.as_uuid()]).await.unwrap();

    let storm: Vec<Delivery> = (0..12).map(|n| push(&n.to_string(), "a")).collect();
    let received = join_all(storm.iter().map(|delivery| process.receive(delivery)));
    let meanwhile = async {
        fixture.until_somebody_waits().await;
        let other = process.receive(&push("b2", "b")).await.unwrap();
        assert!(matches!(other, Received::Accepted(_)), "{other:?}");
        held.rollback().await.unwrap();
    };
    let (received, ()) = tokio::join!(received, meanwhile);
    let asked = |received: Result<Received, _>| match received {
        Ok(Received::Accepted(fetches)) => fetches[0].deduplicated,
        other => panic!("{other:?}"),
    };
    let again = received.into_iter().map(asked).filter(|again| *again);
    assert_eq!(again.count(), 11, "one of them asks for all");
    assert_eq!(alive(&fixture, repo).await, 1);
}

#[tokio::test]
async fn a_row_that_is_held_longer_than_a_session_waits_for_a_lock_refuses_no_delivery() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut holder = fixture.client().await;
    let held = holder.transaction().await.unwrap();
    held.query(HOLD, &[&repo.as_uuid()]).await.unwrap();
    let watcher = fixture.client().await;
    let until_it_waits_again = async {
        fixture.until_somebody_waits().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut first = None;
        loop {
            let row = watcher.query_one(WAIT, &[]).await.unwrap();
            let (count, since): (i64, f64) = (row.get(0), row.get(1));
            if count > 0 && *first.get_or_insert(since) < since {
                break;
            }
            assert!(Instant::now() < deadline, "it does not wait again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        held.rollback().await.unwrap();
    };
    let delivery = push("1", "a");
    let (received, ()) = tokio::join!(receive(&fixture, &delivery), until_it_waits_again);
    assert!(matches!(received, Received::Accepted(_)), "{received:?}");
}

#[tokio::test]
async fn a_delivery_whose_request_is_dropped_is_received_to_the_end() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let mut holder = fixture.client().await;
    let held = holder.transaction().await.unwrap();
    held.query(HOLD, &[&repo.as_uuid()]).await.unwrap();
    let delivery = push("1", "a");
    tokio::select! {
        received = receive(&fixture, &delivery) => panic!("{received:?}"),
        () = fixture.until_somebody_waits() => {}
    }
    held.rollback().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while alive(&fixture, repo).await == 0 {
        assert!(Instant::now() < deadline, "nobody asked for a fetch");
        tokio::task::yield_now().await;
    }
    assert_eq!(receive(&fixture, &delivery).await, Received::Duplicate);
}
