//! Searching in a warm process, and after the disk was lost.

use std::sync::Arc;
use std::time::Instant;

use leasectl_core::repository::{RepoRef, find};
use leasectl_index::{Case, Query};
use leasectl_remote::{Locality, RemoteUrl};
use leasectl_repo::{CloneTarget, Content, NoProgress};
use leasectl_worker::search::{IndexedTree, Wanted};
use tokio_util::sync::CancellationToken;

use super::corpus::{Commits, Remote, SourceFile};
use super::world::World;
use crate::cli::IndexOptions;
use crate::error::BenchError;
use crate::report::{Bar, Report, Unit, median, percentile};
use crate::scenario::clone_cache;
use crate::server::Server;

/// Queries of one round.
const QUERIES: usize = 500;
/// Lines of one answer, as the program asks for unless told.
const HITS: usize = 100;

pub(super) async fn run(
    server: &Server,
    options: &IndexOptions,
    files: &[SourceFile],
) -> Result<(), BenchError> {
    let mut report = super::report("search", files);
    report.note(format!(
        "{QUERIES} queries, half of them regular expressions, of words of the source; {HITS} lines at most"
    ));
    let folder = tempfile::tempdir()?;
    let remote = Remote::new(folder.path().join("source.git")).await?;
    let mut commits = Commits::default();
    commits.add("main", None, files);
    remote.import(commits).await?;
    let world = World::open(server).await?;
    let repo = world.register(&remote.url()).await?;
    world.fetch_and_index(repo).await?;
    let queries = queries(files)?;
    for _ in 0..options.rounds.rounds {
        let disk = tempfile::tempdir()?;
        let content = content(&remote.url(), disk.path(), repo.as_uuid()).await?;
        round(&world, repo, &content, &queries, &mut report).await?;
    }
    world.close().await?;
    Ok(report.print()?)
}

/// What a clone on that disk holds, which is made if it is not there.
pub(super) async fn content(
    remote: &str,
    disk: &std::path::Path,
    id: uuid::Uuid,
) -> Result<Content, BenchError> {
    let url = RemoteUrl::parse(remote, Locality::AllowLocal);
    let url = url.map_err(|error| BenchError::Unexpected(error.to_string()))?;
    let cache = clone_cache(disk)?;
    let (target, cancel) = (CloneTarget { id, url }, CancellationToken::new());
    let clone = cache
        .ensure_clone(&target, &[], &NoProgress, &cancel)
        .await?;
    Ok(cache.content(&clone).await?)
}

async fn round(
    world: &World,
    repo: leasectl_core::ids::RepoId,
    content: &Content,
    queries: &[Query],
    report: &mut Report,
) -> Result<(), BenchError> {
    let failed = |error: &dyn std::error::Error| BenchError::Unexpected(error.to_string());
    let database = &world.queue.database;
    let found = find(database, &RepoRef::Id(repo)).await?;
    let repository = found.ok_or_else(|| BenchError::Unexpected("no repository".to_owned()))?;
    // The first time without a shard on the disk, then with one.
    for name in [
        "shard assembled, nothing read",
        "shard opened from the disk",
    ] {
        let tree = IndexedTree::of(database, &repository, None).await;
        let tree = tree.map_err(|error| failed(&error))?;
        let tree = tree.ok_or_else(|| BenchError::Unexpected("nothing is indexed".to_owned()))?;
        let started = Instant::now();
        let searcher = tree.open(database, content.clone()).await;
        let took = started.elapsed().as_secs_f64() * 1_000.0;
        let bar = Bar::AtMost(200.0);
        report.add(name, Unit::Milliseconds, bar, took);
        let searcher = Arc::new(searcher.map_err(|error| failed(&error))?);
        if name.contains("disk") {
            let times = answer(&searcher, queries).map_err(|error| failed(&error))?;
            let bar = Bar::AtMost(5.0);
            report.add("query, median", Unit::Milliseconds, bar, median(&times));
            let p99 = percentile(&times, 99);
            report.add("query, p99", Unit::Milliseconds, Bar::None, p99);
        }
    }
    Ok(())
}

fn answer(
    searcher: &leasectl_worker::search::Searcher,
    queries: &[Query],
) -> Result<Vec<f64>, leasectl_worker::search::SearchFailure> {
    let timed = queries.iter().map(|query| {
        let started = Instant::now();
        std::hint::black_box(searcher.search(query, None, Wanted::lines(HITS))?);
        Ok(started.elapsed().as_secs_f64() * 1_000.0)
    });
    timed.collect()
}

/// Words of the files, by themselves and in regular expressions.
fn queries(files: &[SourceFile]) -> Result<Vec<Query>, BenchError> {
    let mut queries = Vec::new();
    for number in 0..QUERIES {
        // Both steps are prime, so that files and places in them vary.
        let file = &files[number * 7_919 % files.len()];
        let text = String::from_utf8_lossy(&file.content);
        let words: Vec<&str> = text
            .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .filter(|word| word.len() > 3)
            .collect();
        let word = |place: usize| {
            words
                .get(place % words.len().max(1))
                .copied()
                .unwrap_or("self")
        };
        let (one, other) = (word(number * 31), word(number * 31 + 1));
        let query = match number % 8 {
            0 => Query::regex(&format!("{one}.*{other}"), Case::Sensitive),
            2 => Query::regex(&format!(r"{one}\w*\("), Case::Sensitive),
            4 => Query::regex(&format!("({one}|{other})[;,]"), Case::Sensitive),
            6 => Query::regex(&format!(r"\b{one}\b"), Case::Sensitive),
            _ => Query::literal(one, Case::Sensitive),
        };
        queries.push(query.map_err(|error| BenchError::Unexpected(error.to_string()))?);
    }
    Ok(queries)
}
