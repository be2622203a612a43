//! Claims that committed and whose answers were lost: what their owner can find again.

use leasectl_core::ids::{JobId, Owner, Token};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Lease, Settled, Settlement};

use crate::fixture::{FETCH, Fixture, owner};

/// That many leases of one owner, in the order of their tokens.
async fn claimed(fixture: &Fixture, owner: &Owner, count: usize) -> Vec<Lease> {
    let mut leases = Vec::new();
    for n in 0..count {
        let repo = fixture.repository(&format!("r{n}")).await;
        fixture.enqueue(repo, &FETCH, "").await;
        leases.push(fixture.claim_one(owner, Lane::Fetch).await);
    }
    leases
}

async fn unheard(
    fixture: &Fixture,
    owner: &Owner,
    since: Option<Token>,
    heard: &[Token],
) -> Vec<Settlement> {
    let client = fixture.client().await;
    lease::unheard(&client, owner, since, heard).await.unwrap()
}

fn ids(leases: &[Settlement]) -> Vec<JobId> {
    leases.iter().map(|lease| lease.key().job_id).collect()
}

#[tokio::test]
async fn a_lease_whose_claim_was_never_answered_is_found_and_handed_back_without_an_attempt_spent()
{
    let fixture = Fixture::new().await;
    let me = owner("me");
    let lost = claimed(&fixture, &me, 1).await.remove(0).key();
    let mut found = unheard(&fixture, &me, None, &[]).await;
    let release = found.pop().expect("the lease is found");
    assert_eq!((release.key(), release.lane), (lost, Lane::Fetch));
    let settled = fixture.settle(release).await;
    assert!(matches!(settled, Settled::Applied { .. }), "{settled:?}");
    assert_eq!(fixture.job(lost.job_id).await.attempt, 0);
    assert_eq!(ids(&unheard(&fixture, &me, None, &[]).await), []);
    let again = fixture.claim_one(&owner("other"), Lane::Fetch).await;
    assert_eq!((again.job().id, again.job().attempt), (lost.job_id, 1));
}

#[tokio::test]
async fn leases_that_were_heard_of_are_not_among_the_unheard() {
    let fixture = Fixture::new().await;
    let me = owner("me");
    let leases = claimed(&fixture, &me, 4).await;
    let keys: Vec<_> = leases.iter().map(Lease::key).collect();
    // The first two were heard of before the suspicion, the third one since.
    let since = Some(keys[1].token);
    let found = unheard(&fixture, &me, since, &[keys[2].token]).await;
    assert_eq!(ids(&found), [keys[3].job_id]);
}

#[tokio::test]
async fn nobody_is_told_of_anothers_leases() {
    let fixture = Fixture::new().await;
    let _leases = claimed(&fixture, &owner("one"), 2).await;
    assert_eq!(ids(&unheard(&fixture, &owner("two"), None, &[]).await), []);
}
