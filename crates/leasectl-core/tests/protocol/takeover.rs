//! P4 and P7: dead owners' jobs change hands, live owners' do not.

use std::time::Duration;

use leasectl_core::failure::ErrorCode;
use leasectl_core::job::{self, PublicState};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, ReclaimReason, Settled};

use crate::fixture::{FETCH, Fixture, done, owner};

const SILENCE: Duration = Duration::from_secs(31);

#[tokio::test]
async fn a_live_lease_is_never_taken() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let _lease = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    fixture.age(id, SILENCE / 2).await;
    assert!(
        fixture
            .reclaim(&owner("two"), Lane::Fetch, 9)
            .await
            .is_empty()
    );
    assert!(
        lease::bury(&fixture.client().await)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_silent_owners_job_changes_hands_and_the_old_token_is_void() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let stale = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    fixture.age(id, SILENCE).await;
    let mut taken = fixture.reclaim(&owner("two"), Lane::Fetch, 9).await;
    let reclaimed = taken.pop().expect("the lease is stale");
    assert_eq!(reclaimed.from_owner, owner("one"));
    assert_eq!(reclaimed.from_token, stale.key().token);
    assert_eq!(reclaimed.reason, ReclaimReason::Stale);
    assert!(reclaimed.lease.key().token > stale.key().token);
    assert_eq!(reclaimed.lease.job().attempt, 2);

    assert_eq!(
        fixture.settle(stale.complete(done())).await,
        Settled::LeaseLost
    );
    assert!(matches!(
        fixture.settle(reclaimed.lease.complete(done())).await,
        Settled::Applied { .. }
    ));
    let attempts = fixture.job(id).await.attempts;
    let outcomes: Vec<_> = attempts
        .iter()
        .map(|a| a.outcome.as_deref().unwrap())
        .collect();
    assert_eq!(outcomes, ["lost", "completed"]);
}

#[tokio::test]
async fn a_lease_without_progress_expires_although_its_owner_beats() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let _wedged = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    fixture
        .execute("update leasectl.job set lease_expires_at = now()", &[])
        .await;
    let taken = fixture.reclaim(&owner("two"), Lane::Fetch, 9).await;
    assert_eq!(taken[0].reason, ReclaimReason::Expired);
    assert_eq!(
        fixture.job(id).await.attempts[0]
            .error
            .as_ref()
            .unwrap()
            .code,
        ErrorCode::NoProgress
    );
}

#[tokio::test]
async fn silence_counts_from_the_servers_start_after_an_outage() {
    let fixture = Fixture::new().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let _lease = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    // The server of this run started less than a stale-after and a beat ago only if the run is
    // young; a stale-after of a day makes that certain.
    fixture
        .execute("update leasectl.job set lease_stale_after = '1 day', lease_expires_at = now() + interval '9 days'", &[])
        .await;
    fixture.age(id, Duration::from_secs(5 * 86_400)).await;
    assert!(
        fixture
            .reclaim(&owner("two"), Lane::Fetch, 9)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn each_lease_is_judged_by_its_own_owners_settings() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let (patient, hasty) = (fixture.repository("a").await, fixture.repository("b").await);
    let patient = fixture.enqueue(patient, &FETCH, "").await.job_id;
    let hasty = fixture.enqueue(hasty, &FETCH, "").await.job_id;
    let _leases = fixture.claim(&owner("one"), Lane::Fetch, 2).await;
    fixture
        .execute(
            "update leasectl.job set lease_stale_after = '10 minutes' where id = $1",
            &[&patient.as_uuid()],
        )
        .await;
    for id in [patient, hasty] {
        fixture.age(id, SILENCE).await;
    }
    let taken = fixture.reclaim(&owner("two"), Lane::Fetch, 9).await;
    let ids: Vec<_> = taken
        .iter()
        .map(|reclaimed| reclaimed.lease.job().id)
        .collect();
    assert_eq!(ids, [hasty]);
}

#[tokio::test]
async fn a_job_that_loses_its_worker_three_times_in_a_row_ends_in_error() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let poison = fixture.enqueue(repo, &FETCH, "1").await.job_id;
    let next = fixture.enqueue(repo, &FETCH, "2").await.job_id;
    let _first = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    for victim in ["two", "three"] {
        fixture.age(poison, SILENCE).await;
        assert_eq!(
            fixture.reclaim(&owner(victim), Lane::Fetch, 9).await.len(),
            1
        );
    }
    fixture.age(poison, SILENCE).await;
    assert!(
        fixture
            .reclaim(&owner("four"), Lane::Fetch, 9)
            .await
            .is_empty()
    );
    let buried = lease::bury(&fixture.client().await).await.unwrap();
    assert_eq!(buried[0].job_id, poison);

    let job = fixture.job(poison).await;
    assert_eq!(job.state, PublicState::Error);
    assert_eq!(job.last_error.unwrap().code, ErrorCode::AttemptsExhausted);
    assert_eq!(job.attempts.len(), 3);
    assert_eq!(
        fixture
            .claim_one(&owner("four"), Lane::Fetch)
            .await
            .job()
            .id,
        next
    );
}

#[tokio::test]
async fn durable_progress_keeps_redeploys_from_killing_a_long_job() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let mut lease = fixture.claim_one(&owner("w0"), Lane::Fetch).await;
    for n in 1..12 {
        let fence = lease.fence();
        let mut client = fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        fenced.mark_durable();
        fenced.commit().await.unwrap();
        fixture.age(id, SILENCE).await;
        let mut taken = fixture
            .reclaim(&owner(&format!("w{n}")), Lane::Fetch, 1)
            .await;
        lease = taken.pop().expect("a long job goes on").lease;
    }
    assert_eq!(lease.job().attempt, 1);
}

#[tokio::test]
async fn a_cancelled_job_of_a_dead_worker_ends_cancelled() {
    let fixture = Fixture::new().await;
    fixture.forget_server_start().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let _lease = fixture.claim_one(&owner("one"), Lane::Fetch).await;
    job::cancel(&fixture.database, id).await.unwrap();
    fixture.age(id, SILENCE).await;
    assert!(
        fixture
            .reclaim(&owner("two"), Lane::Fetch, 9)
            .await
            .is_empty()
    );
    lease::bury(&fixture.client().await).await.unwrap();
    assert_eq!(fixture.job(id).await.state, PublicState::Cancelled);
}

#[tokio::test]
async fn claims_that_race_never_share_a_job_and_tokens_only_grow() {
    let fixture = Fixture::new().await;
    for n in 0..60 {
        let repo = fixture.repository(&format!("r{n}")).await;
        for note in ["1", "2", "3"] {
            fixture.enqueue(repo, &FETCH, note).await;
        }
    }
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..6 {
        let fixture = Fixture {
            database: fixture.database.clone(),
            url: fixture.url.clone(),
            settings: fixture.settings,
            kinds: fixture.kinds.clone(),
        };
        racers.spawn(async move {
            let me = owner(&format!("racer{racer}"));
            let mut claimed = Vec::new();
            loop {
                let leases = fixture.claim(&me, Lane::Fetch, 7).await;
                if leases.is_empty() {
                    lease::sweep(&fixture.client().await).await.unwrap();
                    let left = fixture.count("select count(*) from leasectl.job").await;
                    if left == 0 {
                        return claimed;
                    }
                }
                for lease in leases {
                    claimed.push((lease.job().repo_id, lease.key()));
                    fixture.settle(lease.complete(done())).await;
                }
            }
        });
    }
    let mut all = Vec::new();
    while let Some(claimed) = racers.join_next().await {
        all.extend(claimed.unwrap());
    }
    assert_eq!(all.len(), 180);
    let mut jobs: Vec<_> = all.iter().map(|(_, key)| key.job_id).collect();
    jobs.sort_unstable();
    jobs.dedup();
    assert_eq!(jobs.len(), 180, "a job was claimed twice");
    // I1: within a lane, the job that was claimed later has the larger token.
    let disordered = fixture
        .count(
            "select count(*) from leasectl.job_history a join leasectl.job_history b using (repo_id) \
              where a.started_at < b.started_at and a.token > b.token",
        )
        .await;
    assert_eq!(disordered, 0);
}
