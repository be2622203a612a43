//! What `.gitattributes` files say of how a file is to be read: `linguist-*`, and whether it is text.
//!
//! Rules of a directory hold beneath it. A chain of them is a value, so that a walk may go down several
//! branches of a tree at once, and two walks can tell by the bytes whether they stand under equal rules.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gix::attrs::search::{MetadataCollection, Outcome};
use gix::attrs::{Search, StateRef};
use gix::bstr::{BStr, BString, ByteSlice as _};
use gix::glob::pattern::Case;

/// The file in which a directory's rules stand.
pub(crate) const FILE: &[u8] = b".gitattributes";

/// Larger files are not read; nobody writes so many rules, and they are matched for every file beneath.
pub(crate) const MAX_BYTES: u64 = 64 * 1024;

/// The most directories of a chain whose rules count.
const MAX_FILES: usize = 16;

/// The attributes that are asked for.
const ASKED: [&str; 5] = [
    "linguist-generated",
    "linguist-vendored",
    "linguist-documentation",
    "linguist-language",
    "diff",
];

/// What a file must mention to say anything of them: itself, or a macro that Git brings along.
const RELEVANT: [&[u8]; 3] = [b"linguist-", b"diff", b"binary"];

/// The rules in force in one directory: those of its own file and of the files above it.
#[derive(Debug, Clone, Default)]
pub struct AttributeRules {
    /// From the root down: the directory without a slash at its end, and the file's bytes.
    files: Vec<(BString, Arc<[u8]>)>,
}

/// What is said of one file; nothing where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// `linguist-generated`.
    pub generated: Option<bool>,
    /// `linguist-vendored`.
    pub vendored: Option<bool>,
    /// `linguist-documentation`.
    pub documentation: Option<bool>,
    /// `linguist-language`.
    pub language: Option<String>,
    /// `diff` unset, as by `binary`, says that it is; set, that it is not.
    pub binary: Option<bool>,
}

impl AttributeRules {
    /// The rules beneath `dir`, which has this file, where these were in force above it.
    #[must_use]
    pub fn beneath(&self, dir: &BStr, file: &[u8]) -> Self {
        let mut rules = self.clone();
        let fits = rules.files.len() < MAX_FILES;
        if fits && RELEVANT.iter().any(|word| file.find(word).is_some()) {
            rules.files.push((dir.to_owned(), file.into()));
        }
        rules
    }

    /// Whether nothing is said of any file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The rules as parts that differ when the rules do, for a fingerprint that tells where each part ends:
    /// a file may hold any byte.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.files
            .iter()
            .flat_map(|(dir, file)| [dir.as_slice(), file])
    }

    /// Makes them ready to be asked.
    #[must_use]
    pub fn reader(&self) -> MarksReader {
        let mut collection = MetadataCollection::default();
        // It knows the macro `binary`. No file is read, so nothing can fail.
        let none: [PathBuf; 0] = [];
        let mut search =
            Search::new_globals(none, &mut Vec::new(), &mut collection).unwrap_or_default();
        for (dir, file) in &self.files {
            // A path that this system cannot have is one beneath which no file is asked for.
            let Ok(dir) = gix::path::from_bstring(dir.clone()) else {
                continue;
            };
            let at_root = dir.as_os_str().is_empty();
            let source = dir.join(".gitattributes");
            let root = Some(Path::new(""));
            let _ = search.add_patterns_buffer(file, source, root, &mut collection, at_root);
        }
        let mut outcome = Outcome::default();
        outcome.initialize_with_selection(&collection, ASKED);
        MarksReader { search, outcome }
    }
}

/// Answers what is said of one file after another.
#[derive(Debug)]
pub struct MarksReader {
    search: Search,
    outcome: Outcome,
}

impl MarksReader {
    /// What is said of the file at `path`, from the root of the tree.
    pub fn marks(&mut self, path: &BStr) -> Marks {
        self.outcome.reset();
        self.search.pattern_matching_relative_path(
            path,
            Case::Sensitive,
            Some(false),
            &mut self.outcome,
        );
        let mut marks = Marks::default();
        for found in self.outcome.iter_selected() {
            let state = found.assignment.state;
            match found.assignment.name.as_str() {
                "linguist-generated" => marks.generated = truth(state),
                "linguist-vendored" => marks.vendored = truth(state),
                "linguist-documentation" => marks.documentation = truth(state),
                "linguist-language" => marks.language = word(state),
                "diff" => marks.binary = truth(state).map(|is_text| !is_text),
                _ => {}
            }
        }
        marks
    }
}

fn truth(state: StateRef<'_>) -> Option<bool> {
    match state {
        StateRef::Set => Some(true),
        StateRef::Unset => Some(false),
        StateRef::Value(value) => match value.as_bstr().as_bytes() {
            b"true" => Some(true),
            b"false" => Some(false),
            // The name of a driver, say.
            _ => None,
        },
        StateRef::Unspecified => None,
    }
}

fn word(state: StateRef<'_>) -> Option<String> {
    match state {
        StateRef::Value(value) => value.as_bstr().to_str().ok().map(str::to_owned),
        StateRef::Set | StateRef::Unset | StateRef::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(rules: &AttributeRules, path: &str) -> Marks {
        rules.reader().marks(path.into())
    }

    #[test]
    fn what_github_documents_is_understood() {
        let file = b"*.pb.go linguist-generated=true\n\
                     third_party/** linguist-vendored\n\
                     docs/*.rs linguist-documentation -linguist-vendored\n\
                     *.inc linguist-language=PHP\n\
                     *.bin binary\n*.svg diff\n* text=auto\n";
        let rules = AttributeRules::default().beneath("".into(), file);
        assert_eq!(marks(&rules, "a/b/x.pb.go").generated, Some(true));
        assert_eq!(marks(&rules, "third_party/deep/x.c").vendored, Some(true));
        let documented = marks(&rules, "docs/x.rs");
        assert_eq!(documented.documentation, Some(true));
        assert_eq!(documented.vendored, Some(false));
        assert_eq!(marks(&rules, "x.inc").language.as_deref(), Some("PHP"));
        assert_eq!(marks(&rules, "x.bin").binary, Some(true));
        assert_eq!(marks(&rules, "x.svg").binary, Some(false));
        assert_eq!(marks(&rules, "src/main.rs"), Marks::default());
    }

    #[test]
    fn rules_of_a_directory_hold_beneath_it_and_win_over_those_above() {
        let root = AttributeRules::default().beneath("".into(), b"*.rs linguist-generated\n");
        let inner = root.beneath("src/own".into(), b"/*.rs -linguist-generated\n");
        assert_eq!(marks(&inner, "src/own/a.rs").generated, Some(false));
        assert_eq!(marks(&inner, "src/own/deep/a.rs").generated, Some(true));
        assert_eq!(marks(&inner, "src/a.rs").generated, Some(true));
    }

    #[test]
    fn a_file_that_says_nothing_of_these_attributes_changes_nothing() {
        let rules = AttributeRules::default().beneath("".into(), b"* text=auto eol=lf\n");
        assert!(rules.is_empty());
        assert_eq!(rules.parts().count(), 0);
    }

    #[test]
    fn a_macro_of_the_root_counts_and_one_of_a_directory_does_not() {
        let own = b"[attr]made linguist-generated\n*.x made\n";
        let root = AttributeRules::default().beneath("".into(), own);
        assert_eq!(marks(&root, "a.x").generated, Some(true));
        let below = AttributeRules::default().beneath("src".into(), own);
        assert_eq!(marks(&below, "src/a.x").generated, None);
    }

    #[test]
    fn garbage_is_no_rule() {
        let garbage = b"\xff\xfe \x00linguist-generated\n\"unfinished linguist-vendored\n[attr]\n";
        let rules = AttributeRules::default().beneath("".into(), garbage);
        assert_eq!(marks(&rules, "a.rs"), Marks::default());
    }
}
