//! P4: a worker whose liveness lock is gone is seen to be dead, and nobody else is.

use std::time::{Duration, Instant};

use leasectl_core::ids::{JobId, Owner};
use leasectl_core::job::PublicState;
use leasectl_core::kind::Lane;
use leasectl_core::lease::{self, Beat, Lease, ReclaimReason, Settled};
use leasectl_core::liveness::{
    Absent, DeathGrace, Judged, LivenessKey, LivenessSession, Sightings, deaths_are_told,
};
use leasectl_core::status;
use leasectl_core::time::BootInstant;
use leasectl_core::wakeup::{Listener, Wakeup};
use leasectl_core::worker::{self, Liveness, LockClaim, WorkerRecord};

use crate::fixture::{FETCH, Fixture, done, owner};

const DEADLINE: Duration = Duration::from_secs(60);

/// A worker that holds its lock, or did.
pub(crate) struct Watched {
    pub(crate) owner: Owner,
    pub(crate) key: LivenessKey,
    pub(crate) session: LivenessSession,
}

impl Fixture {
    /// Servers of tests are young: lets absent locks count all the same.
    pub(crate) async fn settle_server(&self) {
        let settled = "create or replace function leasectl.server_is_settled() returns boolean \
                       language sql stable parallel safe as $$ select true $$";
        self.client().await.batch_execute(settled).await.unwrap();
    }

    /// Writes a worker's row.
    pub(crate) async fn beat(&self, owner: &Owner, lock: LockClaim) -> Liveness {
        let record = WorkerRecord {
            owner: owner.clone(),
            version: "0.0.0".to_owned(),
            kinds: [("t_fetch".to_owned(), 1)].into(),
            settings: self.settings,
            death_grace: Some(DeathGrace::default()),
        };
        worker::beat(&self.client().await, &record, false, lock)
            .await
            .unwrap()
    }

    /// A session that may look for the dead.
    pub(crate) async fn session(&self) -> LivenessSession {
        let session = LivenessSession::open(&self.url).await.unwrap();
        session.configure().await.unwrap();
        session
    }

    /// A worker that holds its lock and says so.
    pub(crate) async fn watched(&self, name: &str) -> Watched {
        let session = self.session().await;
        let key = session.next_key().await.unwrap();
        assert!(session.hold(key).await.unwrap());
        let owner = owner(name);
        let said = self.beat(&owner, LockClaim::Key(key)).await;
        assert_eq!(said, Liveness::Session);
        Watched {
            owner,
            key,
            session,
        }
    }

    async fn row(&self, owner: &Owner) -> status::WorkerStatus {
        let workers = status::workers(&self.client().await).await.unwrap();
        let found = workers.into_iter().find(|w| w.owner == owner.as_str());
        found.expect("the worker has a row")
    }
}

/// Who is missing now.
async fn absent(detector: &mut Watched) -> Vec<Absent> {
    let sighting = detector.session.sight(detector.key).await.unwrap();
    assert!(sighting.settled);
    sighting.absent
}

/// Who is missing, once somebody is: the server takes a moment to see that a client is gone.
async fn until_absent(detector: &mut Watched) -> Absent {
    let started = Instant::now();
    loop {
        if let Some(gone) = absent(detector).await.pop() {
            return gone;
        }
        assert!(started.elapsed() < DEADLINE, "nobody is missing");
        tokio::task::yield_now().await;
    }
}

/// A running job of `victim`, whose session ends, and a detector that has seen it absent.
async fn death(fixture: &Fixture) -> (JobId, Lease, Watched, Absent) {
    fixture.settle_server().await;
    let repo = fixture.repository("a").await;
    let id = fixture.enqueue(repo, &FETCH, "").await.job_id;
    let mut detector = fixture.watched("detector").await;
    let victim = fixture.watched("victim").await;
    let lease = fixture.claim_one(&victim.owner, Lane::Fetch).await;
    assert_eq!(absent(&mut detector).await, []);
    drop(victim.session);
    let gone = until_absent(&mut detector).await;
    (id, lease, detector, gone)
}

async fn judge(detector: &mut Watched, gone: &Absent) -> Option<Judged> {
    detector.session.judge(gone).await.unwrap()
}

#[tokio::test]
async fn a_dead_workers_lease_is_reclaimed_at_once_and_the_attempt_says_why() {
    let fixture = Fixture::new().await;
    let (id, stale, mut detector, gone) = death(&fixture).await;
    assert!(
        fixture
            .reclaim(&owner("other"), Lane::Fetch, 1)
            .await
            .is_empty()
    );
    let mut listener = Listener::connect(&fixture.url).await.unwrap();
    let judged = judge(&mut detector, &gone).await.expect("it is dead");
    assert_eq!((judged.expired, judged.left), (1, 0));
    assert_eq!(judged.lanes, [Lane::Fetch]);
    detector.session.announce_dead(&judged.lanes).await.unwrap();
    let heard = tokio::time::timeout(DEADLINE, listener.recv()).await;
    assert_eq!(heard.unwrap(), Some(Wakeup::Dead(vec![Lane::Fetch])));
    assert_eq!(fixture.row(&gone.owner).await.state, "dead");

    let mut taken = fixture.reclaim(&owner("other"), Lane::Fetch, 1).await;
    let taken = taken.pop().expect("the lease is over");
    assert_eq!(taken.reason, ReclaimReason::Dead);
    assert_eq!(taken.from_owner, gone.owner);
    let attempt = fixture.job(id).await.attempts.remove(0);
    assert_eq!(attempt.outcome.as_deref(), Some("lost"));
    assert_eq!(attempt.error.unwrap().message, "the worker died");
    // The dead may come back.
    let late = fixture.settle(stale.complete(done())).await;
    assert_eq!(late, Settled::LeaseLost);
    // The successor's lease is not marked by the death of its predecessor.
    fixture.forget_server_start().await;
    fixture.age(id, Duration::from_secs(31)).await;
    let mut taken = fixture.reclaim(&owner("third"), Lane::Fetch, 1).await;
    assert_eq!(taken.pop().unwrap().reason, ReclaimReason::Stale);
}

#[tokio::test]
async fn a_worker_that_holds_its_lock_again_is_not_judged() {
    let fixture = Fixture::new().await;
    let (id, lease, mut detector, gone) = death(&fixture).await;
    let back = fixture.session().await;
    assert!(back.hold(gone.key).await.unwrap());
    assert_eq!(judge(&mut detector, &gone).await, None);
    assert_eq!(absent(&mut detector).await, []);
    assert_eq!(fixture.row(&gone.owner).await.state, "live");
    let settled = fixture.settle(lease.complete(done())).await;
    assert!(matches!(settled, Settled::Applied { .. }));
    assert_eq!(fixture.job(id).await.state, PublicState::Completed);
}

#[tokio::test]
async fn a_worker_that_beats_without_its_lock_is_left_to_its_heartbeats() {
    let fixture = Fixture::new().await;
    let (_, _lease, mut detector, gone) = death(&fixture).await;
    // It claims the lock, as a beat that comes late does: the database looks for itself.
    let said = fixture.beat(&gone.owner, LockClaim::Key(gone.key)).await;
    assert_eq!(said, Liveness::Heartbeat);
    assert_eq!(fixture.row(&gone.owner).await.liveness, "heartbeat");
    assert_eq!(absent(&mut detector).await, []);
    assert_eq!(judge(&mut detector, &gone).await, None);
}

#[tokio::test]
async fn a_lease_under_a_fence_is_expired_when_the_fence_is_gone() {
    let fixture = Fixture::new().await;
    let (_, lease, mut detector, gone) = death(&fixture).await;
    let fence = lease.fence();
    let mut client = fixture.client().await;
    let open = fence.begin(&mut client).await.unwrap();
    let judged = judge(&mut detector, &gone).await.expect("it is dead");
    assert_eq!((judged.expired, judged.left), (0, 1));
    assert!(
        fixture
            .reclaim(&owner("other"), Lane::Fetch, 1)
            .await
            .is_empty()
    );
    open.commit().await.unwrap();
    // It stays in view, judged already.
    let again = until_absent(&mut detector).await;
    assert!(again.judged);
    let judged = judge(&mut detector, &again).await.expect("it is dead");
    assert_eq!((judged.expired, judged.left), (1, 0));
    let taken = fixture.reclaim(&owner("other"), Lane::Fetch, 1).await;
    assert_eq!(taken[0].reason, ReclaimReason::Dead);
}

#[tokio::test]
async fn a_claim_of_the_dead_that_commits_late_is_expired_too() {
    let fixture = Fixture::new().await;
    let (_, _lease, mut detector, gone) = death(&fixture).await;
    judge(&mut detector, &gone).await.expect("it is dead");
    let repo = fixture.repository("b").await;
    fixture.enqueue(repo, &FETCH, "").await;
    let _late = fixture.claim_one(&gone.owner, Lane::Fetch).await;
    let again = until_absent(&mut detector).await;
    let judged = judge(&mut detector, &again).await.expect("it is dead");
    assert_eq!((judged.expired, judged.left), (1, 0));
}

#[tokio::test]
async fn no_heartbeat_revives_a_lease_whose_owner_was_judged_dead() {
    let fixture = Fixture::new().await;
    let (_, lease, mut detector, gone) = death(&fixture).await;
    // One beat is under way: its transaction, and so its clock, began before the verdict.
    let client = fixture.client().await;
    client.batch_execute("begin").await.unwrap();
    client.execute("select now()", &[]).await.unwrap();
    judge(&mut detector, &gone).await.expect("it is dead");
    let beat = Beat {
        key: lease.key(),
        advanced: true,
        progress: None,
        message: None,
    };
    let beat = std::slice::from_ref(&beat);
    let early = lease::heartbeat(&client, &gone.owner, &fixture.settings, beat);
    assert_eq!(early.await.unwrap(), []);
    client.batch_execute("commit").await.unwrap();
    let late = lease::heartbeat(&client, &gone.owner, &fixture.settings, beat);
    assert_eq!(late.await.unwrap(), []);
    let taken = fixture.reclaim(&owner("other"), Lane::Fetch, 1).await;
    assert_eq!(taken[0].reason, ReclaimReason::Dead);
}

#[tokio::test]
async fn a_worker_that_comes_back_is_alive_again() {
    let fixture = Fixture::new().await;
    let (_, _lease, mut detector, gone) = death(&fixture).await;
    judge(&mut detector, &gone).await.expect("it is dead");
    let back = fixture.session().await;
    assert!(back.hold(gone.key).await.unwrap());
    let said = fixture.beat(&gone.owner, LockClaim::Key(gone.key)).await;
    assert_eq!(said, Liveness::Session);
    let row = fixture.row(&gone.owner).await;
    assert_eq!(
        (row.state.as_str(), row.liveness.as_str()),
        ("live", "session")
    );
    drop(back);
    assert!(!until_absent(&mut detector).await.judged);
}

#[tokio::test]
async fn a_young_server_judges_nobody() {
    let fixture = Fixture::new().await;
    let (_, _lease, mut detector, _) = death(&fixture).await;
    let young = "create or replace function leasectl.server_is_settled() returns boolean \
                 language sql stable parallel safe as $$ select false $$";
    fixture.client().await.batch_execute(young).await.unwrap();
    let mut sightings = Sightings::default();
    let started = BootInstant::now();
    while started.elapsed() < Duration::from_millis(700) {
        let sent = BootInstant::now();
        let sighting = detector.session.sight(detector.key).await.unwrap();
        assert_eq!(sightings.saw(sent, BootInstant::now(), &sighting), []);
    }
}

#[tokio::test]
async fn whoever_asks_is_told_whether_a_missing_lock_means_a_death_yet() {
    let fixture = Fixture::new().await;
    for settled in [true, false] {
        let says = format!(
            "create or replace function leasectl.server_is_settled() returns boolean \
             language sql stable parallel safe as $$ select {settled} $$"
        );
        fixture.client().await.batch_execute(&says).await.unwrap();
        let told = deaths_are_told(&fixture.database).await.unwrap();
        assert_eq!(told, settled);
    }
}

#[tokio::test]
async fn a_lock_of_before_a_restart_of_the_server_says_nothing() {
    let fixture = Fixture::new().await;
    let (_, _lease, mut detector, gone) = death(&fixture).await;
    fixture
        .execute(
            "update leasectl.worker set liveness_server = liveness_server - interval '1 day' \
             where owner = $1",
            &[&gone.owner.as_str()],
        )
        .await;
    assert_eq!(absent(&mut detector).await, []);
    assert_eq!(judge(&mut detector, &gone).await, None);
    assert_eq!(fixture.row(&gone.owner).await.liveness, "heartbeat");
}

#[tokio::test]
async fn one_session_at_a_time_detects_and_a_successor_follows_when_it_ends() {
    let fixture = Fixture::new().await;
    let mut first = fixture.watched("first").await;
    let mut second = fixture.watched("second").await;
    assert!(first.session.ping().await.unwrap().detects);
    assert!(!second.session.ping().await.unwrap().detects);
    drop(first.session);
    let started = Instant::now();
    while !second.session.ping().await.unwrap().detects {
        assert!(started.elapsed() < DEADLINE, "nobody follows");
    }
}

#[tokio::test]
async fn a_worker_whose_former_session_lingers_is_watched_by_another_key() {
    let fixture = Fixture::new().await;
    fixture.settle_server().await;
    let mut detector = fixture.watched("detector").await;
    let former = fixture.watched("one").await;
    let again = fixture.session().await;
    assert!(!again.hold(former.key).await.unwrap());
    let key = again.next_key().await.unwrap();
    assert!(again.hold(key).await.unwrap());
    let said = fixture.beat(&former.owner, LockClaim::Key(key)).await;
    assert_eq!(said, Liveness::Session);
    drop(former.session);
    // Once the former session has ended, nobody is missing.
    let ended = fixture.session().await;
    let started = Instant::now();
    while !ended.hold(former.key).await.unwrap() {
        assert!(started.elapsed() < DEADLINE, "the lock stays held");
    }
    assert_eq!(absent(&mut detector).await, []);
}

#[tokio::test]
async fn an_older_release_is_never_watched() {
    let fixture = Fixture::new().await;
    fixture.settle_server().await;
    let mut detector = fixture.watched("detector").await;
    // As the release before wrote it.
    fixture
        .execute(
            "insert into leasectl.worker (owner, hostname, pid, version, draining, heartbeat_interval, \
             stale_after, kinds, liveness) \
             values ('old:1:1', 'old', 1, '0.1.0', false, '10s', '30s', '{}', 'heartbeat')",
            &[],
        )
        .await;
    assert_eq!(absent(&mut detector).await, []);
    let row = fixture.row(&owner("old")).await;
    assert_eq!(
        (row.state.as_str(), row.liveness.as_str()),
        ("live", "heartbeat")
    );
}
