//! Every search must find exactly the lines that `git grep -I` finds.
//!
//! A tree of this workspace's own sources and of odd files is searched for hundreds of patterns that
//! are made from its content, in the syntax that POSIX extended expressions and ours share. Git runs in
//! the C locale without anybody's configuration. Compared are path, line, column and text.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod git;
mod queries;
mod tree;

use std::sync::atomic::AtomicBool;

use leasectl_index::{
    Case, MAX_FILE_BYTES, Query, Shard, ShardBuilder, Stop, TrigramExtractor, TrigramVector,
    classify,
};

use git::Repository;
use queries::{Dice, Pattern};
use tree::File;

/// The seed of all choices. Any other must do as well.
const SEED: u64 = 20_261_121;
const QUERIES: usize = 520;

/// Path, line, column and bytes, without a final carriage return.
type Line = (String, u64, u64, Vec<u8>);

#[test]
fn every_query_finds_the_lines_of_git_grep() {
    println!("seed {SEED}");
    let files = tree::files();
    let repository = Repository::with(&files);
    let index = Index::of(&files);
    let mut dice = Dice::new(SEED);
    let (mut found, mut ruled_out) = (0, 0);
    for number in 0..QUERIES {
        let pattern = Pattern::from_content(&mut dice, &files, number);
        let mut expected = repository.grep(&pattern);
        let (mut actual, candidates) = index.search(&pattern);
        if !pattern.is_literal {
            // The dot of glibc matches any byte but NUL, ours any byte.
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

fn without_nul((_, _, _, bytes): &Line) -> bool {
    !bytes.contains(&0)
}

/// Where the two lists part, in words.
fn first_difference(actual: &[Line], expected: &[Line]) -> Option<String> {
    let at =
        (0..actual.len().max(expected.len())).find(|at| actual.get(*at) != expected.get(*at))?;
    let shown = |line: Option<&Line>| match line {
        Some((path, line, column, bytes)) => {
            format!("{path}:{line}:{column}:{}", bytes.escape_ascii())
        }
        None => "nothing".to_owned(),
    };
    let (ours, theirs) = (shown(actual.get(at)), shown(expected.get(at)));
    Some(format!("we find {ours}\ngit finds {theirs}"))
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
        let case = if pattern.ignores_case {
            Case::Ignored
        } else {
            Case::Sensitive
        };
        let query = if pattern.is_literal {
            Query::literal(&pattern.text, case)
        } else {
            Query::regex(&pattern.text, case)
        };
        let query = query.unwrap();
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
