//! Judges what the jobs of a run went through against the invariants of the protocol.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::sql::Sql;

/// All jobs of a database with all their attempts.
#[derive(Debug)]
pub struct History {
    jobs: Vec<Job>,
}

#[derive(Debug)]
struct Job {
    id: String,
    lane: (String, String),
    state: String,
    attempt: i16,
    max_attempts: i16,
    has_lease: bool,
    attempts: Vec<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    job: String,
    token: i64,
    owner: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    outcome: Option<String>,
}

impl History {
    /// Reads everything.
    ///
    /// # Panics
    /// When the database is away.
    #[must_use]
    pub fn read(sql: &Sql) -> Self {
        let rows = sql.rows(
            "select id::text, repo_id::text, lane, state, attempt, max_attempts, \
                    lease_owner is not null and lease_token is not null, attempts \
               from leasectl.job_status",
            &[],
        );
        let jobs = rows.iter().map(|row| {
            let id: String = row.get(0);
            let attempts: Value = row.get(7);
            Job {
                attempts: attempts
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(|a| read(&id, a))
                    .collect(),
                id,
                lane: (row.get(1), row.get(2)),
                state: row.get(3),
                attempt: row.get(4),
                max_attempts: row.get(5),
                has_lease: row.get(6),
            }
        });
        Self {
            jobs: jobs.collect(),
        }
    }

    /// Expects that every invariant holds, whether the jobs have ended or not.
    ///
    /// # Panics
    /// When one does not.
    #[track_caller]
    pub fn check(&self) {
        for job in &self.jobs {
            job.check();
        }
        let mut lanes: BTreeMap<_, Vec<&Attempt>> = BTreeMap::new();
        for job in &self.jobs {
            lanes.entry(&job.lane).or_default().extend(&job.attempts);
        }
        for attempts in lanes.values_mut() {
            attempts.sort_by_key(|attempt| attempt.started_at);
            for pair in attempts.windows(2) {
                assert!(
                    pair[0].token < pair[1].token,
                    "I1: tokens do not grow: {pair:#?}"
                );
                let ended = pair[0].finished_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
                assert!(
                    ended <= pair[1].started_at,
                    "P3: two leases in one lane: {pair:#?}"
                );
            }
        }
        let mut tokens = BTreeSet::new();
        for attempt in self.jobs.iter().flat_map(|job| &job.attempts) {
            assert!(
                tokens.insert(attempt.token),
                "I4: token used twice, in job {}: {attempt:#?}",
                attempt.job
            );
        }
    }

    /// Expects that every invariant holds and that every job has ended.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn check_all_ended(&self) {
        self.check();
        for job in &self.jobs {
            assert!(job.is_finished(), "I7: a job did not end: {job:#?}");
        }
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

fn read(job: &str, attempt: &Value) -> Attempt {
    let time = |name: &str| {
        attempt[name]
            .as_str()
            .map(|text| text.parse().expect("a time"))
    };
    Attempt {
        job: job.to_owned(),
        token: attempt["token"].as_i64().expect("a token"),
        owner: attempt["owner"].as_str().expect("an owner").to_owned(),
        started_at: time("started_at").expect("a start"),
        finished_at: time("finished_at"),
        outcome: attempt["outcome"].as_str().map(str::to_owned),
    }
}

impl Job {
    fn is_finished(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "error" | "cancelled")
    }

    #[track_caller]
    fn check(&self) {
        let running = self.state == "running";
        assert_eq!(self.has_lease, running, "I8: job {}: {self:#?}", self.id);
        assert!(
            self.attempt <= self.max_attempts,
            "I9: too many attempts: {self:#?}"
        );
        let open = self
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome.is_none())
            .count();
        assert_eq!(
            open,
            usize::from(running),
            "one open attempt while running: {self:#?}"
        );
        for attempt in &self.attempts {
            let known = matches!(
                attempt.outcome.as_deref(),
                None | Some("completed" | "failed" | "cancelled" | "released" | "lost")
            );
            assert!(known, "an unknown outcome: {attempt:#?}");
            assert!(
                !attempt.owner.is_empty() && attempt.token > 0,
                "{attempt:#?}"
            );
            assert_eq!(
                attempt.outcome.is_none(),
                attempt.finished_at.is_none(),
                "{attempt:#?}"
            );
        }
        let last = self
            .attempts
            .last()
            .and_then(|attempt| attempt.outcome.as_deref());
        if self.state == "completed" {
            assert_eq!(
                last,
                Some("completed"),
                "I6: completed by its last attempt: {self:#?}"
            );
        }
    }
}
