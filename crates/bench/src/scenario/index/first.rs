//! A repository that nobody indexed before, and then a little of it changed.

use leasectl_core::ids::RepoId;

use super::corpus::{Commits, Remote, SourceFile, total};
use super::world::World;
use super::{extraction, megabytes, peers};
use crate::cli::IndexOptions;
use crate::error::BenchError;
use crate::process::git;
use crate::report::{Bar, Report, Unit};
use crate::server::{Server, settle_down};

/// Commits after the first index, and the files that each of them touches.
const COMMITS: usize = 20;
const TOUCHED: usize = 3;

pub(super) async fn run(
    server: &Server,
    options: &IndexOptions,
    files: &[SourceFile],
) -> Result<(), BenchError> {
    let mut report = super::report("index", files);
    for _ in 0..options.rounds.rounds {
        round(server, files, &mut report).await?;
    }
    Ok(report.print()?)
}

async fn round(
    server: &Server,
    files: &[SourceFile],
    report: &mut Report,
) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    let remote = Remote::new(folder.path().join("source.git")).await?;
    let mut commits = Commits::default();
    commits.add("main", None, files);
    remote.import(commits).await?;
    let mut world = World::open(server).await?;
    let repo = world.register(&remote.url()).await?;

    let mb = megabytes(total(files));
    let first = world.fetch_and_index(repo).await?;
    let alone = extraction::alone(files)?;
    report.add("first index", Unit::Seconds, Bar::None, first.seconds);
    report.add("extraction alone", Unit::Seconds, Bar::None, alone);
    report.add(
        "first index, MB/s",
        Unit::Count,
        Bar::AtLeast(6.0),
        mb / first.seconds,
    );
    report.add(
        "speed ÷ extraction alone",
        Unit::Ratio,
        Bar::AtLeast(0.7),
        alone / first.seconds,
    );
    let peak = world.peak_bytes()?;
    let bar = Bar::AtMost(f64::from(400 << 20));
    report.add("most memory of the worker", Unit::Bytes, bar, peak);
    beside(&remote, report).await?;
    sizes(&world, mb, report).await?;
    change(&world, &remote, repo, files, report).await?;
    known(&mut world, &remote, repo, report).await?;
    world.close().await
}

async fn beside(remote: &Remote, report: &mut Report) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    let work = folder.path().join("work");
    peers::check_out(remote.path(), &work).await?;
    let by_ctags = peers::ctags(&work, folder.path()).await?;
    let by_codesearch = peers::codesearch(&work, folder.path()).await?;
    for (name, seconds) in [("universal-ctags", by_ctags), ("codesearch", by_codesearch)] {
        match seconds {
            Some(seconds) => report.add(name, Unit::Seconds, Bar::None, seconds),
            None => report.note(format!("{name} is not installed")),
        }
    }
    Ok(())
}

async fn sizes(world: &World, mb: f64, report: &mut Report) -> Result<(), BenchError> {
    // The space that a table of a database in use has.
    settle_down(&world.queue.own).await?;
    let trigrams = world.stored(&["index_text"]).await?;
    let symbols = world.stored(&["index_tags"]).await?;
    let others = [
        "index_blob",
        "index_dir",
        "index_links",
        "index_root",
        "index_ref",
    ];
    let others = world.stored(&others).await?;
    for (name, bar, bytes) in [
        ("trigrams ÷ source", Bar::AtMost(15.0), trigrams),
        ("symbols and imports ÷ source", Bar::AtMost(10.0), symbols),
        ("blobs, directories and links ÷ source", Bar::None, others),
    ] {
        report.add(name, Unit::Percent, bar, bytes / (mb * 1e6) * 100.0);
    }
    Ok(())
}

/// Twenty commits, each of which touches three other files.
async fn change(
    world: &World,
    remote: &Remote,
    repo: RepoId,
    files: &[SourceFile],
    report: &mut Report,
) -> Result<(), BenchError> {
    let mut commits = Commits::default();
    let step = files.len() / (COMMITS * TOUCHED);
    let mut touched = files.iter().step_by(step.max(1)).cloned();
    for number in 0..COMMITS {
        let mut changed: Vec<SourceFile> = touched.by_ref().take(TOUCHED).collect();
        for file in &mut changed {
            let line = format!("\n// changed by commit {number} of the benchmark\n");
            file.content.extend_from_slice(line.as_bytes());
        }
        commits.add("main", Some("main"), &changed);
    }
    remote.import(commits).await?;
    let changed = world.fetch_and_index(repo).await?;
    let bar = Bar::AtMost(0.5);
    report.add(
        "after 20 commits to 60 files",
        Unit::Seconds,
        bar,
        changed.seconds,
    );
    let read = changed.count("blobs_indexed");
    report.add("… blobs read", Unit::Count, Bar::AtMost(60.0), read);
    Ok(())
}

/// Trees that are known: nothing is read.
async fn known(
    world: &mut World,
    remote: &Remote,
    repo: RepoId,
    report: &mut Report,
) -> Result<(), BenchError> {
    let unchanged = world.index(repo, "main").await?;
    let place = remote.path().display().to_string();
    git(["-C", &place, "branch", "again", "main"]).await?;
    let fork = remote.path().with_file_name("fork.git");
    git([
        "clone",
        "-q",
        "--mirror",
        &place,
        &fork.display().to_string(),
    ])
    .await?;
    let fork = world.register(&fork.display().to_string()).await?;
    world.fetch_and_index(repo).await?;
    let branch = world.index(repo, "again").await?;
    let fork = world.fetch_and_index(fork).await?;
    world.replace_container().await?;
    let container = world.index(repo, "main").await?;
    for (name, done) in [
        ("unchanged tree", unchanged),
        ("new branch of a known tree", branch),
        ("fork of a known tree", fork),
        ("known tree in a new container", container),
    ] {
        let milliseconds = done.seconds * 1_000.0;
        report.add(name, Unit::Milliseconds, Bar::AtMost(50.0), milliseconds);
        let read = done.count("blobs_indexed");
        report.add(
            "… blobs read of known trees",
            Unit::Count,
            Bar::AtMost(0.0),
            read,
        );
    }
    Ok(())
}
