//! Fetching unasked: when a repository is due, and who asks for it.

use std::time::Duration;

use futures::future::join_all;
use leasectl_core::ids::RepoId;
use leasectl_core::job::EnqueueRequest;
use leasectl_core::kind::{CanonicalArgs, FETCH};
use leasectl_core::repository::{self, DueFetches, NewRepository};
use leasectl_remote::{Locality, RemoteUrl};

use crate::fixture::Fixture;
use crate::webhooks::{claim_fetch, claim_fetches, fail_for_good, fetched};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;

async fn scheduled(fixture: &Fixture, name: &str, every: &str) -> RepoId {
    let repo = fixture.repository(name).await;
    let set = format!("update leasectl.repository set fetch_every = '{every}' where id = $1");
    fixture.execute(&set, &[&repo.as_uuid()]).await;
    repo
}

async fn ask(fixture: &Fixture) -> DueFetches {
    let mut client = fixture.client().await;
    repository::ask_for_due_fetches(&mut client).await.unwrap()
}

/// Makes a repository due now.
async fn make_due(fixture: &Fixture, repo: RepoId) {
    let due = "update leasectl.repository set fetch_due_at = now() where id = $1";
    fixture.execute(due, &[&repo.as_uuid()]).await;
}

/// Seconds until a repository is due.
async fn due_in(fixture: &Fixture, repo: RepoId) -> f64 {
    let sql = "select extract(epoch from fetch_due_at - now())::float8 from leasectl.repository where id = $1";
    let client = fixture.client().await;
    client
        .query_one(sql, &[&repo.as_uuid()])
        .await
        .unwrap()
        .get(0)
}

#[track_caller]
fn about(seconds: f64, whole: f64) {
    // Up to a tenth is taken off, and the test took a moment.
    assert!(
        (whole * 0.9 - 5.0..=whole).contains(&seconds),
        "{seconds} s, not about {whole} s"
    );
}

#[tokio::test]
async fn a_new_repository_is_due_at_once_and_then_at_its_own_interval() {
    let fixture = Fixture::new().await;
    let repo = scheduled(&fixture, "a", "1 hour").await;
    let other = fixture.repository("b").await;
    assert_eq!(ask(&fixture).await.asked, [repo]);
    about(due_in(&fixture, repo).await, HOUR);
    assert_eq!(ask(&fixture).await, DueFetches::default());
    let lease = claim_fetch(&fixture).await;
    assert_eq!(lease.job().repo_id, repo);
    fetched(&fixture, lease, true).await;
    about(due_in(&fixture, repo).await, HOUR);
    let count = "select count(*) from leasectl.job_history where kind = 'fetch'";
    assert_eq!(
        fixture.count(count).await,
        1,
        "{other} is never fetched by itself"
    );
}

#[tokio::test]
async fn however_many_workers_look_each_repository_is_asked_for_once() {
    let fixture = Fixture::new().await;
    let mut repositories = Vec::new();
    for number in 0..20 {
        repositories.push(scheduled(&fixture, &format!("r{number}"), "1 hour").await);
    }
    let looks = join_all((0..6).map(|_| ask(&fixture))).await;
    let mut asked: Vec<RepoId> = looks.into_iter().flat_map(|due| due.asked).collect();
    asked.sort();
    repositories.sort();
    assert_eq!(asked, repositories);
    assert_eq!(claim_fetches(&fixture, 50).await.len(), 20);
}

#[tokio::test]
async fn a_repository_whose_fetch_is_queued_or_runs_is_not_asked_for_again() {
    let fixture = Fixture::new().await;
    let repo = scheduled(&fixture, "a", "1 hour").await;
    fixture
        .enqueue_as(EnqueueRequest::new(repo, &FETCH, CanonicalArgs::none()))
        .await;
    let busy = DueFetches {
        busy: 1,
        ..DueFetches::default()
    };
    assert_eq!(ask(&fixture).await, busy);
    let lease = claim_fetch(&fixture).await;
    make_due(&fixture, repo).await;
    assert_eq!(ask(&fixture).await, busy);
    fetched(&fixture, lease, true).await;
    assert_eq!(ask(&fixture).await, DueFetches::default());
}

#[tokio::test]
async fn a_repository_that_does_not_change_is_fetched_less_often_and_one_that_does_at_its_interval()
{
    let fixture = Fixture::new().await;
    let repo = scheduled(&fixture, "a", "1 hour").await;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        make_due(&fixture, repo).await;
        ask(&fixture).await;
        fetched(&fixture, claim_fetch(&fixture).await, false).await;
        pauses.push(due_in(&fixture, repo).await);
    }
    for (pause, times) in pauses.iter().zip([1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8, 8]) {
        about(*pause, f64::from(times) * HOUR);
    }
    make_due(&fixture, repo).await;
    ask(&fixture).await;
    fetched(&fixture, claim_fetch(&fixture).await, true).await;
    about(due_in(&fixture, repo).await, HOUR);
}

#[tokio::test]
async fn failures_back_off_up_to_a_day_and_a_success_ends_that() {
    let fixture = Fixture::new().await;
    let repo = scheduled(&fixture, "a", "1 hour").await;
    for times in [2.0, 4.0, 8.0, 16.0, 24.0, 24.0] {
        make_due(&fixture, repo).await;
        assert_eq!(ask(&fixture).await.asked, [repo]);
        fail_for_good(&fixture, claim_fetch(&fixture).await).await;
        about(due_in(&fixture, repo).await, times * HOUR);
    }
    make_due(&fixture, repo).await;
    ask(&fixture).await;
    fetched(&fixture, claim_fetch(&fixture).await, true).await;
    about(due_in(&fixture, repo).await, HOUR);
}

#[tokio::test]
async fn no_pause_is_longer_than_a_day_or_the_interval_itself() {
    let fixture = Fixture::new().await;
    let pause = |every: &'static str, unchanged: i32, failed: i32| {
        let fixture = &fixture;
        async move {
            let sql = format!(
                "select extract(epoch from leasectl.fetch_pause(gen_random_uuid(), '{every}', $1, $2))::float8"
            );
            let client = fixture.client().await;
            client
                .query_one(&sql, &[&unchanged, &failed])
                .await
                .unwrap()
                .get(0)
        }
    };
    about(pause("6 hours", 1_000, 0).await, DAY);
    about(pause("6 hours", 0, 1_000).await, DAY);
    about(pause("7 days", 1_000, 0).await, 7.0 * DAY);
    about(pause("7 days", 0, 1_000).await, 7.0 * DAY);
    about(pause("1 minute", 1_000, 0).await, 8.0 * 60.0);
    about(pause("8784 hours", 0, 1_000).await, 366.0 * DAY);
}

#[tokio::test]
async fn a_repository_that_is_registered_again_takes_over_the_interval_that_is_given() {
    let fixture = Fixture::new().await;
    let url = "https://git.example.com/acme/scheduled";
    let register = async |hours: Option<u64>| {
        let new = NewRepository {
            git_url: RemoteUrl::parse(url, Locality::PublicOnly).unwrap(),
            name: None,
            default_branch: None,
            fetch_every: hours.map(|hours| Duration::from_secs(hours * 3_600)),
        };
        let registered = repository::register(&fixture.database, &new).await.unwrap();
        let every = registered.repository.fetch_every();
        (
            registered.repository.id,
            every.map(|every| every.as_secs() / 3_600),
            (registered.created, registered.rescheduled),
        )
    };
    let (repo, every, how) = register(None).await;
    assert_eq!((every, how), (None, (true, false)));
    assert!(ask(&fixture).await.asked.is_empty());
    assert_eq!(register(Some(6)).await, (repo, Some(6), (false, true)));
    // It was never fetched.
    assert_eq!(ask(&fixture).await.asked, [repo]);
    fetched(&fixture, claim_fetch(&fixture).await, true).await;
    let fetched_now =
        "update leasectl.repository set last_successful_fetch_at = now() where id = $1";
    fixture.execute(fetched_now, &[&repo.as_uuid()]).await;
    assert_eq!(register(Some(1)).await, (repo, Some(1), (false, true)));
    about(due_in(&fixture, repo).await, HOUR);
    // One that failed since then keeps its pause: two callers that disagree would have it fetched at each word.
    let failed = "update leasectl.repository set fetches_failed = 9, fetch_due_at = now() + interval '20 hours' where id = $1";
    fixture.execute(failed, &[&repo.as_uuid()]).await;
    assert_eq!(register(Some(2)).await, (repo, Some(2), (false, true)));
    about(due_in(&fixture, repo).await, 20.0 * HOUR);
    assert_eq!(register(Some(1)).await, (repo, Some(1), (false, true)));
    make_due(&fixture, repo).await;
    // Neither the same word nor none moves it.
    for hours in [Some(1), None] {
        assert_eq!(register(hours).await, (repo, Some(1), (false, false)));
        assert!(due_in(&fixture, repo).await <= 0.0);
    }
}

#[tokio::test]
async fn repositories_of_one_interval_spread_out_each_at_a_place_of_its_own() {
    let fixture = Fixture::new().await;
    let sql = "select count(distinct pause), extract(epoch from max(pause) - min(pause))::float8 as spread \
                 from (select leasectl.fetch_pause(leasectl.uuid_v7(), '1 hour', 0, 0) as pause \
                         from generate_series(1, 200)) p";
    let repo = fixture.repository("a").await;
    let row = fixture.client().await.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) > 100);
    let spread: f64 = row.get("spread");
    assert!(spread > 250.0 && spread <= 360.0, "{spread}");
    let same = "select leasectl.fetch_pause($1, '1 hour', 0, 0) = leasectl.fetch_pause($1, '1 hour', 0, 0)";
    let client = fixture.client().await;
    let row = client.query_one(same, &[&repo.as_uuid()]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}
