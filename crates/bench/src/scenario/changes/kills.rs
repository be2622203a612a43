//! A worker that is killed again and again during one backfill.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use leasectl_core::changes::BATCH;
use leasectl_core::ids::RepoId;
use leasectl_core::kind::BACKFILL;
use serde_json::json;

use super::super::index::World;
use super::{ALL, Source};
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::report::{Bar, Report, Unit};
use crate::server::Server;

const KILLS: usize = 10;
/// Between two looks at how far the pass has come.
const LOOK: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(120);

/// When each change was studied.
type Studied = BTreeMap<i64, DateTime<Utc>>;

pub(super) async fn measure(
    server: &Server,
    source: &Source,
    report: &mut Report,
) -> Result<(), BenchError> {
    let mut world = World::open(server).await?;
    let repo = world.register(&source.path()).await?;
    world.fetch_and_index(repo).await?;
    let args = json!({"mode": "open_only", "max_changes": ALL});
    let job = world.enqueue(repo, &BACKFILL, &args).await?;
    let (mut kept, mut kills) = (Studied::new(), 0);
    let mut repeated = 0;
    while kills < KILLS {
        if !further(&world, repo, kept.len()).await? {
            break;
        }
        world.kill()?;
        kills += 1;
        let now = studied(&world, repo).await?;
        repeated += again(&kept, &now);
        kept = now;
        world.start_worker().await?;
    }
    world.wait(job).await?;
    let now = studied(&world, repo).await?;
    repeated += again(&kept, &now);
    let counts = "select count(*) filter (where freshness is distinct from 'current'), count(*) \
                    from leasectl.changes where repo_id = $1";
    let row = world
        .queue
        .own
        .query_one(counts, &[&repo.as_uuid()])
        .await?;
    let (missing, all): (i64, i64) = (row.get(0), row.get(1));
    let lost = usize::try_from(missing).unwrap_or(usize::MAX);
    let doubled = usize::try_from(all).unwrap_or_default().abs_diff(now.len());
    report.add(
        "kills in one pass",
        Unit::Count,
        Bar::AtLeast(as_f64(KILLS)),
        as_f64(kills),
    );
    report.add(
        "… changes missing",
        Unit::Count,
        Bar::AtMost(0.0),
        as_f64(lost),
    );
    report.add(
        "… changes doubled",
        Unit::Count,
        Bar::AtMost(0.0),
        as_f64(doubled),
    );
    let name = "… committed work that was repeated";
    report.add(name, Unit::Count, Bar::AtMost(0.0), as_f64(repeated));
    report.note(format!(
        "a killed worker's batch of at most {BATCH} changes is studied again; what was committed is not"
    ));
    world.close().await
}

/// Waits until more changes are known than before; whether that happened before the pass ended.
async fn further(world: &World, repo: RepoId, before: usize) -> Result<bool, BenchError> {
    let look = "select (select count(*) from leasectl.changes c where c.repo_id = $1 and c.studied_at is not null), \
                       exists (select from leasectl.job_status j \
                                where j.repo_id = $1 and j.kind = 'backfill' and j.state <> 'completed')";
    let look = world.queue.own.prepare(look).await?;
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let row = world.queue.own.query_one(&look, &[&repo.as_uuid()]).await?;
        let (known, goes_on): (i64, bool) = (row.get(0), row.get(1));
        if !goes_on {
            return Ok(false);
        }
        if usize::try_from(known).is_ok_and(|known| known > before) {
            return Ok(true);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(BenchError::TooLate {
        what: "progress of a backfill",
        seconds: LIMIT.as_secs(),
    })
}

async fn studied(world: &World, repo: RepoId) -> Result<Studied, BenchError> {
    let known = "select number, studied_at from leasectl.changes where repo_id = $1 and studied_at is not null";
    let rows = world.queue.own.query(known, &[&repo.as_uuid()]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// How many of the changes that were known are known since another moment, or not at all.
fn again(before: &Studied, now: &Studied) -> usize {
    before
        .iter()
        .filter(|(number, at)| now.get(number) != Some(at))
        .count()
}
