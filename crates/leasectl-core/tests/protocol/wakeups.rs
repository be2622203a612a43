//! Wakeups are hints: heard when the connection is direct, and sent outside hot transactions.

use std::time::Duration;

use leasectl_core::job;
use leasectl_core::kind::Lane;
use leasectl_core::wakeup::{self, Listener, Notifier, Wakeup};

use crate::fixture::{FETCH, Fixture, owner};

const DEADLINE: Duration = Duration::from_secs(60);

async fn heard(listener: &mut Listener) -> Wakeup {
    tokio::time::timeout(DEADLINE, listener.recv())
        .await
        .expect("in time")
        .expect("connected")
}

#[tokio::test]
async fn a_listener_hears_of_lanes_with_work() {
    let fixture = Fixture::new().await;
    let mut listener = Listener::connect(&fixture.url).await.unwrap();
    wakeup::announce(&fixture.client().await, &[Lane::Fetch, Lane::Stack])
        .await
        .unwrap();
    assert_eq!(
        heard(&mut listener).await,
        Wakeup::Lanes(vec![Lane::Fetch, Lane::Stack])
    );
}

#[tokio::test]
async fn a_storm_of_enqueues_becomes_a_few_wakeups() {
    let fixture = Fixture::new().await;
    let mut listener = Listener::connect(&fixture.url).await.unwrap();
    let notifier = Notifier::start(fixture.database.clone());
    for _ in 0..1_000 {
        notifier.notify([Lane::Index]);
    }
    assert_eq!(heard(&mut listener).await, Wakeup::Lanes(vec![Lane::Index]));
    // At most the one that was on its way and one more; then silence up to the marker.
    wakeup::announce(&fixture.client().await, &[Lane::Stack])
        .await
        .unwrap();
    let mut others = 0;
    while heard(&mut listener).await != Wakeup::Lanes(vec![Lane::Stack]) {
        others += 1;
    }
    assert!(others <= 2, "{others} wakeups");
}

#[tokio::test]
async fn a_worker_hears_that_its_job_should_stop() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let _lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let mut listener = Listener::connect(&fixture.url).await.unwrap();
    job::cancel(&fixture.database, id).await.unwrap();
    assert_eq!(heard(&mut listener).await, Wakeup::Cancel(id));
}
