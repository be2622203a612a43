//! The two lanes that keep changes, one of which is held up while the other has work.

use std::time::{Duration, Instant};

use super::record::BesideSeen;
use super::world::World;
use crate::sql::Sql;
use crate::wait::pause;

/// How long a job may take beside one that is held up, on a slow and busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

impl World {
    /// Holds up one lane of a repository and then the other, and looks whether jobs of the other lane still end.
    pub(super) fn work_beside(&mut self) -> Vec<BesideSeen> {
        let sql = self.sql();
        let repo = self.sources[0].id.clone();
        let mut seen = Vec::new();

        // A backfill waits to write what it studied.
        let lock = "lock table leasectl.change_snapshot in share row exclusive mode";
        let held = sql.hold(lock);
        self.sources[0].proposals.move_for_certain();
        let fetch = accept(&sql, &repo, "fetch", "{}");
        self.wait_for(&sql, &fetch);
        self.wait_for_lease(&sql, &repo, "backfill");
        self.sources[0].proposals.move_for_certain();
        let beside = accept(&sql, &repo, "fetch", "{}");
        let state = self.wait_for(&sql, &beside);
        seen.push(of("backfill", "fetch", state));
        drop(held);

        // A fetch waits to write which branches there are.
        self.move_head_of(0);
        let held = sql.hold("lock table leasectl.branch in share row exclusive mode");
        accept(&sql, &repo, "fetch", "{}");
        self.wait_for_lease(&sql, &repo, "fetch");
        let args = format!(
            r#"{{"mode": "{}", "max_changes": 500}}"#,
            self.sources[0].mode
        );
        let beside = accept(&sql, &repo, "backfill", &args);
        let state = self.wait_for(&sql, &beside);
        seen.push(of("fetch", "backfill", state));
        drop(held);
        seen
    }

    /// Waits for a job's end; its state then, or when the time is over.
    fn wait_for(&mut self, sql: &Sql, job: &str) -> String {
        let look = "select state from leasectl.job_status where id::text = $1";
        let mut state = String::new();
        self.wait(|| {
            state = sql.one(look, &[&job]);
            matches!(state.as_str(), "completed" | "error" | "cancelled")
        });
        state
    }

    /// Waits until somebody works in a lane, or there is nothing to work on.
    fn wait_for_lease(&mut self, sql: &Sql, repo: &str, lane: &str) {
        let look = "select count(*) = 0 or bool_or(j.state = 'running') from leasectl.job j \
                     where j.repo_id::text = $1 and j.lane = $2";
        self.wait(|| sql.one(look, &[&repo, &lane]));
    }

    fn wait(&mut self, mut is_over: impl FnMut() -> bool) {
        let started = Instant::now();
        while started.elapsed() < LIMIT && !is_over() {
            self.replace_ended();
            pause(LOOK);
        }
    }
}

fn of(held: &str, lane: &str, state: String) -> BesideSeen {
    BesideSeen {
        held: held.to_owned(),
        lane: lane.to_owned(),
        state,
    }
}

fn accept(sql: &Sql, repo: &str, kind: &str, args: &str) -> String {
    let call = "select leasectl.enqueue(repo => $1, kind => $2, args => ($3::text)::jsonb)::text";
    sql.one(call, &[&repo, &kind, &args])
}
