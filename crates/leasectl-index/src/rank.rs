//! The order in which files are answered: first what people most likely looked for.
//!
//! Files are compared by, in this order:
//! 1. a part of the path that is the searched text itself, with or without its ending;
//! 2. what the file is: source, then tests, then documents and examples, then generated, then vendored;
//! 3. a line that looks like a definition of what was searched;
//! 4. the number of matching lines, in steps of a factor of four, so that it decides only where it says
//!    something;
//! 5. the number of folders, the length of the path, and the path.
//!
//! **Invariants**
//! - The order is total and depends on nothing but the files and the query.
//! - What is known before a file is read (1, 2, 5) decides which files are read first.

use std::cmp::Reverse;

use crate::{SkipReason, Verdict};

/// What a file is to people, the most interesting first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// What the repository is about.
    Source,
    /// Tests and benchmarks.
    Test,
    /// Documents and examples.
    Document,
    /// Written by a program.
    Generated,
    /// Copied from another project.
    Vendored,
}

/// Names of folders that hold tests.
const TEST_FOLDERS: [&str; 9] = [
    "test",
    "tests",
    "__tests__",
    "testing",
    "testdata",
    "fixtures",
    "spec",
    "benches",
    "benchmarks",
];
/// Names of folders that hold documents and examples.
const DOCUMENT_FOLDERS: [&str; 5] = ["doc", "docs", "documentation", "example", "examples"];
/// Endings of documents.
const DOCUMENT_ENDINGS: [&str; 5] = ["md", "rst", "adoc", "txt", "markdown"];

impl Place {
    /// What a file is, from its verdict, then from `documentation` where an attribute says it, then
    /// from its path.
    #[must_use]
    pub fn of(path: &str, verdict: Verdict, documentation: Option<bool>) -> Self {
        match verdict.no_symbols() {
            Some(SkipReason::Vendored) => return Self::Vendored,
            Some(SkipReason::Generated) => return Self::Generated,
            Some(SkipReason::Binary | SkipReason::Oversized) | None => {}
        }
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        let last_ending = name.rsplit_once('.').map_or("", |(_, last)| last);
        let within = |names: &[&str]| folders.split('/').any(|folder| names.contains(&folder));
        let is_document = documentation.unwrap_or_else(|| {
            within(&DOCUMENT_FOLDERS) || DOCUMENT_ENDINGS.contains(&last_ending)
        });
        let is_test = within(&TEST_FOLDERS)
            || stem.starts_with("test_")
            || stem.ends_with("_test")
            || stem.ends_with("Test")
            || ending.starts_with("test.")
            || ending.starts_with("spec.");
        if is_document {
            Self::Document
        } else if is_test {
            Self::Test
        } else {
            Self::Source
        }
    }
}

/// What decides before a file is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PathRank<'a> {
    named: Reverse<bool>,
    place: Place,
    depth: usize,
    length: usize,
    path: &'a str,
}

impl<'a> PathRank<'a> {
    /// The rank of a path for a search for `text`, as it was typed.
    pub(crate) fn of(path: &'a str, place: Place, text: &str) -> Self {
        let named = path
            .split('/')
            .any(|part| part == text || part.split_once('.').is_some_and(|(stem, _)| stem == text));
        Self {
            named: Reverse(named),
            place,
            depth: path.bytes().filter(|byte| *byte == b'/').count(),
            length: path.len(),
            path,
        }
    }

    /// The rank once the file was read.
    pub(crate) fn with_hits(&self, defines: bool, hits: usize) -> FileRank<'a> {
        FileRank {
            named: self.named,
            place: self.place,
            defines: Reverse(defines),
            density: Reverse(hits.checked_ilog(4).unwrap_or_default()),
            depth: self.depth,
            length: self.length,
            path: self.path,
        }
    }
}

/// What decides among files that were read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileRank<'a> {
    named: Reverse<bool>,
    place: Place,
    defines: Reverse<bool>,
    density: Reverse<u32>,
    depth: usize,
    length: usize,
    path: &'a str,
}

/// Words before a name that make the line its definition, in the languages that have symbols.
const DEFINING_WORDS: [&[u8]; 20] = [
    b"fn",
    b"func",
    b"function",
    b"def",
    b"class",
    b"struct",
    b"enum",
    b"trait",
    b"interface",
    b"type",
    b"union",
    b"mod",
    b"module",
    b"namespace",
    b"const",
    b"static",
    b"let",
    b"var",
    b"record",
    b"macro_rules!",
];

/// Whether what precedes a match in its line makes it look like a definition.
pub(crate) fn looks_defined(before: &[u8]) -> bool {
    let Some(words) = before.strip_suffix(b" ") else {
        return false;
    };
    let word = words
        .rsplit(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    DEFINING_WORDS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Place {
        Place::of(path, Verdict::default(), None)
    }

    #[test]
    fn a_place_follows_from_the_path() {
        assert_eq!(place("src/main.rs"), Place::Source);
        for test in ["tests/a.rs", "pkg/a_test.go", "web/a.spec.ts", "test_a.py"] {
            assert_eq!(place(test), Place::Test, "{test}");
        }
        for document in ["README.md", "docs/a.html", "examples/a.rs"] {
            assert_eq!(place(document), Place::Document, "{document}");
        }
    }

    #[test]
    fn a_verdict_and_an_attribute_outweigh_the_path() {
        let vendored = Verdict::stored(Some(SkipReason::Vendored));
        assert_eq!(Place::of("src/a.rs", vendored, None), Place::Vendored);
        let plain = Verdict::default();
        assert_eq!(Place::of("docs/a.rs", plain, Some(false)), Place::Source);
        assert_eq!(Place::of("src/a.rs", plain, Some(true)), Place::Document);
    }

    #[test]
    fn a_name_comes_before_a_place_and_a_definition_before_a_mention() {
        let rank =
            |path, defines, hits| PathRank::of(path, place(path), "claim").with_hits(defines, hits);
        let mut ranks = [
            rank("README.md", false, 9),
            rank("src/b.rs", false, 1),
            rank("src/c.rs", false, 70),
            rank("src/d.rs", true, 1),
            rank("tests/claim.rs", false, 1),
        ];
        ranks.sort();
        let order = ranks.map(|rank| rank.path);
        let expected = [
            "tests/claim.rs",
            "src/d.rs",
            "src/c.rs",
            "src/b.rs",
            "README.md",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_definition_is_told_by_the_word_before_it() {
        assert!(looks_defined(b"    pub async fn "));
        assert!(looks_defined(b"class "));
        assert!(!looks_defined(b"return "));
        assert!(!looks_defined(b"fn"));
        assert!(!looks_defined(b""));
    }
}
