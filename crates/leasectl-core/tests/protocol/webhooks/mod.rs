//! Deliveries of webhooks.

use leasectl_core::ids::RepoId;
use leasectl_core::kind::{FETCH, Lane};
use leasectl_core::lease::{self, ClaimRequest, Lease, Settlement};
use leasectl_core::repository::{self, ChangeStatus, FetchRecord};
use leasectl_core::webhook::{AskedFetch, Deliveries, Delivery, DeliveryId, Forge, Received};
use leasectl_remote::{Locality, RemoteUrl, RepoName};

use crate::fixture::{Fixture, done, owner};

mod asking;
mod coalescing;
mod deliveries;

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

/// Receives it as a process of its own does, which meets others in the database only.
async fn receive(fixture: &Fixture, delivery: &Delivery) -> Received {
    let process = Deliveries::over(fixture.database.clone());
    process.receive(delivery).await.unwrap()
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
