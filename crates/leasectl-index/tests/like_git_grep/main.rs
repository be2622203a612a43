//! Every search must find exactly the lines that `git grep -I` finds.
//!
//! A tree of this workspace's own sources and of odd files is searched for hundreds of patterns that
//! are made from its content, in the syntax that POSIX extended expressions and ours share. Git runs in
//! the C locale without anybody's configuration. Compared are path, line, column and text.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use leasectl_index::{
    MAX_FILE_BYTES, Shard, ShardBuilder, Stop, TrigramExtractor, TrigramVector, classify,
};

use judge::{Dice, File, Line, Pattern, QUERIES, Repository, SEED, first_difference, without_nul};

#[test]
fn every_query_finds_the_lines_of_git_grep() {
    println!("seed {SEED}");
    let files = judge::files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with(folder.path(), &files);
    let index = Index::of(&files);
    let mut dice = Dice::new(SEED);
    let (mut found, mut ruled_out) = (0, 0);
    for number in 0..QUERIES {
        let pattern = Pattern::from_content(&mut dice, &files, number);
        let mut expected = repository.grep(&pattern);
        let (mut actual, candidates) = index.search(&pattern);
        if !pattern.is_literal {
            expected.retain(without_nul);
            actual.retain(without_nul);
        }
        if let Some(difference) = first_difference(&actual, &expected) {
            panic!("query {number}, {pattern:?}: {difference}");
        }
        found += expected.len();
        ruled_out += files.len() - candidates;
    }
    // Otherwise the comparison would prove little.
    assert!(found > QUERIES * 5, "only {found} lines were found");
    assert!(
        ruled_out > QUERIES * files.len() / 4,
        "{ruled_out} files were ruled out"
    );
}

/// What the crate makes of the files: vectors, stored and read again, and a shard.
struct Index<'a> {
    files: &'a [File],
    shard: Shard<Vec<u8>>,
}

impl<'a> Index<'a> {
    fn of(files: &'a [File]) -> Self {
        let never = AtomicBool::new(false);
        let mut extractor = TrigramExtractor::new();
        let mut builder = ShardBuilder::new(Vec::new());
        for (number, file) in (0..).zip(files) {
            let size = file.bytes.len() as u64;
            let verdict = classify(&file.path, size, MAX_FILE_BYTES, &file.bytes, &file.says);
            if verdict.no_text().is_none() {
                let vector = extractor.extract(&file.bytes, &Stop::when(&never)).unwrap();
                let stored = TrigramVector::decode(&vector.encode()).unwrap();
                assert_eq!(stored, vector);
                builder.push(number, &stored).unwrap();
            }
        }
        let shard = Shard::open(builder.finish().unwrap()).unwrap();
        Self { files, shard }
    }

    /// The lines, and how many files were looked at.
    fn search(&self, pattern: &Pattern) -> (Vec<Line>, usize) {
        let never = AtomicBool::new(false);
        let query = pattern.query();
        let candidates = self.shard.candidates(query.expression()).unwrap();
        let mut lines = Vec::new();
        for number in &candidates {
            let file = &self.files[*number as usize];
            let mut scan = query.scan(&file.bytes);
            while let Some(hit) = scan.next_hit(&Stop::when(&never)).unwrap() {
                let bytes = hit.bytes().to_vec();
                lines.push((file.path.clone(), hit.line(), hit.column(), bytes));
            }
        }
        (lines, candidates.len())
    }
}
