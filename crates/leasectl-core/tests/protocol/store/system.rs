//! The store itself, driven by the steps of the model over one connection.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use leasectl_core::database::Client;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::ids::{JobId, Owner, RepoId};
use leasectl_core::job::{self, EnqueueRequest, NotBefore};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{
    self, Beat, Fence, FenceError, Lease, LeaseKey, ReclaimReason, Settled, Settlement,
};
use serde_json::json;
use tokio::runtime::Runtime;

use super::model::{Answer, Ask, Ending, Model, Over, When};
use super::steps::{Step, named, newest};
use crate::fixture::{FETCH, Fixture, KINDS, STACK, done, owner, urgent};

/// One database for all cases; each begins with empty tables.
struct Stage {
    runtime: Runtime,
    fixture: Fixture,
    repos: [RepoId; 2],
}

static STAGE: OnceLock<Stage> = OnceLock::new();

fn stage() -> &'static Stage {
    STAGE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (fixture, repos) = runtime.block_on(async {
            let fixture = Fixture::new().await;
            fixture.forget_server_start().await;
            let repos = [fixture.repository("a").await, fixture.repository("b").await];
            (fixture, repos)
        });
        Stage {
            runtime,
            fixture,
            repos,
        }
    })
}

/// A lease as its owner has it.
struct Held {
    lease: Option<Lease>,
    settlement: Option<Settlement>,
    fence: Fence,
    key: LeaseKey,
    owner: Owner,
}

/// The system under test: what callers and owners were told.
#[derive(Default)]
pub(super) struct Store {
    jobs: Vec<JobId>,
    held: Vec<Held>,
}

/// The stage and one connection of it.
pub(super) struct At {
    pub(super) fixture: &'static Fixture,
    pub(super) repos: [RepoId; 2],
    pub(super) client: Client,
}

pub(super) fn at_stage<T>(act: impl AsyncFnOnce(&At) -> T) -> T {
    let stage = stage();
    stage.runtime.block_on(async {
        let at = At {
            fixture: &stage.fixture,
            repos: stage.repos,
            client: stage.fixture.client().await,
        };
        act(&at).await
    })
}

impl Store {
    pub(super) fn empty() -> Self {
        at_stage(async |at| {
            let clear = "delete from leasectl.job; delete from leasectl.job_history; \
                         update leasectl.repository set head = null";
            at.client.batch_execute(clear).await.unwrap();
        });
        Self::default()
    }

    /// Takes the step; the model already has, and says what the answer must be.
    pub(super) fn take(&mut self, step: &Step, model: &Model) {
        at_stage(async |at| {
            let answer = self.take_at(at, step, model).await;
            assert_eq!(answer, model.answer, "{step:?} answered");
        });
    }

    async fn take_at(&mut self, at: &At, step: &Step, model: &Model) -> Answer {
        match step {
            Step::Enqueue(asks) => self.enqueue(at, asks).await,
            Step::Stage(ask) => self.stage(at, ask).await,
            Step::Claim { owner, free } => self.claim(at, *owner, *free).await,
            Step::Reclaim { owner } => self.reclaim(at, *owner).await,
            Step::Bury => {
                let buried = lease::bury(&at.client).await.unwrap();
                Answer::Buried(buried.iter().map(|job| self.index(job.job_id)).collect())
            }
            Step::Sweep => {
                let swept = lease::sweep(&at.client).await.unwrap();
                Answer::Swept {
                    due: swept.due,
                    activated: swept.activated,
                    promoted: swept.promoted,
                }
            }
            Step::Beat { owner, leases } => {
                let picks: Vec<_> = leases.iter().map(|back| (*back, ())).collect();
                let named = named(model, *owner, &picks);
                self.beat(at, *owner, named.into_iter().map(|(lease, ())| lease))
                    .await
            }
            Step::Settle { owner, endings } => {
                self.settle(at, &named(model, *owner, endings)).await
            }
            Step::Write { lease, durable } => {
                let lease = newest(*lease, self.held.len());
                self.write(at, model, lease, *durable).await
            }
            Step::Cancel { job } => {
                let id = self.jobs[newest(*job, self.jobs.len())];
                Answer::Cancelled(job::cancel(&at.fixture.database, id).await.unwrap())
            }
            Step::Retry { job } => {
                let id = self.jobs[newest(*job, self.jobs.len())];
                Answer::Retried(job::retry(&at.fixture.database, id).await.unwrap())
            }
            Step::Age { lease, why } => {
                let held = model.running();
                self.age(at, held[newest(*lease, held.len())], *why).await
            }
            Step::ComeDue => {
                let due = "update leasectl.job set not_before = to_timestamp(0) \
                           where state = 'scheduled'";
                at.client.execute(due, &[]).await.unwrap();
                Answer::Nothing
            }
        }
    }

    pub(super) fn index(&self, id: JobId) -> usize {
        let known = self.jobs.iter().position(|job| *job == id);
        known.expect("the store knows no other jobs")
    }

    pub(super) fn key(&self, lease: usize) -> LeaseKey {
        self.held[lease].key
    }

    pub(super) fn owner(&self, lease: usize) -> String {
        self.held[lease].owner.as_str().to_owned()
    }

    fn lease_of(&self, token: i64) -> usize {
        let known = self.held.iter().position(|h| h.key.token.get() == token);
        known.expect("the store drew no other tokens")
    }

    async fn enqueue(&mut self, at: &At, asks: &[Ask]) -> Answer {
        let requests: Vec<_> = asks.iter().map(|ask| request(at, ask)).collect();
        let accepted = job::enqueue(&at.fixture.database, &requests).await.unwrap();
        let accepted = accepted.into_iter().map(|enqueued| {
            if !enqueued.deduplicated {
                self.jobs.push(enqueued.job_id);
            }
            let job = self.index(enqueued.job_id);
            (job, enqueued.state, enqueued.deduplicated)
        });
        Answer::Accepted(accepted.collect())
    }

    async fn stage(&mut self, at: &At, ask: &Ask) -> Answer {
        let enqueue = "select leasectl.enqueue($1, $2, $3, $4, \
                       case when $5 then now() + interval '1 hour' when not $5 then to_timestamp(0) end)";
        let later = ask.when.map(|when| when == When::Future);
        let (repo, priority) = (at.repos[ask.repo].to_string(), i32::from(ask.priority));
        let args = json!({"note": ask.note.to_string()});
        let row = at
            .client
            .query_one(enqueue, &[&repo, &kind(ask.lane), &args, &priority, &later])
            .await;
        let id: uuid::Uuid = row.unwrap().get(0);
        self.jobs.push(id.into());
        let state = job::PublicState::Waiting;
        Answer::Accepted(vec![(self.jobs.len() - 1, state, false)])
    }

    /// Notes leases just minted; every token is larger than all before.
    fn mint(&mut self, me: usize, leases: Vec<Lease>) -> Vec<usize> {
        let before = self.held.iter().map(|held| held.key.token).max();
        let mut jobs = Vec::new();
        for lease in leases {
            assert!(Some(lease.key().token) > before, "a token did not grow");
            jobs.push(self.index(lease.job().id));
            self.held.push(Held {
                fence: lease.fence(),
                key: lease.key(),
                owner: name(me),
                lease: Some(lease),
                settlement: None,
            });
        }
        jobs
    }

    async fn claim(&mut self, at: &At, me: usize, free: usize) -> Answer {
        let request = lease::ClaimRequest {
            slots: &[(Lane::Fetch, free), (Lane::Stack, free)],
            kinds: &KINDS,
        };
        let settings = &at.fixture.settings;
        let claimed = lease::claim(&at.client, &name(me), settings, &request).await;
        Answer::Claimed(self.mint(me, claimed.unwrap()))
    }

    async fn reclaim(&mut self, at: &At, me: usize) -> Answer {
        let request = lease::ClaimRequest {
            slots: &[(Lane::Fetch, 99), (Lane::Stack, 99)],
            kinds: &KINDS,
        };
        let settings = &at.fixture.settings;
        let taken = lease::reclaim(&at.client, &name(me), settings, &request).await;
        let mut answers = Vec::new();
        let mut leases = Vec::new();
        for taken in taken.unwrap() {
            let why = match taken.reason {
                ReclaimReason::Stale => Over::Stale,
                ReclaimReason::Expired => Over::Expired,
                ReclaimReason::Dead => Over::Dead,
            };
            let job = self.index(taken.lease.job().id);
            answers.push((job, self.lease_of(taken.from_token.get()), why));
            leases.push(taken.lease);
        }
        self.mint(me, leases);
        Answer::Reclaimed(answers)
    }

    async fn beat(&self, at: &At, me: usize, leases: impl Iterator<Item = usize>) -> Answer {
        let beats = leases.map(|lease| Beat {
            key: self.held[lease].key,
            advanced: true,
            progress: None,
            message: None,
        });
        let beats: Vec<_> = beats.collect();
        let settings = &at.fixture.settings;
        let replies = lease::heartbeat(&at.client, &name(me), settings, &beats).await;
        let held = replies.unwrap().into_iter().map(|reply| {
            let lease = self.lease_of(reply.key.token.get());
            (lease, reply.cancel_requested)
        });
        Answer::Held(held.collect::<BTreeSet<_>>())
    }

    async fn settle(&mut self, at: &At, endings: &[(usize, Ending)]) -> Answer {
        let mut batch = Vec::new();
        for (n, ending) in endings {
            let held = &mut self.held[*n];
            // Settled before: the very same settlement is sent again, as after a lost answer.
            let again = held.settlement.take();
            batch.push(again.unwrap_or_else(|| end(held.lease.take().unwrap(), *ending)));
        }
        let settled = lease::settle(&at.client, &batch).await.unwrap();
        let mut answers = Vec::new();
        for ((n, settlement), settled) in endings.iter().map(|e| e.0).zip(batch).zip(settled) {
            // Backing off is the clock's matter; here it lasts until the model says otherwise.
            let later = "update leasectl.job set not_before = now() + interval '1 hour' \
                         where id = $1 and state = 'scheduled'";
            if let Settled::Applied { .. } = settled {
                let id = settlement.key().job_id.as_uuid();
                at.client.execute(later, &[&id]).await.unwrap();
            }
            self.held[n].settlement = Some(settlement);
            answers.push(match settled {
                Settled::Applied { state, .. } => Ok(state),
                Settled::AlreadyApplied => Err(true),
                Settled::LeaseLost => Err(false),
            });
        }
        Answer::Settled(answers)
    }

    async fn write(&self, at: &At, model: &Model, lease: usize, durable: bool) -> Answer {
        let repo = at.repos[model.jobs[model.minted[lease].job].ask.repo].as_uuid();
        let mut client = at.fixture.client().await;
        let fenced = match self.held[lease].fence.begin(&mut client).await {
            Ok(fenced) => fenced,
            Err(FenceError::LeaseLost) => return Answer::Fenced(false),
            Err(FenceError::Database(error)) => panic!("{error}"),
        };
        let write = "update leasectl.repository set head = $2 where id = $1";
        let head = self.held[lease].key.token.get().to_string();
        let statements = fenced.statements();
        statements.execute(write, &[&repo, &head]).await.unwrap();
        if durable {
            fenced.mark_durable();
        }
        fenced.commit().await.unwrap();
        Answer::Fenced(true)
    }

    async fn age(&self, at: &At, lease: usize, why: Over) -> Answer {
        let change = match why {
            Over::Stale => "lease_heartbeat_at = lease_heartbeat_at - interval '1 minute'",
            Over::Expired => "lease_expires_at = now() - interval '1 second'",
            Over::Dead => "lease_expires_at = now(), dead_token = lease_token",
        };
        let age = format!("update leasectl.job set {change} where lease_token = $1");
        let token = self.held[lease].key.token.get();
        at.client.execute(&age, &[&token]).await.unwrap();
        Answer::Nothing
    }
}

pub(super) fn name(me: usize) -> Owner {
    owner(&format!("w{me}"))
}

fn kind(lane: Lane) -> &'static str {
    if lane == Lane::Stack {
        STACK.name
    } else {
        FETCH.name
    }
}

fn request(at: &At, ask: &Ask) -> EnqueueRequest {
    let spec = if ask.lane == Lane::Stack {
        &STACK
    } else {
        &FETCH
    };
    let request = at
        .fixture
        .request(at.repos[ask.repo], spec, &ask.note.to_string());
    let past = || NotBefore::At(chrono::DateTime::UNIX_EPOCH.into());
    let not_before = ask.when.map_or(NotBefore::Now, |when| match when {
        When::Past => past(),
        When::Future => NotBefore::In(Duration::from_secs(3_600)),
    });
    request
        .priority(urgent(i64::from(ask.priority)))
        .not_before(not_before)
}

fn end(lease: Lease, ending: Ending) -> Settlement {
    let cause = ErrorCode::RemoteTimeout;
    match ending {
        Ending::Complete => lease.complete(done()),
        Ending::Retryable => lease.fail(JobError::retryable(cause, "silent")),
        Ending::Permanent => lease.fail(JobError::permanent(cause, "never")),
        Ending::Cancelled => lease.cancelled(),
        Ending::Release => lease.release(),
    }
}
