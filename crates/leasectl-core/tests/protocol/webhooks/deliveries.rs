//! What a delivery does, and for which repository.

use std::time::Duration;

use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::job::{EnqueueRequest, PublicState};
use leasectl_core::kind::{CanonicalArgs, FETCH};
use leasectl_core::repository;
use leasectl_core::webhook::{self, Delivery, Forge, Received};
use leasectl_remote::{Locality, RemoteUrl};

use crate::fixture::Fixture;

use super::{
    accepted, alive, claim_fetch, delivery, fail_for_good, fetched, push, receive, status,
};

#[tokio::test]
async fn a_delivery_marks_its_repository_dirty_and_asks_for_a_fetch() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let fresh = status(&fixture, "a").await;
    assert_eq!((fresh.dirty, fresh.last_webhook_at), (None, None));
    let asked = accepted(&fixture, &push("1", "a")).await;
    assert_eq!((asked.repo_id, asked.deduplicated), (repo, false));
    assert_eq!(fixture.stored_state(asked.job_id).await, "ready");
    let dirty = status(&fixture, "a").await;
    assert_eq!(dirty.dirty, Some(true));
    assert!(dirty.dirty_since.is_some() && dirty.dirty_since == dirty.last_webhook_at);
    assert!(dirty.last_requested_fetch_at >= dirty.dirty_since);

    let lease = claim_fetch(&fixture).await;
    fetched(&fixture, lease, true).await;
    let clean = status(&fixture, "a").await;
    assert_eq!((clean.dirty, clean.dirty_since), (Some(false), None));
    assert_eq!(clean.last_webhook_at, dirty.last_webhook_at);
}

#[tokio::test]
async fn a_delivery_that_is_sent_again_has_no_effect() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    accepted(&fixture, &push("1", "a")).await;
    assert_eq!(
        receive(&fixture, &push("1", "a")).await,
        Received::Duplicate
    );
    let lease = claim_fetch(&fixture).await;
    fetched(&fixture, lease, true).await;
    // Also when nothing is queued any more.
    assert_eq!(
        receive(&fixture, &push("1", "a")).await,
        Received::Duplicate
    );
    assert_eq!(alive(&fixture, repo).await, 0);
    assert_eq!(status(&fixture, "a").await.dirty, Some(false));
    // Ids are a forge's own.
    let elsewhere = Delivery {
        forge: Forge::Gitea,
        ..push("1", "a")
    };
    assert!(matches!(
        receive(&fixture, &elsewhere).await,
        Received::Accepted(_)
    ));
}

#[tokio::test]
async fn a_delivery_finds_its_repository_under_every_url_of_it() {
    let fixture = Fixture::new().await;
    for (number, (registered, delivered)) in [
        (
            "https://forge.example.com/a/one.git",
            "https://forge.example.com/a/one",
        ),
        (
            "https://forge.example.com/a/two",
            "https://forge.example.com/a/two.git",
        ),
        (
            "https://forge.example.com/a/three",
            "git@forge.example.com:a/three.git",
        ),
        (
            "git@forge.example.com:a/four.git",
            "https://forge.example.com/a/four.git",
        ),
        (
            "ssh://git@forge.example.com:2222/a/five",
            "https://forge.example.com/a/five.git",
        ),
        (
            "https://forge.example.com/A/Six",
            "https://forge.example.com/a/six.git",
        ),
        (
            "https://forge.example.com:8443/g/s/seven",
            "git@forge.example.com:g/s/seven.git",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let new = repository::NewRepository {
            git_url: RemoteUrl::parse(registered, Locality::PublicOnly).unwrap(),
            name: None,
            default_branch: None,
            fetch_every: None,
        };
        let repo = repository::register(&fixture.database, &new).await.unwrap();
        let asked = accepted(&fixture, &delivery(&number.to_string(), &[delivered])).await;
        assert_eq!(
            asked.repo_id, repo.repository.id,
            "{registered} {delivered}"
        );
    }
    for elsewhere in [
        "https://forge.example.com/a/on",
        "https://forge.example.com/a/one/b",
        "https://other.example.com/a/one",
        "https://forge.example.com/one",
    ] {
        let received = receive(&fixture, &delivery("x", &[elsewhere])).await;
        assert_eq!(received, Received::UnknownRepository, "{elsewhere}");
    }
    assert_eq!(
        fixture
            .count("select count(*) from leasectl.webhook_delivery")
            .await,
        7
    );
}

#[tokio::test]
async fn a_repository_under_two_urls_is_fetched_under_both() {
    let fixture = Fixture::new().await;
    let mut repositories = Vec::new();
    for url in [
        "https://forge.example.com/a/b",
        "git@forge.example.com:a/b.git",
    ] {
        let new = repository::NewRepository {
            git_url: RemoteUrl::parse(url, Locality::PublicOnly).unwrap(),
            name: None,
            default_branch: None,
            fetch_every: None,
        };
        let registered = repository::register(&fixture.database, &new).await.unwrap();
        repositories.push(registered.repository.id);
    }
    // One of them has a fetch already, which waits for its next attempt.
    let request = EnqueueRequest::new(repositories[0], &FETCH, CanonicalArgs::none());
    let waits = fixture.enqueue_as(request).await.job_id;
    let silent = JobError::retryable(ErrorCode::RemoteTimeout, "silent");
    let failed = claim_fetch(&fixture).await.fail(silent);
    fixture.settle(failed).await;
    let both = delivery("1", &["https://forge.example.com/a/b.git"]);
    let Received::Accepted(asked) = receive(&fixture, &both).await else {
        panic!("it is new");
    };
    let seen: Vec<_> = asked.iter().map(|a| (a.repo_id, a.deduplicated)).collect();
    assert_eq!(seen, [(repositories[0], true), (repositories[1], false)]);
    assert_eq!(asked[0].job_id, waits);
    for repo in repositories {
        assert_eq!(alive(&fixture, repo).await, 1);
    }
}

#[tokio::test]
async fn a_delivery_waits_for_no_row_that_somebody_holds_while_a_fetch_is_queued() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    accepted(&fixture, &push("1", "a")).await;
    // Long ago enough to be written again.
    fixture
        .execute(
            "update leasectl.repository set last_webhook_at = now() - interval '1 minute'",
            &[],
        )
        .await;
    let mut client = fixture.client().await;
    let holder = client.transaction().await.unwrap();
    holder
        .batch_execute(
            "select from leasectl.repository for update; select from leasectl.job for update",
        )
        .await
        .unwrap();
    let limit = Duration::from_secs(1);
    let asked = tokio::time::timeout(limit, accepted(&fixture, &push("2", "a"))).await;
    assert!(asked.expect("it waits for nobody").deduplicated);
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn a_fetch_that_ends_in_an_error_leaves_its_repository_dirty() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    let asked = accepted(&fixture, &push("1", "a")).await;
    let since = status(&fixture, "a").await.dirty_since;
    let lease = claim_fetch(&fixture).await;
    fail_for_good(&fixture, lease).await;
    assert_eq!(fixture.job(asked.job_id).await.state, PublicState::Error);
    // Whatever becomes of its history.
    fixture
        .execute("delete from leasectl.job_history", &[])
        .await;
    let failed = status(&fixture, "a").await;
    assert_eq!((failed.dirty, failed.dirty_since), (Some(true), since));
}

#[tokio::test]
async fn old_deliveries_are_forgotten_in_batches() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture
        .execute(
            "insert into leasectl.webhook_delivery (forge, delivery_id, received_at, repo_id) \
             select 'github', n::text, now() - interval '4 days', $1 from generate_series(1, 7000) n",
            &[&repo.as_uuid()],
        )
        .await;
    accepted(&fixture, &push("young", "a")).await;
    let forget = || webhook::forget_deliveries(&fixture.database, webhook::REMEMBERED);
    assert_eq!(forget().await.unwrap(), 7_000);
    assert_eq!(forget().await.unwrap(), 0);
    assert_eq!(
        receive(&fixture, &push("young", "a")).await,
        Received::Duplicate
    );
}
