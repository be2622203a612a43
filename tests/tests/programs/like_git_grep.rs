//! What a worker stored in a database is searched, and every answer has exactly the lines that `git grep -I` finds.
//!
//! Files and queries are those of the same test of `leasectl-index`. Here they go the whole way: over HTTP into a
//! clone, by an `index` job into PostgreSQL, from there into a shard, and out through what `worker search` asks and
//! through that command itself; then the clone and its shards are lost.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../../crates/leasectl-index/tests/like_git_grep/judge/mod.rs"]
mod judge;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use leasectl_core::database::{Database, DatabaseUrl, PoolOptions};
use leasectl_core::repository::{RepoRef, find};
use leasectl_remote::{Locality, RemoteUrl};
use leasectl_repo::{
    CacheSettings, ChildProgram, CloneCache, CloneTarget, CredentialSource, Limits, NoProgress,
};
use leasectl_tests::{Origin, Remote, Stage, worker_program};
use leasectl_worker::search::{IndexedTree, Searcher, Wanted};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use judge::{Dice, File, Line, Pattern, QUERIES, Repository, SEED, first_difference, without_nul};

/// Of the queries, every so-many-th is asked of the command too: a process each.
const BY_COMMAND: usize = 13;
/// And every so-many-th once more, after the clone and the shards are lost.
const AFTER_LOSS: usize = 4;
/// The most lines that the command prints.
const MOST_PRINTED: usize = 10_000;
/// More lines than the tree has.
const MOST_LINES: usize = 10_000_000;
/// The most bytes of a line in an answer.
const SHOWN_BYTES: usize = 1_000;

#[test]
fn every_search_of_an_indexed_repository_finds_the_lines_of_git_grep() {
    println!("seed {SEED}");
    let mut files = judge::files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    files.push(too_large());
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let scene = Scene::new(&files);
    let left_out = scene.left_out();
    assert_eq!(left_out, without_text(&files));

    let mut dice = Dice::new(SEED);
    let patterns = (0..QUERIES).map(|number| Pattern::from_content(&mut dice, &files, number));
    let patterns: Vec<Pattern> = patterns.collect();
    let judged = patterns.iter().map(|pattern| {
        let mut lines = scene.judge.grep(pattern);
        lines.retain(|(path, ..)| !left_out.contains(path));
        lines
    });
    let judged: Vec<Vec<Line>> = judged.collect();
    // Otherwise the comparison would prove little.
    let found: usize = judged.iter().map(Vec::len).sum();
    assert!(found > QUERIES * 5, "only {found} lines are to be found");

    let searcher = scene.searcher();
    for (pattern, expected) in patterns.iter().zip(&judged) {
        compare(pattern, expected, by_library(&searcher, pattern));
    }
    let asked = patterns.iter().zip(&judged).step_by(BY_COMMAND);
    for (pattern, expected) in asked.filter(|(_, expected)| expected.len() <= MOST_PRINTED) {
        compare(pattern, expected, scene.by_command(pattern));
    }

    scene.lose_the_disk();
    let first = (&patterns[0], &judged[0]);
    compare(first.0, first.1, scene.by_command(first.0));
    let searcher = scene.searcher();
    for (pattern, expected) in patterns.iter().zip(&judged).step_by(AFTER_LOSS) {
        compare(pattern, expected, by_library(&searcher, pattern));
    }
}

/// The judge's repository, and the same files as a worker indexed them; the worker is gone.
struct Scene {
    stage: Stage,
    _remote: Remote,
    repo: String,
    judge: Repository,
    runtime: Runtime,
}

impl Scene {
    fn new(files: &[File]) -> Self {
        let (stage, remote) = (Stage::new(), Remote::start());
        let work = stage.folder().join("judge");
        let judge = Repository::with(&work, files);
        let work = Origin::at(&work);
        work.git(&["commit", "--quiet", "--message", "Everything"]);
        let served = remote.repository("acme/app");
        let from = work.path().to_str().unwrap();
        served.git(&["fetch", "--quiet", from, "+HEAD:refs/heads/main"]);
        let repo = stage.register(&remote.url("acme/app"));
        let worker = stage.worker().start();
        // The index follows.
        stage.fetch(&repo);
        stage.whole_history().check_all_ended();
        drop(worker);
        Self {
            stage,
            _remote: remote,
            repo,
            judge,
            runtime: Runtime::new().unwrap(),
        }
    }

    /// The files of which the index says that they have no text for it.
    fn left_out(&self) -> BTreeSet<String> {
        let sql = "select f.path from leasectl.index_ref r \
                    cross join lateral leasectl.index_tree_files(r.root_id) f \
                    where r.repo_id::text = $1 and r.ref = 'main' and f.skip in ('binary', 'oversized')";
        let rows = self.stage.sql().rows(sql, &[&self.repo]);
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// What `worker search` asks, kept for many queries.
    fn searcher(&self) -> Searcher {
        let url = DatabaseUrl::parse(self.stage.database_url()).unwrap();
        let cache = CloneCache::open(CacheSettings {
            root: self.stage.repos_dir(),
            locality: Locality::AllowLocal,
            limits: Limits::default(),
            credentials: CredentialSource::none(),
            git_child: ChildProgram {
                program: worker_program(),
                args: vec!["git-child".into()],
            },
        });
        let cache = cache.unwrap();
        self.runtime.block_on(async {
            let options = PoolOptions {
                max_size: 2,
                application_name: "leasectl-tests".to_owned(),
            };
            let database = Database::open(&url, options).unwrap();
            let asked = RepoRef::Id(self.repo.parse().unwrap());
            let repository = find(&database, &asked).await.unwrap().unwrap();
            let tree = IndexedTree::of(&database, &repository, None).await;
            let tree = tree.unwrap().unwrap();
            let target = CloneTarget {
                id: repository.id.as_uuid(),
                url: RemoteUrl::parse(&repository.git_url, Locality::AllowLocal).unwrap(),
            };
            let (needs, cancel) = (tree.commit().into_iter(), CancellationToken::new());
            let needs: Vec<_> = needs.collect();
            let clone = cache.ensure_clone(&target, &needs, &NoProgress, &cancel);
            let content = cache.content(&clone.await.unwrap()).await.unwrap();
            tree.open(&database, content).await.unwrap()
        })
    }

    /// The answer of a process of its own.
    fn by_command(&self, pattern: &Pattern) -> Vec<Line> {
        let most = MOST_PRINTED.to_string();
        let mut words = vec!["search", &self.repo, "--json", "--limit", &most];
        words.extend((!pattern.is_literal).then_some("--regex"));
        words.extend(pattern.ignores_case.then_some("--ignore-case"));
        words.extend(["--", &pattern.text]);
        let answer = self.stage.run(&words).ok().json();
        assert_eq!(answer["complete"], true, "{pattern:?}");
        let items = answer["items"].as_array().unwrap().iter();
        let line = |hit: &Value| {
            let text = |name: &str| hit[name].as_str().unwrap().to_owned();
            let number = |name: &str| hit[name].as_u64().unwrap();
            (
                text("path"),
                number("line"),
                number("column"),
                text("text").into_bytes(),
            )
        };
        items.map(line).collect()
    }

    /// Removes the clone with the shard beside it.
    fn lose_the_disk(&self) {
        let place = self.stage.repos_dir().join(&self.repo);
        let derived = fs::read_dir(place.join("derived")).unwrap();
        assert_eq!(derived.count(), 1, "one tree has one shard");
        fs::remove_dir_all(place).unwrap();
    }
}

/// A file that is left out for its size.
fn too_large() -> File {
    File {
        path: "odd/too_large.rs".to_owned(),
        bytes: b"pub fn large() {}\n".repeat(60_000),
        says: leasectl_index::Attributes::default(),
    }
}

/// The files that may be left out, told by their size, their bytes and their attributes alone.
fn without_text(files: &[File]) -> BTreeSet<String> {
    let is_left_out = |file: &&File| {
        let head = &file.bytes[..file.bytes.len().min(8_000)];
        file.bytes.len() > 1 << 20 || head.contains(&0) || file.says.binary == Some(true)
    };
    let left_out = files.iter().filter(is_left_out);
    left_out.map(|file| file.path.clone()).collect()
}

fn by_library(searcher: &Searcher, pattern: &Pattern) -> Vec<Line> {
    let wanted = Wanted::lines(MOST_LINES);
    let answer = searcher.search(&pattern.query(), None, wanted).unwrap();
    assert!(answer.complete, "{pattern:?}");
    let found = answer.found.into_iter();
    found
        .map(|hit| (hit.path, hit.line, hit.column, hit.text.into_bytes()))
        .collect()
}

/// Holds an answer, which has the best lines first, against what Git found, file by file.
fn compare(pattern: &Pattern, expected: &[Line], mut actual: Vec<Line>) {
    actual.sort();
    let mut expected = expected.to_vec();
    if !pattern.is_literal {
        expected.retain(without_nul);
        actual.retain(without_nul);
    }
    for (place, line) in expected.iter_mut().enumerate() {
        let shown = actual.get(place).map(|(.., text)| text.as_slice());
        line.3 = as_shown(&line.3, shown.unwrap_or_default());
    }
    if let Some(difference) = first_difference(&actual, &expected) {
        panic!("{pattern:?}: {difference}");
    }
}

/// A line as an answer has it: what is no UTF-8 is replaced, and of a long line there is a part.
fn as_shown(line: &[u8], shown: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let is_part = || std::str::from_utf8(shown).is_ok_and(|shown| text.contains(shown));
    // A match near the end of the line leaves less than what may be shown.
    if line.len() > SHOWN_BYTES && (1..=SHOWN_BYTES).contains(&shown.len()) && is_part() {
        return shown.to_vec();
    }
    text.into_owned().into_bytes()
}
