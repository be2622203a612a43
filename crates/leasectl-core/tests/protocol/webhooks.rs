//! Deliveries of webhooks, and what a storm of them becomes.

use std::time::Duration;

use futures::future::join_all;
use leasectl_core::ids::{JobId, RepoId};
use leasectl_core::job::{self, EnqueueRequest, JobFilter, NotBefore, PublicState};
use leasectl_core::kind::{CanonicalArgs, FETCH, KindSpec, Lane};
use leasectl_core::lease::{self, ClaimRequest, Lease, Settlement};
use leasectl_core::repository::{self, ChangeStatus, FetchRecord};
use leasectl_core::webhook::{self, AskedFetch, Delivery, DeliveryId, Forge, Received};
use leasectl_remote::{Locality, RemoteUrl, RepoName};

use crate::fixture::{Fixture, done, owner};

const BACKFILL: KindSpec = KindSpec {
    name: "t_backfill",
    lane: Lane::Backfill,
    args: &[],
};

fn delivery(id: &str, remotes: &[&str]) -> Delivery {
    let remote = |url: &&str| RemoteUrl::parse(url, Locality::PublicOnly).unwrap();
    Delivery {
        forge: Forge::GitHub,
        id: DeliveryId::parse(id).unwrap(),
        remotes: remotes.iter().map(remote).collect(),
    }
}

/// A delivery for the repository that the fixture registers under that name.
fn push(id: &str, name: &str) -> Delivery {
    delivery(id, &[&format!("https://git.example.com/team/{name}.git")])
}

async fn receive(fixture: &Fixture, delivery: &Delivery) -> Received {
    webhook::receive(&fixture.database, delivery).await.unwrap()
}

async fn accepted(fixture: &Fixture, delivery: &Delivery) -> AskedFetch {
    match receive(fixture, delivery).await {
        Received::Accepted(fetches) => fetches[0],
        other @ (Received::Duplicate | Received::UnknownRepository) => panic!("{other:?}"),
    }
}

pub(crate) async fn claim_fetches(fixture: &Fixture, free: usize) -> Vec<Lease> {
    let request = ClaimRequest {
        slots: &[(Lane::Fetch, free)],
        kinds: &[FETCH.name],
    };
    let client = fixture.client().await;
    lease::claim(&client, &owner("me"), &fixture.settings, &request)
        .await
        .unwrap()
}

pub(crate) async fn claim_fetch(fixture: &Fixture) -> Lease {
    claim_fetches(fixture, 1)
        .await
        .pop()
        .expect("a fetch is ready")
}

/// Records a fetch of everything as its handler does, and ends it.
pub(crate) async fn fetched(fixture: &Fixture, lease: Lease, changed: bool) {
    let (fence, repo) = (lease.fence(), lease.job().repo_id);
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let record = FetchRecord {
        is_whole: true,
        branches: Vec::new(),
        default_branch: None,
        head: None,
        changed,
    };
    repository::record_fetch(&fenced, repo, &record)
        .await
        .unwrap();
    fenced.commit().await.unwrap();
    drop(client);
    fixture.settle(lease.complete(done())).await;
}

async fn status(fixture: &Fixture, name: &str) -> ChangeStatus {
    let name = RepoName::parse(&format!("team/{name}")).unwrap();
    let status = repository::change_status(&fixture.database, &name).await;
    status.unwrap().expect("it is registered")
}

async fn alive(fixture: &Fixture, repo: RepoId) -> i64 {
    let count = "select count(*) from leasectl.job where repo_id = $1 and lane = 'fetch'";
    let client = fixture.client().await;
    client
        .query_one(count, &[&repo.as_uuid()])
        .await
        .unwrap()
        .get(0)
}

/// Lets the time pass until scheduled jobs are due, and sweeps as a worker does.
async fn wait_out_the_spacing(fixture: &Fixture) {
    fixture
        .execute(
            "update leasectl.job set not_before = now() where state = 'scheduled'",
            &[],
        )
        .await;
    lease::sweep(&fixture.client().await).await.unwrap();
}

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
    // One of them has a fetch queued already.
    let request = EnqueueRequest::new(repositories[0], &FETCH, CanonicalArgs::none());
    fixture.enqueue_as(request).await;
    let both = delivery("1", &["https://forge.example.com/a/b.git"]);
    let Received::Accepted(asked) = receive(&fixture, &both).await else {
        panic!("it is new");
    };
    let seen: Vec<_> = asked.iter().map(|a| (a.repo_id, a.deduplicated)).collect();
    assert_eq!(seen, [(repositories[0], true), (repositories[1], false)]);
}

#[tokio::test]
async fn what_is_delivered_while_a_fetch_runs_is_fetched_after_it() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    accepted(&fixture, &push("1", "a")).await;
    let running = claim_fetch(&fixture).await;
    let second = accepted(&fixture, &push("2", "a")).await;
    assert!(!second.deduplicated && second.job_id != running.job().id);
    for id in ["3", "4", "5"] {
        let later = accepted(&fixture, &push(id, "a")).await;
        assert_eq!((later.job_id, later.deduplicated), (second.job_id, true));
    }
    assert_eq!(alive(&fixture, repo).await, 2);
    let asked_at = fixture.job(second.job_id).await.created_at;
    fetched(&fixture, running, true).await;
    let still = status(&fixture, "a").await;
    assert_eq!(
        (still.dirty, still.dirty_since),
        (Some(true), Some(asked_at))
    );
    wait_out_the_spacing(&fixture).await;
    let lease = claim_fetch(&fixture).await;
    assert_eq!(lease.job().id, second.job_id);
    fetched(&fixture, lease, false).await;
    assert_eq!(status(&fixture, "a").await.dirty, Some(false));
}

#[tokio::test]
async fn fetches_of_a_storm_are_spaced_and_none_is_pushed_back_by_later_deliveries() {
    let fixture = Fixture::new().await;
    fixture.repository("a").await;
    accepted(&fixture, &push("1", "a")).await;
    let lease = claim_fetch(&fixture).await;
    fetched(&fixture, lease, true).await;
    let next = accepted(&fixture, &push("2", "a")).await;
    let planned = fixture.job(next.job_id).await;
    let starts = planned
        .not_before
        .expect("it is spaced from the one before");
    let ahead = planned.created_at.until(starts);
    assert!(
        ahead > Duration::ZERO && ahead <= webhook::SPACING,
        "{ahead:?}"
    );
    for number in 3..20 {
        accepted(&fixture, &push(&number.to_string(), "a")).await;
    }
    assert_eq!(fixture.job(next.job_id).await.not_before, Some(starts));
    // A fetch that was cancelled does not push the next one back either.
    job::cancel(&fixture.database, next.job_id).await.unwrap();
    let another = accepted(&fixture, &push("20", "a")).await;
    let planned = fixture.job(another.job_id).await;
    let ahead = planned.created_at.until(planned.not_before.unwrap());
    assert!(ahead <= webhook::SPACING, "{ahead:?}");
    // After a pause the first delivery starts a fetch at once again.
    job::cancel(&fixture.database, another.job_id)
        .await
        .unwrap();
    fixture
        .execute(
            "update leasectl.repository set fetch_spaced_until = now() - interval '1 second'",
            &[],
        )
        .await;
    let fresh = accepted(&fixture, &push("21", "a")).await;
    assert_eq!(fixture.stored_state(fresh.job_id).await, "ready");
}

#[tokio::test]
async fn a_fetch_that_waits_for_its_next_attempt_answers_deliveries_too() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let first = accepted(&fixture, &push("1", "a")).await;
    let lease = claim_fetch(&fixture).await;
    let silent = leasectl_core::failure::JobError::retryable(
        leasectl_core::failure::ErrorCode::RemoteTimeout,
        "silent",
    );
    fixture.settle(lease.fail(silent)).await;
    for id in ["2", "3", "4"] {
        let later = accepted(&fixture, &push(id, "a")).await;
        assert_eq!((later.job_id, later.deduplicated), (first.job_id, true));
    }
    assert_eq!(alive(&fixture, repo).await, 1);
    assert_eq!(status(&fixture, "a").await.dirty, Some(true));
}

#[tokio::test]
async fn a_fetch_that_is_planned_for_later_or_is_less_urgent_is_brought_forward() {
    let fixture = Fixture::new().await;
    for (name, request) in [("later", 0), ("less", -50)] {
        let repo = fixture.repository(name).await;
        let mut planned = EnqueueRequest::new(repo, &FETCH, CanonicalArgs::none());
        planned = if request == 0 {
            planned.not_before(NotBefore::In(Duration::from_secs(86_400)))
        } else {
            planned.priority(crate::fixture::urgent(request))
        };
        let planned = fixture.enqueue_as(planned).await.job_id;
        let asked = accepted(&fixture, &push(name, name)).await;
        assert_eq!(
            (asked.job_id, asked.deduplicated),
            (planned, true),
            "{name}"
        );
        let job = fixture.job(planned).await;
        assert_eq!((job.priority, job.not_before), (0, None), "{name}");
        assert_eq!(fixture.stored_state(planned).await, "ready", "{name}");
    }
}

#[tokio::test]
async fn a_fetch_of_some_refs_answers_no_delivery() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let args = serde_json::json!({"refspecs": ["+refs/heads/x:refs/heads/x"]});
    let args = fixture.kinds.canonical_args("fetch", &args).unwrap();
    fixture
        .enqueue_as(EnqueueRequest::new(repo, &FETCH, args))
        .await;
    let asked = accepted(&fixture, &push("1", "a")).await;
    assert!(!asked.deduplicated);
    assert_eq!(fixture.stored_state(asked.job_id).await, "waiting");
}

#[tokio::test]
async fn a_storm_keeps_one_fetch_running_and_one_queued_and_starves_nobody() {
    let fixture = Fixture::new().await;
    let busy = fixture.repository("busy").await;
    let quiet = fixture.repository("quiet").await;
    let mut fetches = 0;
    let mut running: Vec<Lease> = Vec::new();
    let mut asked_quiet: Option<JobId> = None;
    for wave in 0..12 {
        let deliveries: Vec<Delivery> = (0..24)
            // Every third is a redelivery.
            .map(|number| push(&format!("{wave}-{}", number - number % 3 / 2), "busy"))
            .collect();
        let received = join_all(deliveries.iter().map(|d| receive(&fixture, d))).await;
        let duplicates = received
            .iter()
            .filter(|r| **r == Received::Duplicate)
            .count();
        assert_eq!(duplicates, 8, "wave {wave}");
        assert!(alive(&fixture, busy).await <= 2, "wave {wave}");
        if wave == 5 {
            asked_quiet = Some(accepted(&fixture, &push("quiet", "quiet")).await.job_id);
            let request = EnqueueRequest::new(busy, &BACKFILL, CanonicalArgs::none());
            fixture.enqueue_as(request).await;
        }
        for lease in running.drain(..) {
            fetched(&fixture, lease, true).await;
        }
        wait_out_the_spacing(&fixture).await;
        // One slot: whoever was asked for first is next.
        running = claim_fetches(&fixture, 1).await;
        fetches += running.len();
        if wave == 5 {
            let next = claim_fetches(&fixture, 1)
                .await
                .pop()
                .expect("the other one");
            let both = [running[0].job().repo_id, next.job().repo_id];
            assert!(both.contains(&quiet) && both.contains(&busy), "{both:?}");
            running.push(next);
            let request = ClaimRequest {
                slots: &[(Lane::Backfill, 1)],
                kinds: &[BACKFILL.name],
            };
            let client = fixture.client().await;
            let lanes = lease::claim(&client, &owner("me"), &fixture.settings, &request).await;
            let backfill = lanes
                .unwrap()
                .pop()
                .expect("a fetch does not hold its lane");
            drop(client);
            fixture.settle(backfill.complete(done())).await;
        }
    }
    assert_eq!(fetches, 12, "each wave has its fetch");
    for lease in running.drain(..) {
        fetched(&fixture, lease, true).await;
    }
    let filter = JobFilter {
        repo_id: Some(busy),
        ..JobFilter::default()
    };
    let jobs = job::list(&fixture.database, &filter, 200, None)
        .await
        .unwrap()
        .items;
    let fetches = jobs.iter().filter(|job| job.kind == FETCH.name).count();
    assert!(fetches <= 13, "{fetches} fetches for 12 waves");
    let quiet = fixture.job(asked_quiet.unwrap()).await;
    assert_eq!(quiet.state, PublicState::Completed);
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

/// Records a failure as the handler of a fetch does, and ends the job with it.
pub(crate) async fn fail_for_good(fixture: &Fixture, lease: Lease) {
    let (fence, repo) = (lease.fence(), lease.job().repo_id);
    let mut client = fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    repository::record_failed_fetch(&fenced, repo)
        .await
        .unwrap();
    fenced.commit().await.unwrap();
    drop(client);
    let code = leasectl_core::failure::ErrorCode::RemoteNotFound;
    let error = leasectl_core::failure::JobError::permanent(code, "gone");
    let settlement: Settlement = lease.fail(error);
    fixture.settle(settlement).await;
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
