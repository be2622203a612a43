//! Many branches of one repository, each of which differs from it by one file in a hundred.

use super::corpus::{Commits, Remote, SourceFile};
use super::megabytes;
use super::world::World;
use crate::cli::IndexOptions;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::report::{Bar, Unit, median};
use crate::server::Server;

/// One file in so many differs.
const DIFFERS: usize = 100;
/// Branches of one import.
const IMPORTED: usize = 50;
/// Tables that grow with what is indexed.
const TABLES: [&str; 7] = [
    "index_blob",
    "index_text",
    "index_tags",
    "index_dir",
    "index_links",
    "index_root",
    "index_ref",
];

pub(super) async fn run(
    server: &Server,
    options: &IndexOptions,
    files: &[SourceFile],
) -> Result<(), BenchError> {
    let mut report = super::report("branches", files);
    let folder = tempfile::tempdir()?;
    let remote = Remote::new(folder.path().join("source.git")).await?;
    let mut commits = Commits::default();
    commits.add("main", None, files);
    remote.import(commits).await?;
    let changed = branch_out(&remote, files, options.branches).await?;
    let world = World::open(server).await?;
    let repo = world.register(&remote.url()).await?;
    let first = world.fetch_and_index(repo).await?;
    let before = world.stored(&TABLES).await?;

    let names: Vec<String> = (0..options.branches)
        .map(|number| format!("b{number}"))
        .collect();
    let done = world.index_all(repo, &names).await?;
    let seconds: Vec<f64> = done.iter().map(|done| done.seconds).collect();
    let grown = world.stored(&TABLES).await? - before;
    let tenth = (seconds.len() / 10).max(1);
    let early = median(&seconds[..tenth]);
    let late = median(&seconds[seconds.len() - tenth..]);
    report.note(format!(
        "{} branches; {:.1} MB of files that differ, {:.0} KB in each branch",
        options.branches,
        megabytes(changed),
        megabytes(changed) * 1e3 / as_f64(options.branches)
    ));
    report.add("the first tree", Unit::Seconds, Bar::None, first.seconds);
    let all: f64 = seconds.iter().sum();
    report.add("all branches", Unit::Seconds, Bar::None, all);
    report.add(
        "a branch, median",
        Unit::Milliseconds,
        Bar::None,
        median(&seconds) * 1_000.0,
    );
    report.add(
        "the last tenth ÷ the first",
        Unit::Ratio,
        Bar::AtMost(1.5),
        late / early,
    );
    let per_byte = (all / as_f64(changed)) / (first.seconds / megabytes_of(files));
    report.add(
        "time for a changed byte ÷ for a byte of the first tree",
        Unit::Ratio,
        Bar::None,
        per_byte,
    );
    report.add("stored, before", Unit::Bytes, Bar::None, before);
    report.add("stored, grown", Unit::Bytes, Bar::None, grown);
    report.add(
        "grown ÷ files that differ",
        Unit::Ratio,
        Bar::AtMost(1.0),
        grown / as_f64(changed),
    );
    world.close().await?;
    Ok(report.print()?)
}

fn megabytes_of(files: &[SourceFile]) -> f64 {
    as_f64(super::corpus::total(files))
}

/// Makes the branches; answers the bytes of all files that differ.
async fn branch_out(
    remote: &Remote,
    files: &[SourceFile],
    branches: usize,
) -> Result<usize, BenchError> {
    let mut bytes = 0;
    let mut number = 0;
    while number < branches {
        let mut commits = Commits::default();
        for branch in number..(number + IMPORTED).min(branches) {
            let mut differ: Vec<SourceFile> = files
                .iter()
                .skip(branch % DIFFERS)
                .step_by(DIFFERS)
                .cloned()
                .collect();
            for file in &mut differ {
                let line = format!("\n// of branch {branch}\n");
                file.content.extend_from_slice(line.as_bytes());
            }
            bytes += super::corpus::total(&differ);
            commits.add(&format!("b{branch}"), Some("main"), &differ);
        }
        remote.import(commits).await?;
        number += IMPORTED;
    }
    Ok(bytes)
}
