//! Content that means harm: what it costs, and what becomes of the rest.

mod tree;

use std::collections::HashMap;
use std::time::Instant;

use leasectl_core::ids::RepoId;
use leasectl_core::kind::FETCH;
use leasectl_core::repository::{RepoRef, find};
use leasectl_index::{Case, Query};
use leasectl_repo::serve::{LocalRemote, ServeOptions};
use leasectl_worker::search::{IndexedTree, Searcher, Wanted};
use serde_json::json;

use super::corpus::Remote;
use super::queries::content;
use super::world::World;
use crate::error::BenchError;
use crate::host::ChildWatch;
use crate::report::{Bar, Report, Unit};
use crate::server::Server;

use self::tree::{Hostile, INDEXED, MANY, path_of, text_of};

/// Of the many files, every so-many-th is searched for.
const STEP: usize = 199;

pub(super) async fn run(server: &Server) -> Result<(), BenchError> {
    let mut report = Report::new("hostile content");
    report.note(Server::describe());
    let folder = tempfile::tempdir()?;
    let remote = Remote::new(folder.path().join("bench/source.git")).await?;
    let hostile = tree::fill(&remote).await?;
    let world = World::open(server).await?;
    // Over HTTP: a server on the same disk would work within the limits of our own child process.
    let served = LocalRemote::start(folder.path().to_owned(), ServeOptions::default()).await?;
    let url = served.url("bench/source.git");
    let repo = world.register(&url).await?;
    let children = ChildWatch::start(world.worker_pid());
    let fetched = world.run(repo, &FETCH, &json!({})).await?;
    let indexed = world.run_newest_index(repo).await?;
    let two_minutes = Bar::AtMost(120.0);
    report.add("fetch", Unit::Seconds, two_minutes, fetched.seconds);
    report.add("index", Unit::Seconds, two_minutes, indexed.seconds);
    let bar = Bar::AtMost(f64::from(400 << 20));
    let most = world.peak_bytes()?;
    report.add("most memory of the worker", Unit::Bytes, bar, most);
    // What resolves a pack holds one object whole, and what it is a change of.
    let bar = Bar::AtMost(2.0 * f64::from(1 << 30));
    let most = children.most_bytes();
    report.add("most memory of its Git process", Unit::Bytes, bar, most);
    report.add("files", Unit::Count, Bar::None, indexed.count("files"));

    let odd = unexpected(&world, repo, &hostile, &mut report).await?;
    let none = Bar::AtMost(0.0);
    report.add("files without what is expected", Unit::Count, none, odd);
    let searcher = searcher(&world, repo, &url, &mut report).await?;
    let missed = not_found(&searcher, &hostile, &mut report)?;
    report.add("files that no search finds", Unit::Count, none, missed);
    world.close().await?;
    Ok(report.print()?)
}

/// How many files have not exactly the reason, or the symbol, that they are to have.
async fn unexpected(
    world: &World,
    repo: RepoId,
    hostile: &[Hostile],
    report: &mut Report,
) -> Result<f64, BenchError> {
    let reasons = "select f.path, coalesce(f.skip, g.skip, 'indexed') \
                     from leasectl.index_ref r \
                    cross join lateral leasectl.index_tree_files(r.root_id) f \
                     left join leasectl.index_tags g on g.blob_id = f.blob_id \
                    where r.repo_id = $1";
    let symbols = "select path from leasectl.index_symbols where repo_id = $1 and ref = 'main'";
    let mut expected: HashMap<String, &str> =
        (0..MANY).map(|number| (path_of(number), INDEXED)).collect();
    expected.extend(hostile.iter().map(|file| (file.path.clone(), file.outcome)));
    let mut symbol_is_missing = expected.clone();
    symbol_is_missing.retain(|_, outcome| *outcome == INDEXED);
    for row in world.queue.own.query(symbols, &[&repo.as_uuid()]).await? {
        symbol_is_missing.remove(row.get::<_, &str>(0));
    }
    for row in world.queue.own.query(reasons, &[&repo.as_uuid()]).await? {
        let (path, reason): (String, String) = (row.get(0), row.get(1));
        let wanted = expected.remove(&path);
        if wanted != Some(reason.as_str()) || hostile.iter().any(|file| file.path == path) {
            let path = path.replace("d/d/", "");
            report.note(format!("{path}: {reason} (expected: {wanted:?})"));
        }
        if wanted != Some(reason.as_str()) {
            expected.insert(path, "something else");
        }
    }
    Ok(count(expected.len() + symbol_is_missing.len()))
}

/// What `worker search` asks, on the worker's disk.
async fn searcher(
    world: &World,
    repo: RepoId,
    url: &str,
    report: &mut Report,
) -> Result<Searcher, BenchError> {
    let failed = |error: &dyn std::error::Error| BenchError::Unexpected(error.to_string());
    let database = &world.queue.database;
    let found = find(database, &RepoRef::Id(repo)).await?;
    let repository = found.ok_or_else(|| BenchError::Unexpected("no repository".to_owned()))?;
    let content = content(url, world.disk(), repo.as_uuid()).await?;
    let started = Instant::now();
    let tree = IndexedTree::of(database, &repository, None).await;
    let tree = tree.map_err(|error| failed(&error))?;
    let tree = tree.ok_or_else(|| BenchError::Unexpected("nothing is indexed".to_owned()))?;
    let searcher = tree.open(database, content).await;
    let searcher = searcher.map_err(|error| failed(&error))?;
    let took = started.elapsed().as_secs_f64();
    report.add(
        "tree and shard, nothing read",
        Unit::Seconds,
        Bar::None,
        took,
    );
    Ok(searcher)
}

/// How many files are not found by what only they have.
fn not_found(
    searcher: &Searcher,
    hostile: &[Hostile],
    report: &mut Report,
) -> Result<f64, BenchError> {
    let failed = |error: &dyn std::error::Error| BenchError::Unexpected(error.to_string());
    let many = (0..MANY).step_by(STEP);
    let mut wanted: Vec<(String, String)> = many
        .map(|number| (path_of(number), text_of(number)))
        .collect();
    let others = hostile.iter();
    wanted.extend(others.filter_map(|file| Some((file.path.clone(), file.text?.to_owned()))));
    let (mut missed, mut longest) = (0, 0.0_f64);
    for (path, text) in wanted {
        let query = Query::literal(&text, Case::Sensitive).map_err(|error| failed(&error))?;
        let started = Instant::now();
        let answer = searcher.search(&query, None, Wanted::lines(10));
        longest = longest.max(started.elapsed().as_secs_f64() * 1_000.0);
        let answer = answer.map_err(|error| failed(&error))?;
        let is_found = answer.found.len() == 1 && answer.found[0].path == path;
        if !(is_found && answer.complete) {
            report.note(format!("{text:?} is found {} times", answer.found.len()));
            missed += 1;
        }
    }
    report.add("longest search", Unit::Milliseconds, Bar::None, longest);
    Ok(count(missed))
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
