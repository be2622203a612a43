//! Registering, finding and removing repositories, and what a fetch records.

use leasectl_core::ids::RepoId;
use leasectl_core::job::{EnqueueRequest, PublicState};
use leasectl_core::kind::{CanonicalArgs, Lane};
use leasectl_core::lease;
use leasectl_core::repository::{
    self, FetchRecord, NewRepository, Recorded, RegisterError, RemoveOutcome, RepoRef,
};
use leasectl_remote::{Locality, RemoteUrl, RepoName};
use uuid::Uuid;

use crate::fixture::{FETCH, Fixture, done, owner};

fn new(url: &str, name: Option<&str>) -> NewRepository {
    NewRepository {
        git_url: RemoteUrl::parse(url, Locality::PublicOnly).unwrap(),
        name: name.map(|name| RepoName::parse(name).unwrap()),
        default_branch: None,
        fetch_every: None,
    }
}

#[tokio::test]
async fn a_url_is_registered_once_whatever_its_notation() {
    let fixture = Fixture::new().await;
    let first =
        repository::register(&fixture.database, &new("https://Git.Example.com/a/b", None)).await;
    let again = repository::register(
        &fixture.database,
        &new("https://git.example.com:443/a/b/", None),
    )
    .await;
    let (first, again) = (first.unwrap(), again.unwrap());
    assert!(first.created && !again.created);
    assert_eq!(first.repository.id, again.repository.id);
    assert_eq!(first.repository.name, "a/b");
}

#[tokio::test]
async fn a_taken_name_is_refused_with_a_suggestion_that_is_free() {
    let fixture = Fixture::new().await;
    let database = &fixture.database;
    repository::register(database, &new("https://one.example.com/a/b", Some("x/y")))
        .await
        .unwrap();
    let taken = new("https://two.example.com/a/b", Some("x/y"));
    let Err(RegisterError::NameTaken { suggestion, .. }) =
        repository::register(database, &taken).await
    else {
        panic!("the name was taken");
    };
    let free = NewRepository {
        name: Some(suggestion),
        ..taken
    };
    assert!(repository::register(database, &free).await.unwrap().created);
}

#[tokio::test]
async fn without_a_wish_a_free_name_is_found() {
    let fixture = Fixture::new().await;
    let database = &fixture.database;
    let one = repository::register(database, &new("https://one.example.com/a/b", None)).await;
    let two = repository::register(database, &new("https://two.example.com/a/b", None)).await;
    assert_ne!(one.unwrap().repository.name, two.unwrap().repository.name);
}

/// Records a fetch that found these branches, of which the first is the default one.
async fn record(fixture: &Fixture, repo: RepoId, branches: &[(&str, &str)]) -> Recorded {
    fixture.enqueue(repo, &FETCH, "").await;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let first = branches.first();
    let record = FetchRecord {
        is_whole: true,
        branches: branches
            .iter()
            .map(|(n, h)| ((*n).to_owned(), (*h).to_owned()))
            .collect(),
        default_branch: first.map(|(name, _)| (*name).to_owned()),
        head: first.map(|(_, head)| (*head).to_owned()),
        changed: false,
    };
    let recorded = repository::record_fetch(&fenced, repo, &record)
        .await
        .unwrap();
    fenced.commit().await.unwrap();
    drop(client);
    fixture.settle(lease.complete(done())).await;
    recorded
}

#[tokio::test]
async fn a_fetch_replaces_the_branch_projection() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    record(&fixture, repo, &[("main", "a1"), ("old", "b1")]).await;
    record(&fixture, repo, &[("main", "a2")]).await;
    let branches = repository::branches(&fixture.database, repo).await.unwrap();
    let heads: Vec<_> = branches
        .iter()
        .map(|b| (b.name.as_str(), b.head.as_deref()))
        .collect();
    assert_eq!(heads, [("main", Some("a2"))]);
    let stored = repository::find(&fixture.database, &RepoRef::Id(repo))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.head.as_deref(), Some("a2"));
    assert!(stored.last_successful_fetch_at.is_some());
}

#[tokio::test]
async fn a_fetch_says_whether_the_default_branch_moved() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    for (found, what, branches) in [
        (Recorded::Unmoved, "nothing is there", &[][..]),
        (Recorded::Moved, "the first head", &[("main", "a1")]),
        (Recorded::Unmoved, "the same", &[("main", "a1")]),
        (
            Recorded::Unmoved,
            "another branch is new",
            &[("main", "a1"), ("next", "a1")],
        ),
        (
            Recorded::Unmoved,
            "another branch moved",
            &[("main", "a1"), ("next", "b1")],
        ),
        (
            Recorded::Moved,
            "a new head",
            &[("main", "a2"), ("next", "a2")],
        ),
        (
            Recorded::Moved,
            "another default branch at the same head",
            &[("next", "a2"), ("main", "a2")],
        ),
        (Recorded::Unmoved, "everything is gone", &[]),
        (Recorded::Moved, "it is back", &[("next", "a2")]),
    ] {
        assert_eq!(record(&fixture, repo, branches).await, found, "{what}");
    }
    let removed = Uuid::from_u128(7).into();
    fixture.enqueue(repo, &FETCH, "").await;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let nothing = FetchRecord {
        is_whole: true,
        branches: Vec::new(),
        default_branch: None,
        head: None,
        changed: false,
    };
    let recorded = repository::record_fetch(&fenced, removed, &nothing).await;
    assert_eq!(recorded.unwrap(), Recorded::Removed);
}

#[tokio::test]
async fn a_repository_with_a_running_job_is_not_removed() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    fixture.enqueue(repo, &FETCH, "1").await;
    let lease = fixture.claim_one(&owner("me"), Lane::Fetch).await;
    let waiting = fixture.enqueue(repo, &FETCH, "2").await.job_id;
    let busy = repository::remove(&fixture.database, repo).await.unwrap();
    assert_eq!(busy, RemoveOutcome::Busy);
    fixture.settle(lease.complete(done())).await;
    let removed = repository::remove(&fixture.database, repo).await.unwrap();
    assert_eq!(removed, RemoveOutcome::Removed);
    let job = fixture.job(waiting).await;
    assert_eq!((job.state, job.repo), (PublicState::Cancelled, None));
    let gone = repository::remove(&fixture.database, repo).await.unwrap();
    assert_eq!(gone, RemoveOutcome::NotFound);
}

#[tokio::test]
async fn the_diagnostics_follow_a_fetch_from_request_to_success() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let name = RepoName::parse("team/a").unwrap();
    let status = || async {
        repository::change_status(&fixture.database, &name)
            .await
            .unwrap()
            .expect("it is registered")
    };
    let fresh = status().await;
    assert_eq!((fresh.dirty, fresh.last_requested_fetch_at), (None, None));

    let spec = leasectl_core::kind::FETCH;
    let args = fixture
        .kinds
        .canonical_args("fetch", &serde_json::json!({}))
        .unwrap();
    fixture
        .enqueue_as(EnqueueRequest::new(repo, &spec, args))
        .await;
    let asked = status().await;
    assert_eq!(asked.dirty, Some(true));
    assert!(asked.last_requested_fetch_at.is_some() && !asked.fetch_in_progress);

    let me = owner("me");
    let request = lease::ClaimRequest {
        slots: &[(Lane::Fetch, 1)],
        kinds: &["fetch"],
    };
    let mut leases = lease::claim(&fixture.client().await, &me, &fixture.settings, &request)
        .await
        .unwrap();
    let running = status().await;
    assert!(running.fetch_in_progress);
    assert_eq!(running.fetch_lease_owner_id.as_deref(), Some(me.as_str()));
    assert!(running.fetch_lease_expires_at.is_some());

    fixture.settle(leases.remove(0).complete(done())).await;
    let clean = status().await;
    assert_eq!((clean.dirty, clean.dirty_since), (Some(false), None));
    assert!(clean.last_fetch_finished_at.is_some() && !clean.fetch_in_progress);
}

#[tokio::test]
async fn the_diagnostics_tell_when_the_index_began_and_ended_last() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let name = RepoName::parse("team/a").unwrap();
    let times = || async {
        let status = repository::change_status(&fixture.database, &name).await;
        let status = status.unwrap().expect("it is registered");
        let of_fetch = (status.last_fetch_started_at, status.last_fetch_finished_at);
        assert_eq!(of_fetch, (None, None), "an index is no fetch");
        (status.last_index_started_at, status.last_index_finished_at)
    };
    // The names of kinds are what the diagnostics go by.
    let index = leasectl_core::kind::INDEX;
    let enqueue = || async {
        let request = EnqueueRequest::new(repo, &index, CanonicalArgs::none());
        fixture.enqueue_as(request).await.job_id
    };
    let claim = || async {
        let request = lease::ClaimRequest {
            slots: &[(Lane::Index, 1)],
            kinds: &[index.name],
        };
        let client = fixture.client().await;
        let claimed = lease::claim(&client, &owner("me"), &fixture.settings, &request).await;
        claimed.unwrap().pop().expect("a job is ready")
    };
    assert_eq!(times().await, (None, None));
    let cancelled = enqueue().await;
    leasectl_core::job::cancel(&fixture.database, cancelled)
        .await
        .unwrap();
    assert_eq!(times().await, (None, None), "it never began");

    enqueue().await;
    let first = claim().await;
    let (started, finished) = times().await;
    assert!(started.is_some() && finished.is_none());
    fixture.settle(first.complete(done())).await;
    let (again, finished) = times().await;
    assert_eq!(again, started);
    assert!(finished > started);

    enqueue().await;
    let _second = claim().await;
    let (newer, still) = times().await;
    assert!(newer > finished);
    assert_eq!(still, finished);
}
