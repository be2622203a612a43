//! What studying the changes of a real repository costs, in a worker process like any other.

mod equal;
mod hunks;
mod kills;
mod peers;

use std::path::{Path, PathBuf};
use std::time::Instant;

use leasectl_core::changes::overlaps;
use leasectl_core::ids::RepoId;
use leasectl_core::kind::{BACKFILL, FETCH};
use serde_json::json;
use tempfile::TempDir;

use self::peers::Peers;
use super::index::{Done, World};
use crate::cli::ChangesOptions;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::host::Host;
use crate::process::{git, output};
use crate::report::{Bar, Report, Unit, median, percentile};
use crate::server::Server;

/// More than there are.
const ALL: u32 = 100_000;
/// Changes whose relatives are asked for.
const ASKED: i64 = 200;

/// The repository of a bundle, as a remote.
struct Source {
    folder: TempDir,
}

impl Source {
    async fn of_bundle(bundle: &Path) -> Result<Self, BenchError> {
        let source = Self {
            folder: tempfile::tempdir()?,
        };
        let bundle = bundle.display().to_string();
        git(["clone", "-q", "--mirror", &bundle, &source.path()]).await?;
        Ok(source)
    }

    fn path(&self) -> String {
        self.folder.path().join("source.git").display().to_string()
    }

    async fn git(&self, arguments: &[&str]) -> Result<String, BenchError> {
        let path = self.path();
        let all = ["-C", &path].into_iter().chain(arguments.iter().copied());
        git(all).await
    }

    /// The file whose path a shell in the repository gets as `$1`.
    fn written(&self) -> PathBuf {
        self.folder.path().join("written")
    }

    /// Runs a script that writes that file.
    async fn shell(&self, script: &str) -> Result<PathBuf, BenchError> {
        let written = self.written();
        let script = format!("cd \"$0\" && {script}");
        let (repository, file) = (self.path(), written.display().to_string());
        let arguments = ["-c", &script, &repository, &file];
        match output("sh", arguments).await? {
            Some(_) => Ok(written),
            None => Err(BenchError::Unexpected("sh is not installed".to_owned())),
        }
    }
}

pub(crate) async fn run(server: &Server, options: &ChangesOptions) -> Result<(), BenchError> {
    let mut report = Report::new("changes");
    report.note(Server::describe());
    report.note(
        "one worker process; git's loop runs `git merge-base` and `git diff --numstat` for each change, \
         and its log is `git log --numstat -M` into a file",
    );
    for _ in 0..options.rounds.rounds {
        let source = Source::of_bundle(&options.bundle).await?;
        round(server, &source, &mut report).await?;
    }
    Ok(report.print()?)
}

async fn round(server: &Server, source: &Source, report: &mut Report) -> Result<(), BenchError> {
    let world = World::open(server).await?;
    let repo = world.register(&source.path()).await?;
    // The index that follows would be in the way.
    world.fetch_and_index(repo).await?;
    let host = Host::watch()?;
    first(&world, repo, source, report).await?;
    history(&world, repo, source, report).await?;
    again(&world, repo, source, report).await?;
    related(&world, repo, report).await?;
    report.add("the host took", Unit::Percent, Bar::None, host.stolen()?);
    world.close().await?;
    kills::measure(server, source, report).await
}

/// Runs a pass to its end.
async fn pass(world: &World, repo: RepoId, mode: &str) -> Result<Done, BenchError> {
    let args = json!({"mode": mode, "max_changes": ALL});
    let done = world.run(repo, &BACKFILL, &args).await?;
    if done.result["exhausted"] == true {
        return Ok(done);
    }
    let result = &done.result;
    Err(BenchError::Unexpected(format!(
        "a pass left something: {result}"
    )))
}

/// Every change, for the first time.
async fn first(
    world: &World,
    repo: RepoId,
    source: &Source,
    report: &mut Report,
) -> Result<(), BenchError> {
    let done = pass(world, repo, "open_and_recent").await?;
    let changes = done.count("changes_total");
    report.add("changes", Unit::Count, Bar::None, changes);
    report.add("all changes", Unit::Seconds, Bar::None, done.seconds);
    let speed = changes / done.seconds;
    report.add("changes a second", Unit::Count, Bar::AtLeast(300.0), speed);
    let loop_seconds = Peers::of(source).loop_over_changes().await?;
    report.add("git's loop", Unit::Seconds, Bar::None, loop_seconds);
    let ratio = loop_seconds / done.seconds;
    report.add("git's loop ÷ ours", Unit::Ratio, Bar::None, ratio);
    equal::changes(world, repo, source, report).await?;
    hunks::changes(world, repo, source, report).await
}

/// The commits of the default branch.
async fn history(
    world: &World,
    repo: RepoId,
    source: &Source,
    report: &mut Report,
) -> Result<(), BenchError> {
    let done = pass(world, repo, "full_history").await?;
    let log_seconds = Peers::of(source).log().await?;
    let commits = done.count("commits");
    report.add("commits", Unit::Count, Bar::None, commits);
    report.add("their history", Unit::Seconds, Bar::None, done.seconds);
    report.add("git log --numstat", Unit::Seconds, Bar::None, log_seconds);
    let ratio = log_seconds / done.seconds;
    report.add("git log ÷ ours", Unit::Ratio, Bar::AtLeast(0.8), ratio);
    equal::history(world, repo, source, report).await
}

/// A pass with nothing new, and one with a head that moved.
async fn again(
    world: &World,
    repo: RepoId,
    source: &Source,
    report: &mut Report,
) -> Result<(), BenchError> {
    let nothing = pass(world, repo, "full_history").await?;
    let bar = Bar::AtMost(500.0);
    let name = "pass with nothing new";
    report.add(name, Unit::Milliseconds, bar, nothing.seconds * 1_000.0);
    let number = "select number from leasectl.changes where repo_id = $1 and open order by number desc limit 1";
    let row = world
        .queue
        .own
        .query_one(number, &[&repo.as_uuid()])
        .await?;
    let number: i64 = row.get(0);
    let reference = format!("refs/pull/{number}/head");
    let tree = source
        .git(&["rev-parse", &format!("{reference}~1^{{tree}}")])
        .await?;
    let identity = [
        "-c",
        "user.name=bench",
        "-c",
        "user.email=bench@bench.example",
    ];
    let commit = ["commit-tree", "-p", &reference, "-m", "moved", tree.trim()];
    let commit: Vec<&str> = identity.into_iter().chain(commit).collect();
    let moved = source.git(&commit).await?;
    source
        .git(&["update-ref", &reference, moved.trim()])
        .await?;
    world.run(repo, &FETCH, &json!({})).await?;
    let beyond = follows_within(world, repo).await?;
    let bar = Bar::AtMost(100.0);
    report.add(
        "one moved head, after its fetch",
        Unit::Milliseconds,
        bar,
        beyond,
    );
    Ok(())
}

/// The milliseconds from the end of the newest fetch to the end of the backfill that followed from it.
async fn follows_within(world: &World, repo: RepoId) -> Result<f64, BenchError> {
    let newest = "select b.id, f.finished_at from leasectl.job_status f \
                    join leasectl.job_status b on b.repo_id = f.repo_id and b.kind = 'backfill' \
                                              and b.created_at > f.started_at \
                   where f.repo_id = $1 and f.kind = 'fetch' order by f.created_at desc, b.created_at desc limit 1";
    let row = world
        .queue
        .own
        .query_one(newest, &[&repo.as_uuid()])
        .await?;
    let id: uuid::Uuid = row.get(0);
    world.wait(id.into()).await?;
    let took = "select extract(epoch from b.finished_at - $2::timestamptz)::float8 * 1000 \
                  from leasectl.job_status b where b.id = $1";
    let fetched: chrono::DateTime<chrono::Utc> = row.get(1);
    let row = world.queue.own.query_one(took, &[&id, &fetched]).await?;
    Ok(row.get(0))
}

/// Which changes touch the same files.
async fn related(world: &World, repo: RepoId, report: &mut Report) -> Result<(), BenchError> {
    let numbers = "select number from leasectl.changes where repo_id = $1 order by number limit $2";
    let rows = world
        .queue
        .own
        .query(numbers, &[&repo.as_uuid(), &ASKED])
        .await?;
    let mut times = Vec::with_capacity(rows.len());
    let mut found = 0;
    for row in rows {
        let started = Instant::now();
        let answer = overlaps(&world.queue.database, repo, row.get(0), None, 50).await;
        let answer = answer.map_err(|error| BenchError::Unexpected(error.to_string()))?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        found += answer.map_or(0, |others| others.len());
    }
    let bar = Bar::AtMost(20.0);
    report.add("overlaps, median", Unit::Milliseconds, bar, median(&times));
    let p99 = percentile(&times, 99);
    report.add("overlaps, p99", Unit::Milliseconds, Bar::AtMost(20.0), p99);
    report.add("… found", Unit::Count, Bar::None, as_f64(found));
    Ok(())
}
