//! A job that kills every worker that takes it.

use super::world::World;
use crate::sql::Sql;

/// The state of the poisonous job, of which there is one at a time.
#[derive(Debug)]
pub(super) struct Poison {
    repo: String,
    job: Option<String>,
    last_token: i64,
}

impl Poison {
    pub(super) fn new(repo: String) -> Self {
        Self {
            repo,
            job: None,
            last_token: 0,
        }
    }

    /// Nobody is killed for it any more.
    pub(super) fn give_up(&mut self) {
        self.job = None;
    }

    /// Accepts the job, unless one is under way; whether it was.
    pub(super) fn enqueue(&mut self, sql: &Sql) -> bool {
        if self.job.is_some() {
            return false;
        }
        let call = "select leasectl.enqueue(repo => $1, kind => 'fetch', priority => 100)::text";
        let accepted = sql.try_rows(call, &[&self.repo]);
        self.job = accepted
            .ok()
            .and_then(|rows| rows.first().map(|row| row.get(0)));
        self.job.is_some()
    }

    /// The owner that has just taken it.
    fn taker(&mut self, sql: &Sql) -> Option<String> {
        let job = self.job.as_ref()?;
        let look = "select s.state, l.owner, l.token from leasectl.job_status s \
                      left join leasectl.lease_status l on l.job_id = s.id where s.id::text = $1";
        let rows = sql.try_rows(look, &[job]).ok()?;
        let Some(row) = rows.first() else {
            self.job = None;
            return None;
        };
        if matches!(row.get(0), "completed" | "error" | "cancelled") {
            self.job = None;
            return None;
        }
        let token = row.get::<_, Option<i64>>(2)?;
        if token <= self.last_token {
            return None;
        }
        self.last_token = token;
        row.get(1)
    }
}

impl World {
    /// Kills whoever has just taken the poisonous job.
    pub(super) fn tend_poison(&mut self) {
        let sql = self.sql();
        let Some(owner) = self.poison.taker(&sql) else {
            return;
        };
        let taker = self
            .members
            .iter_mut()
            .find(|member| member.owner() == Some(owner.as_str()));
        if taker.is_some_and(super::member::Member::kill) {
            self.tally.count("SIGKILL by a poisonous job");
        }
    }
}
