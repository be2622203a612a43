//! A whole search: candidates from the shard, their text confirmed, the best first.
//!
//! **Invariants**
//! - Every hit was found in the bytes of its file; the shard only says where to look.
//! - A search within its limits finds all there is, and says so.
//! - The caller does all reading; a search holds one file's text at a time.

use crate::rank::{PathRank, looks_defined};
use crate::{Excerpt, PathFilter, Place, Query, Shard, ShardError, Stop, Stopped, readable};

/// How many times as many hits are gathered as are wanted, so that a definition in a file that is read
/// late can still come first.
const LOOKAHEAD: usize = 4;

/// A file that the shard was built from. Its number is its place among all.
#[derive(Clone, Copy, Debug)]
pub struct SearchFile<'a> {
    /// The path from the top of the tree.
    pub path: &'a str,
    /// What it is to people.
    pub place: Place,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct SearchLimits {
    /// The most hits in the answer.
    pub hits: usize,
    /// The most files that are read.
    pub files: usize,
    /// The most bytes of a line in the answer.
    pub line_bytes: usize,
    /// How many lines are shown before and after each hit.
    pub context_lines: usize,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self {
            hits: 100,
            files: 10_000,
            line_bytes: 1_000,
            context_lines: 0,
        }
    }
}

/// A line that matches, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    /// The file's number.
    pub file: u32,
    /// The line's number, from 1.
    pub line: u64,
    /// Where the first match begins in the line, in bytes, from 1.
    pub column: u64,
    /// The line.
    pub text: Excerpt,
    /// Lines before it.
    pub before: Vec<String>,
    /// Lines after it.
    pub after: Vec<String>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchAnswer {
    /// The hits, file by file, the best file first, within a file by line.
    pub hits: Vec<SearchHit>,
    /// Whether these are all there are.
    pub complete: bool,
}

/// Why a search gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError<E> {
    /// The shard has to be made anew.
    #[error("the search shard cannot be used")]
    Shard(#[from] ShardError),
    /// The shard was built from other files than those of the search.
    #[error("the search shard knows file {0}, which the tree does not have")]
    UnknownFile(u32),
    /// A file could not be read.
    #[error("file {file} could not be read")]
    Read {
        /// The file's number.
        file: u32,
        /// What the caller said.
        source: E,
    },
    /// Asked to stop, or out of time.
    #[error("the search was not finished")]
    Stopped(#[from] Stopped),
}

/// Searches `files` for `query`, in those whose path `filter` accepts.
///
/// `read` gives the bytes of a file by its number.
///
/// # Errors
/// When the shard is of no use, a file cannot be read, or `stop` says so.
pub fn search<B: AsRef<[u8]>, T: AsRef<[u8]>, E>(
    shard: &Shard<B>,
    files: &[SearchFile<'_>],
    query: &Query,
    filter: Option<&PathFilter>,
    limits: SearchLimits,
    mut read: impl FnMut(u32) -> Result<T, E>,
    stop: &Stop<'_>,
) -> Result<SearchAnswer, SearchError<E>> {
    let mut candidates = Vec::new();
    for number in shard.candidates(query.expression())? {
        let file = files
            .get(number as usize)
            .ok_or(SearchError::UnknownFile(number))?;
        if filter.is_none_or(|filter| filter.accepts(file.path)) {
            candidates.push((PathRank::of(file.path, file.place, query.pattern()), number));
        }
    }
    candidates.sort_unstable();
    let wanted = limits.hits.saturating_mul(LOOKAHEAD);
    let mut complete = candidates.len() <= limits.files;
    let (mut found, mut gathered) = (Vec::new(), 0);
    for (rank, number) in candidates.into_iter().take(limits.files) {
        if gathered >= wanted {
            complete = false;
            break;
        }
        let source = read(number).map_err(|source| SearchError::Read {
            file: number,
            source,
        })?;
        let hits = hits_of(number, source.as_ref(), query, limits, stop)?;
        if !hits.lines.is_empty() {
            gathered += hits.lines.len();
            complete &= hits.complete;
            found.push((rank.with_hits(hits.defines, hits.lines.len()), hits.lines));
        }
    }
    found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let mut hits: Vec<SearchHit> = found.into_iter().flat_map(|(_, lines)| lines).collect();
    complete &= hits.len() <= limits.hits;
    hits.truncate(limits.hits);
    Ok(SearchAnswer { hits, complete })
}

/// What one file has.
struct FileHits {
    lines: Vec<SearchHit>,
    defines: bool,
    complete: bool,
}

fn hits_of(
    file: u32,
    text: &[u8],
    query: &Query,
    limits: SearchLimits,
    stop: &Stop<'_>,
) -> Result<FileHits, Stopped> {
    let mut found = FileHits {
        lines: Vec::new(),
        defines: false,
        complete: true,
    };
    let shown = |lines: Vec<&[u8]>| -> Vec<String> {
        let lines = lines.into_iter();
        lines
            .map(|line| readable(line, limits.line_bytes))
            .collect()
    };
    let mut scan = query.scan(text);
    while let Some(hit) = scan.next_hit(stop)? {
        if found.lines.len() == limits.hits {
            found.complete = false;
            break;
        }
        found.defines |= looks_defined(hit.lead());
        found.lines.push(SearchHit {
            file,
            line: hit.line(),
            column: hit.column(),
            text: hit.excerpt(limits.line_bytes),
            before: shown(hit.before(limits.context_lines)),
            after: shown(hit.after(limits.context_lines)),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use leasectl_remote::PathGlob;

    use super::*;
    use crate::testing::{extract, never};
    use crate::{Case, ShardBuilder, Verdict};

    const TREE: [(&str, &str); 4] = [
        ("README.md", "How to claim a lease.\nclaim\n"),
        ("src/claim.rs", "//! Claims.\n"),
        ("src/lane.rs", "use claim;\nfn claim() {}\n"),
        ("tests/all.rs", "claim();\nclaim();\nclaim();\n"),
    ];

    fn run(pattern: &str, glob: Option<&str>, limits: SearchLimits) -> (Vec<String>, bool) {
        let mut builder = ShardBuilder::new(Vec::new());
        for (number, (_, text)) in (0..).zip(TREE) {
            builder.push(number, &extract(text.as_bytes())).unwrap();
        }
        let shard = Shard::open(builder.finish().unwrap()).unwrap();
        let files = TREE.map(|(path, _)| SearchFile {
            path,
            place: Place::of(path, Verdict::default(), None),
        });
        let query = Query::literal(pattern, Case::Ignored).unwrap();
        let filter = glob.map(|glob| PathFilter::new(&PathGlob::parse(glob).unwrap()).unwrap());
        let read = |file: u32| Ok::<_, Infallible>(TREE[file as usize].1);
        let answer = search(
            &shard,
            &files,
            &query,
            filter.as_ref(),
            limits,
            read,
            &never(),
        );
        let answer = answer.unwrap();
        let hits = answer.hits.iter();
        let hits = hits.map(|hit| format!("{}:{}", TREE[hit.file as usize].0, hit.line));
        (hits.collect(), answer.complete)
    }

    #[test]
    fn the_best_files_come_first() {
        let (hits, complete) = run("claim", None, SearchLimits::default());
        let expected = [
            "src/claim.rs:1",
            "src/lane.rs:1",
            "src/lane.rs:2",
            "tests/all.rs:1",
            "tests/all.rs:2",
            "tests/all.rs:3",
            "README.md:1",
            "README.md:2",
        ];
        assert_eq!(hits, expected);
        assert!(complete);
    }

    #[test]
    fn a_glob_narrows_and_a_limit_is_said_aloud() {
        let limits = SearchLimits {
            hits: 2,
            ..SearchLimits::default()
        };
        let (hits, complete) = run("claim", Some("tests"), limits);
        assert_eq!(hits, ["tests/all.rs:1", "tests/all.rs:2"]);
        assert!(!complete);
        let one_file = SearchLimits {
            files: 1,
            ..SearchLimits::default()
        };
        let (hits, complete) = run("claim", None, one_file);
        assert_eq!(
            (&hits[..], complete),
            (&["src/claim.rs:1".to_owned()][..], false)
        );
    }
}
