//! Whether what is stored is what git says of the same commits.

use std::collections::{BTreeMap, BTreeSet};

use leasectl_core::ids::RepoId;

use super::super::index::World;
use super::Source;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::report::{Bar, Report, Unit};

/// The tree without entries.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// The lines that a file gains and loses; nothing for a binary one.
type Counts = (Option<i64>, Option<i64>);
/// Counts by old and new path.
type Files = BTreeMap<(String, String), Counts>;

/// One change as it is stored.
#[derive(Default)]
struct Stored {
    files: Files,
    /// Every path of it, as without the search for renames.
    paths: BTreeSet<String>,
}

impl Stored {
    fn add(&mut self, path: String, old_path: Option<String>, counts: Counts) {
        let old = old_path.unwrap_or_else(|| path.clone());
        self.paths.insert(path.clone());
        self.paths.insert(old.clone());
        self.files.insert((old, path), counts);
    }
}

/// Compares every change with `git diff` between its merge base and its head.
pub(super) async fn changes(
    world: &World,
    repo: RepoId,
    source: &Source,
    report: &mut Report,
) -> Result<(), BenchError> {
    let stored = stored_changes(world, repo).await?;
    let heads = "select number, studied_head, coalesce(merge_base, $2) from leasectl.changes where repo_id = $1";
    let rows = world
        .queue
        .own
        .query(heads, &[&repo.as_uuid(), &EMPTY_TREE])
        .await?;
    let (mut other_files, mut other_counts) = (0, 0);
    let nothing = Stored::default();
    for row in &rows {
        let (number, head, base): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
        let ours = stored.get(&number).unwrap_or(&nothing);
        let names = source
            .git(&["diff", "--no-renames", "--name-only", "-z", &base, &head])
            .await?;
        let names: BTreeSet<String> = parts(&names).map(str::to_owned).collect();
        other_files += usize::from(names != ours.paths);
        let counts = source
            .git(&["diff", "--numstat", "-M", "-z", &base, &head])
            .await?;
        other_counts += usize::from(numstat(&mut parts(&counts)) != ours.files);
    }
    let name = "changes whose files differ from git's";
    report.add(name, Unit::Count, Bar::AtMost(0.0), as_f64(other_files));
    let name = "changes whose counts equal git's";
    let equal = 100.0 - as_f64(other_counts) * 100.0 / as_f64(rows.len());
    report.add(name, Unit::Percent, Bar::AtLeast(99.0), equal);
    Ok(())
}

/// Compares the files of every commit with those of `git log`.
pub(super) async fn history(
    world: &World,
    repo: RepoId,
    source: &Source,
    report: &mut Report,
) -> Result<(), BenchError> {
    let files = "select commit, path, old_path, additions::bigint, deletions::bigint \
                   from leasectl.commit_files where repo_id = $1";
    let rows = world.queue.own.query(files, &[&repo.as_uuid()]).await?;
    let mut ours: BTreeMap<String, Stored> = BTreeMap::new();
    for row in rows {
        let of_it = ours.entry(row.get(0)).or_default();
        of_it.add(row.get(1), row.get(2), (row.get(3), row.get(4)));
    }
    let commits = "select commit from leasectl.commits where repo_id = $1";
    let rows = world.queue.own.query(commits, &[&repo.as_uuid()]).await?;
    let mut known: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    // A commit begins with an empty part and its id; that no file's line has so many letters.
    let log = source
        .git(&["log", "--numstat", "-M", "-z", "--format=%x01%H", "HEAD"])
        .await?;
    let mut different = 0;
    let nothing = Files::new();
    for commit in log.split('\u{1}').skip(1) {
        let (id, rest) = commit.split_at(commit.len().min(40));
        let rest = rest.trim_start_matches(['\0', '\n']);
        let theirs = numstat(&mut parts(rest));
        let files = ours.get(id).map_or(&nothing, |stored| &stored.files);
        different += usize::from(!known.remove(id) || theirs != *files);
    }
    different += known.len();
    let name = "commits that differ from git's";
    report.add(name, Unit::Count, Bar::AtMost(0.0), as_f64(different));
    Ok(())
}

async fn stored_changes(world: &World, repo: RepoId) -> Result<BTreeMap<i64, Stored>, BenchError> {
    let files = "select number, path, old_path, additions::bigint, deletions::bigint \
                   from leasectl.change_files where repo_id = $1";
    let rows = world.queue.own.query(files, &[&repo.as_uuid()]).await?;
    let mut stored: BTreeMap<i64, Stored> = BTreeMap::new();
    for row in rows {
        let of_it = stored.entry(row.get(0)).or_default();
        of_it.add(row.get(1), row.get(2), (row.get(3), row.get(4)));
    }
    Ok(stored)
}

/// What stands between NULs.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('\0').filter(|part| !part.is_empty())
}

/// Reads `--numstat -z`: counts and path, of a renamed file an empty path and then both.
fn numstat<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Files {
    let mut files = Files::new();
    while let Some(part) = parts.next() {
        let mut columns = part.trim_start_matches('\n').splitn(3, '\t');
        let mut count = || columns.next().and_then(|text| text.parse().ok());
        let counts = (count(), count());
        let path = columns.next().unwrap_or_default();
        let key = if path.is_empty() {
            let mut name = || parts.next().unwrap_or_default().to_owned();
            (name(), name())
        } else {
            (path.to_owned(), path.to_owned())
        };
        files.insert(key, counts);
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_numstat_are_read_with_renames_and_binary_files() {
        let text = "3\t1\tsrc/a.rs\0-\t-\tlogo.png\u{0}0\t2\t\0old.rs\0new.rs\0";
        let file = |old: &str, new: &str| (old.to_owned(), new.to_owned());
        let expected = [
            (file("src/a.rs", "src/a.rs"), (Some(3), Some(1))),
            (file("logo.png", "logo.png"), (None, None)),
            (file("old.rs", "new.rs"), (Some(0), Some(2))),
        ];
        assert_eq!(numstat(&mut parts(text)), Files::from(expected));
    }
}
