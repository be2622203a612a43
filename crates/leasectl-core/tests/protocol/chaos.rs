//! Everything at once: whatever callers and workers do to a few lanes, no statement fails, no job is
//! lost, and no lane is left standing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::ids::{JobId, Owner, RepoId};
use leasectl_core::job::{self, NotBefore};
use leasectl_core::kind::{KindSpec, Lane};
use leasectl_core::lease::{self, Beat, ClaimRequest, Lease, Settlement};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{FETCH, Fixture, INDEX, KINDS, STACK, done, owner, urgent};

const ACTORS: u64 = 8;
const LASTS: Duration = Duration::from_secs(2);
const LANES: [(Lane, usize); 3] = [(Lane::Fetch, 2), (Lane::Index, 2), (Lane::Stack, 2)];

/// One caller and worker, with everything that it was promised.
struct Actor {
    fixture: Arc<Fixture>,
    repos: Vec<RepoId>,
    accepted: Arc<Mutex<Vec<JobId>>>,
    owner: Owner,
    held: Vec<Lease>,
    dice: StdRng,
}

impl Actor {
    fn any_kind(&mut self) -> &'static KindSpec {
        [&FETCH, &INDEX, &STACK][self.dice.random_range(0..3)]
    }

    fn any_repo(&mut self) -> RepoId {
        self.repos[self.dice.random_range(0..self.repos.len())]
    }

    fn any_job(&mut self) -> Option<JobId> {
        let accepted = self.accepted.lock().unwrap();
        let newest = accepted.len().checked_sub(1)?;
        let back = self.dice.random_range(0..20).min(newest);
        Some(accepted[newest - back])
    }

    async fn act(&mut self) {
        match self.dice.random_range(0..12) {
            0..3 => self.enqueue().await,
            3 => self.enqueue_in_a_transaction().await,
            4..7 => self.claim().await,
            7..9 => self.settle().await,
            9 => self.fall_silent().await,
            10 => self.ask().await,
            _ => self.keep_order().await,
        }
    }

    async fn enqueue(&mut self) {
        let many = if self.dice.random_bool(0.3) { 12 } else { 1 };
        let mut requests = Vec::new();
        for _ in 0..many {
            let (repo, kind) = (self.any_repo(), self.any_kind());
            let note = ["", "a", "b"][self.dice.random_range(0..3)];
            let not_before = match self.dice.random_range(0..3) {
                0 => NotBefore::In(Duration::from_millis(self.dice.random_range(0..40))),
                _ => NotBefore::Now,
            };
            let request = self.fixture.request(repo, kind, note);
            let priority = urgent(self.dice.random_range(-3..4));
            requests.push(request.priority(priority).not_before(not_before));
        }
        let accepted = job::enqueue(&self.fixture.database, &requests).await;
        let accepted = accepted.unwrap().into_iter().map(|job| job.job_id);
        self.accepted.lock().unwrap().extend(accepted);
    }

    async fn enqueue_in_a_transaction(&mut self) {
        let (repo, kind) = (self.any_repo(), self.any_kind());
        let commits = self.dice.random_bool(0.7);
        let mut client = self.fixture.client().await;
        let transaction = client.transaction().await.unwrap();
        let enqueue = "select leasectl.enqueue($1, $2, '{}', 0, now() + $3 * interval '1 ms')";
        let delay = f64::from(self.dice.random_range(-20..20));
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&repo.to_string(), &kind.name, &delay];
        let row = transaction.query_one(enqueue, &parameters).await.unwrap();
        let id: Uuid = row.get(0);
        if commits {
            transaction.commit().await.unwrap();
            self.accepted.lock().unwrap().push(id.into());
        }
    }

    async fn claim(&mut self) {
        let client = self.fixture.client().await;
        let settings = &self.fixture.settings;
        let request = ClaimRequest {
            slots: &LANES,
            kinds: &KINDS,
        };
        if self.dice.random_bool(0.3) {
            let taken = lease::reclaim(&client, &self.owner, settings, &request).await;
            self.held
                .extend(taken.unwrap().into_iter().map(|taken| taken.lease));
        }
        let claimed = lease::claim(&client, &self.owner, settings, &request).await;
        self.held.extend(claimed.unwrap());
        let beats = self.held.iter().map(|lease| Beat {
            key: lease.key(),
            advanced: true,
            progress: None,
            message: Some("working".to_owned()),
        });
        let beats: Vec<_> = beats.collect();
        lease::heartbeat(&client, &self.owner, settings, &beats)
            .await
            .unwrap();
    }

    fn outcome(&mut self, lease: Lease) -> Settlement {
        let cause = ErrorCode::RemoteTimeout;
        match self.dice.random_range(0..8) {
            0 => lease.fail(JobError::retryable(cause, "slow")),
            1 => lease.fail(JobError::permanent(cause, "never")),
            2 => lease.cancelled(),
            3 => lease.release(),
            _ => lease.complete(done()),
        }
    }

    async fn settle(&mut self) {
        let held = std::mem::take(&mut self.held);
        let settlements: Vec<_> = held.into_iter().map(|lease| self.outcome(lease)).collect();
        let client = self.fixture.client().await;
        lease::settle(&client, &settlements).await.unwrap();
        // The answer might have been lost.
        lease::settle(&client, &settlements).await.unwrap();
    }

    async fn fall_silent(&mut self) {
        if self.dice.random_bool(0.5) {
            return;
        }
        for lease in std::mem::take(&mut self.held) {
            self.fixture
                .age(lease.job().id, Duration::from_secs(60))
                .await;
        }
    }

    async fn ask(&mut self) {
        let Some(id) = self.any_job() else { return };
        let database = &self.fixture.database;
        if self.dice.random_bool(0.5) {
            job::cancel(database, id).await.unwrap();
        } else {
            job::retry(database, id).await.unwrap();
        }
        job::find(database, id).await.unwrap().expect("it is known");
    }

    async fn keep_order(&mut self) {
        let client = self.fixture.client().await;
        lease::bury(&client).await.unwrap();
        // A worker's sweep is repeated anyhow.
        for _ in 0..3 {
            if lease::sweep(&client).await.is_ok() {
                return;
            }
        }
        lease::sweep(&client).await.unwrap();
    }
}

/// Finishes whatever lives, the way an idle worker would.
async fn finish(fixture: &Fixture) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let worker = owner("last");
    let live = "select count(*) from leasectl.job";
    while fixture.count(live).await > 0 {
        let stuck = "select coalesce(json_agg(j)::text, '') from leasectl.job j";
        if Instant::now() > deadline {
            let rows = fixture.client().await.query_one(stuck, &[]).await.unwrap();
            panic!("jobs that nothing moves: {}", rows.get::<_, String>(0));
        }
        let hurry = "update leasectl.job set not_before = now() where state = 'scheduled'";
        fixture.execute(hurry, &[]).await;
        let silent = "update leasectl.job set lease_heartbeat_at = now() - interval '1 hour' \
                       where state = 'running'";
        fixture.execute(silent, &[]).await;
        let client = fixture.client().await;
        lease::bury(&client).await.unwrap();
        lease::sweep(&client).await.unwrap();
        let request = ClaimRequest {
            slots: &LANES.map(|(lane, _)| (lane, 100)),
            kinds: &KINDS,
        };
        let taken = lease::reclaim(&client, &worker, &fixture.settings, &request).await;
        let claimed = lease::claim(&client, &worker, &fixture.settings, &request).await;
        let mut leases = claimed.unwrap();
        leases.extend(taken.unwrap().into_iter().map(|taken| taken.lease));
        let ended = leases.into_iter().map(|lease| lease.complete(json!({})));
        let ended: Vec<_> = ended.collect();
        lease::settle(&client, &ended).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_at_once_no_statement_fails_and_every_job_ends() {
    let fixture = Arc::new(Fixture::new().await);
    fixture.forget_server_start().await;
    let mut repos = Vec::new();
    for n in 0..3 {
        repos.push(fixture.repository(&format!("r{n}")).await);
    }
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut actors = tokio::task::JoinSet::new();
    for n in 0..ACTORS {
        let mut actor = Actor {
            fixture: Arc::clone(&fixture),
            repos: repos.clone(),
            accepted: Arc::clone(&accepted),
            owner: owner(&format!("actor{n}")),
            held: Vec::new(),
            dice: StdRng::seed_from_u64(seed.wrapping_add(n)),
        };
        actors.spawn(async move {
            let end = Instant::now() + LASTS;
            while Instant::now() < end {
                actor.act().await;
            }
        });
    }
    while let Some(ended) = actors.join_next().await {
        ended.expect("no statement failed");
    }
    finish(&fixture).await;
    let accepted = std::mem::take(&mut *accepted.lock().unwrap());
    assert!(accepted.len() > 100, "{} jobs", accepted.len());
    let ids: Vec<_> = accepted.iter().map(|id| id.as_uuid()).collect();
    let known =
        "select count(*) from unnest($1::uuid[]) as i (id) join leasectl.job_history h using (id)";
    let client = fixture.client().await;
    let known: i64 = client.query_one(known, &[&ids]).await.unwrap().get(0);
    assert_eq!(usize::try_from(known).unwrap(), ids.len());
    for id in accepted.iter().rev().take(200) {
        let job = fixture.job(*id).await;
        assert!(job.attempt <= job.max_attempts, "{job:?}");
        let tokens: Vec<_> = job.attempts.iter().map(|attempt| attempt.token).collect();
        assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    }
}
