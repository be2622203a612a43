//! Jobs that follow from the work of another: there if, and only if, what they follow from was written.

use std::time::Duration;

use leasectl_core::ids::RepoId;
use leasectl_core::job::{EnqueueRequest, FollowUp, NotBefore, PublicState, enqueue_fenced};
use leasectl_core::kind::{CanonicalArgs, Lane};
use leasectl_core::lease::{FencedTransaction, Lease};
use leasectl_core::wakeup::{Listener, Wakeup};
use uuid::Uuid;

use crate::fixture::{FETCH, Fixture, INDEX, STACK, owner, urgent};

/// What must not wait for anybody is over by then.
const DEADLINE: Duration = Duration::from_secs(60);
const JOBS: &str = "select count(*) from leasectl.job where lane = 'index'";

/// Has an index follow.
async fn index(fenced: &FencedTransaction<'_>, repo: RepoId) -> Option<FollowUp> {
    let request = EnqueueRequest::new(repo, &INDEX, CanonicalArgs::none());
    enqueue_fenced(fenced, &[request]).await.unwrap().pop()
}

/// A repository, and the lease of a fetch of it.
async fn fetching(fixture: &Fixture) -> (RepoId, Lease) {
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "").await;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    (repo, lease)
}

#[tokio::test]
async fn what_follows_exists_only_if_its_transaction_commits() {
    let fixture = Fixture::new().await;
    let (repo, lease) = fetching(&fixture).await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let undone = index(&fenced, repo).await;
    assert!(!undone.unwrap().deduplicated);
    drop(fenced);
    assert_eq!(fixture.count(JOBS).await, 0);

    let mut listener = Listener::connect(&fixture.url).await.unwrap();
    let fenced = fence.begin(&mut client).await.unwrap();
    let follows = index(&fenced, repo).await.unwrap();
    fenced.commit().await.unwrap();
    let id = follows.job_id;
    assert_eq!(fixture.job(id).await.state, PublicState::Waiting);
    follows.start(&client).await.unwrap();

    let heard = tokio::time::timeout(DEADLINE, listener.recv()).await;
    assert_eq!(heard.unwrap(), Some(Wakeup::Lanes(vec![Lane::Index])));
    let started = fixture.claim_one(&owner("other"), Lane::Index).await;
    assert_eq!(started.job().id, id);
}

#[tokio::test]
async fn what_follows_is_started_by_the_sweep_when_its_own_worker_does_not() {
    let fixture = Fixture::new().await;
    let (repo, lease) = fetching(&fixture).await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let follows = index(&fenced, repo).await;
    let id = follows.unwrap().job_id;
    fenced.commit().await.unwrap();
    assert!(
        fixture
            .claim(&owner("other"), Lane::Index, 1)
            .await
            .is_empty()
    );
    leasectl_core::lease::sweep(&client).await.unwrap();
    let started = fixture.claim_one(&owner("other"), Lane::Index).await;
    assert_eq!(started.job().id, id);
}

#[tokio::test]
async fn an_equal_job_that_waits_is_what_follows_and_does_not_start_before_the_commit() {
    let fixture = Fixture::new().await;
    let (repo, lease) = fetching(&fixture).await;
    let asked = fixture.request(repo, &INDEX, "").priority(urgent(7));
    let asked = fixture.enqueue_as(asked).await.job_id;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let follows = index(&fenced, repo).await.unwrap();
    assert!(follows.deduplicated);
    assert_eq!(follows.job_id, asked);
    let other = owner("other");
    assert!(fixture.claim(&other, Lane::Index, 1).await.is_empty());
    fenced.commit().await.unwrap();
    follows.start(&client).await.unwrap();
    let started = fixture.claim_one(&other, Lane::Index).await;
    assert_eq!(started.job().id, asked);
    assert_eq!(fixture.job(asked).await.priority, 7);

    // It runs, and may have read what is written only now.
    let fenced = fence.begin(&mut client).await.unwrap();
    let follows = index(&fenced, repo).await;
    fenced.commit().await.unwrap();
    assert_ne!(follows.unwrap().job_id, asked);
}

#[tokio::test]
async fn nobody_who_enqueues_something_else_waits_for_the_transaction() {
    let fixture = Fixture::new().await;
    let (repo, lease) = fetching(&fixture).await;
    let elsewhere = fixture.repository("b").await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let follows = index(&fenced, repo).await.unwrap();

    let others = async {
        fixture.enqueue(elsewhere, &INDEX, "").await;
        fixture.enqueue(repo, &FETCH, "").await;
        // In the same lane, which the transaction does not take.
        fixture.enqueue(repo, &INDEX, "another").await.job_id
    };
    let first = tokio::time::timeout(DEADLINE, others).await.unwrap();
    assert_eq!(fixture.stored_state(first).await, "ready");
    fenced.commit().await.unwrap();
    let id = follows.job_id;
    follows.start(&client).await.unwrap();
    assert_eq!(fixture.stored_state(id).await, "waiting");
}

#[tokio::test]
async fn nothing_follows_for_a_repository_that_is_not_registered() {
    let fixture = Fixture::new().await;
    let (_, lease) = fetching(&fixture).await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let nobody = Uuid::from_u128(7).into();
    let follows = index(&fenced, nobody).await;
    assert!(follows.is_none());
    fenced.commit().await.unwrap();
    assert_eq!(fixture.count(JOBS).await, 0);
}

#[tokio::test]
async fn several_jobs_follow_at_once_each_with_its_arguments_and_priority() {
    let fixture = Fixture::new().await;
    let (repo, lease) = fetching(&fixture).await;
    let noted = fixture
        .request(repo, &INDEX, "noted")
        .priority(urgent(9))
        .not_before(NotBefore::In(Duration::from_secs(3_600)));
    let requests = [noted, fixture.request(repo, &STACK, "")];
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let follow = enqueue_fenced(&fenced, &requests).await.unwrap();
    assert!(enqueue_fenced(&fenced, &[]).await.unwrap().is_empty());
    fenced.commit().await.unwrap();
    let kinds: Vec<_> = follow.iter().map(|follow| follow.kind).collect();
    assert_eq!(kinds, [INDEX.name, STACK.name]);
    let first = fixture.job(follow[0].job_id).await;
    assert_eq!(first.args, serde_json::json!({"note": "noted"}));
    assert_eq!(first.priority, 9);
    assert!(first.not_before > Some(first.created_at));
    for follow in follow {
        follow.start(&client).await.unwrap();
    }
    let other = owner("other");
    let _stack = fixture.claim_one(&other, Lane::Stack).await;
    assert!(fixture.claim(&other, Lane::Index, 1).await.is_empty());
}
