//! Compares every row with the model, and the order in which the rows were accepted.

use std::collections::{BTreeMap, BTreeSet};

use leasectl_core::job::PublicState;
use leasectl_core::kind::Lane;
use leasectl_core::lease;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{Job, Model, State, When};
use super::steps::OWNERS;
use super::system::{At, Store, at_stage, name};

/// A job as both sides tell it.
#[derive(Clone, PartialEq, Debug)]
struct Told {
    state: String,
    priority: i16,
    when: Option<When>,
    attempts: (i16, i16),
    crashes: i16,
    /// Staged, merges with equal newcomers, durable, asked to stop.
    marks: [bool; 4],
    owner: Option<String>,
    token: Option<i64>,
    ended: Vec<(i64, String)>,
}

const LIVE: &str = "select id, state, priority, \
     case when not_before is null then null else not_before > now() end as later, \
     attempt, max_attempts, crashes, staged, dedup_key is not null as merges, durable, \
     cancel_requested, lease_owner, lease_token, attempts \
     from leasectl.job order by seq";

const FINISHED: &str = "select id, state, priority, \
     case when not_before is null then null else not_before > now() end as later, \
     attempt, max_attempts, outcome, token, attempts from leasectl.job_history";

const HEADS: &str = "select id, head from leasectl.repository";

pub(super) fn assert_same(store: &Store, model: &Model) {
    at_stage(async |at| {
        let live = at.client.query(LIVE, &[]).await.unwrap();
        let finished = at.client.query(FINISHED, &[]).await.unwrap();
        let order: Vec<_> = live.iter().map(|row| index(store, row)).collect();
        let mut told: BTreeMap<_, _> = live
            .iter()
            .map(|row| (index(store, row), live_job(row)))
            .collect();
        told.extend(finished.iter().map(|row| (index(store, row), over(row))));
        assert_eq!(
            live.len() + finished.len(),
            told.len(),
            "a job is told twice"
        );

        let expected: BTreeMap<_, _> = model
            .jobs
            .iter()
            .enumerate()
            .map(|(n, job)| (n, expected(store, job)))
            .collect();
        for (n, job) in &expected {
            assert_eq!(told.get(n), Some(job), "job {n}: the store, then its model");
        }
        assert_eq!(told.len(), expected.len());
        assert_eq!(order, accepted(model), "the order of acceptance");
        assert_heads(store, model, at).await;
        assert_looks(store, model, at).await;
    });
}

/// What an idle worker sees at its next poll.
async fn assert_looks(store: &Store, model: &Model, at: &At) {
    let lanes = |wanted: &dyn Fn(&Job) -> bool| {
        let jobs = model.jobs.iter().filter(|job| wanted(job));
        jobs.map(|job| job.ask.lane).collect::<BTreeSet<_>>()
    };
    let over = |job: &Job| matches!(job.state, State::Running { over: Some(_), .. });
    for me in 0..OWNERS {
        let asked = |job: &Job| match job.state {
            State::Running { lease, .. } => job.cancel_requested && model.minted[lease].owner == me,
            State::Scheduled | State::Waiting | State::Ready | State::Finished(_) => false,
        };
        let looked = lease::look(&at.client, &name(me)).await.unwrap();
        let sorted = |lanes: Vec<Lane>| lanes.into_iter().collect::<BTreeSet<_>>();
        assert_eq!(
            sorted(looked.ready),
            lanes(&|job| job.state == State::Ready)
        );
        assert_eq!(sorted(looked.over), lanes(&over));
        assert_eq!(looked.to_sweep, model.is_to_sweep());
        let stop: BTreeSet<_> = looked.cancelled.iter().map(|id| store.index(*id)).collect();
        let to_stop = (0..model.jobs.len()).filter(|n| asked(&model.jobs[*n]));
        assert_eq!(stop, to_stop.collect());
    }
}

fn index(store: &Store, row: &Row) -> usize {
    store.index(row.get::<_, Uuid>("id").into())
}

fn when(row: &Row) -> Option<When> {
    let later: Option<bool> = row.get("later");
    later.map(|later| if later { When::Future } else { When::Past })
}

fn ended(attempts: &Value) -> Vec<(i64, String)> {
    let attempts = attempts.as_array().expect("attempts are a list");
    let one = |a: &Value| {
        let outcome = a["outcome"].as_str().expect("an outcome");
        (a["token"].as_i64().expect("a token"), outcome.to_owned())
    };
    attempts.iter().map(one).collect()
}

fn live_job(row: &Row) -> Told {
    Told {
        state: row.get("state"),
        priority: row.get("priority"),
        when: when(row),
        attempts: (row.get("attempt"), row.get("max_attempts")),
        crashes: row.get("crashes"),
        marks: ["staged", "merges", "durable", "cancel_requested"].map(|mark| row.get(mark)),
        owner: row.get("lease_owner"),
        token: row.get("lease_token"),
        ended: ended(&row.get("attempts")),
    }
}

/// The history keeps the last lease apart from the attempts before it.
fn over(row: &Row) -> Told {
    let mut all = ended(&row.get("attempts"));
    if let Some(token) = row.get::<_, Option<i64>>("token") {
        all.push((token, row.get("outcome")));
    }
    Told {
        state: row.get("state"),
        priority: row.get("priority"),
        when: when(row),
        attempts: (row.get("attempt"), row.get("max_attempts")),
        crashes: 0,
        marks: [false; 4],
        owner: None,
        token: None,
        ended: all,
    }
}

fn expected(store: &Store, job: &Job) -> Told {
    let (state, lease) = match job.state {
        State::Scheduled => ("scheduled", None),
        State::Waiting => ("waiting", None),
        State::Ready => ("ready", None),
        State::Running { lease, .. } => ("running", Some(lease)),
        State::Finished(state) => (PublicState::as_str(state), None),
    };
    let finished = matches!(job.state, State::Finished(_));
    let key = lease.map(|lease| store.key(lease));
    Told {
        state: state.to_owned(),
        priority: job.ask.priority,
        when: job.ask.when,
        attempts: (job.attempt, job.max_attempts),
        crashes: if finished { 0 } else { job.crashes },
        marks: [
            job.staged,
            job.merges,
            job.durable && !finished,
            job.cancel_requested && !finished,
        ],
        owner: lease.map(|lease| store.owner(lease)),
        token: key.map(|key| key.token.get()),
        ended: job
            .ended
            .iter()
            .map(|(lease, outcome)| (store.key(*lease).token.get(), (*outcome).to_owned()))
            .collect(),
    }
}

/// Live jobs by acceptance.
fn accepted(model: &Model) -> Vec<usize> {
    let live = |n: &usize| !matches!(model.jobs[*n].state, State::Finished(_));
    let mut order: Vec<_> = (0..model.jobs.len()).filter(live).collect();
    order.sort_by_key(|n| model.jobs[*n].seq);
    order
}

async fn assert_heads(store: &Store, model: &Model, at: &At) {
    for row in at.client.query(HEADS, &[]).await.unwrap() {
        let id: Uuid = row.get("id");
        let repo = at.repos.iter().position(|repo| repo.as_uuid() == id);
        let written = model.written[repo.expect("there are two repositories")];
        let token = written.map(|lease| store.key(lease).token.get().to_string());
        assert_eq!(row.get::<_, Option<String>>("head"), token);
    }
}
