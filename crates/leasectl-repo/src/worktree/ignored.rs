//! Which files Git is told to leave alone: `.gitignore` in each folder, and `info/exclude`.
//!
//! The files are read by the caller, and only their bytes come here. What the user or the system has in
//! files of its own counts for nobody else's worktree, and is not asked.

use std::path::{Path, PathBuf};

use gix::bstr::{BStr, ByteSlice as _};
use gix::glob::pattern::Case;
use gix::ignore::Search;
use gix::ignore::search::Ignore;

/// The file in which a folder's rules stand.
pub(super) const FILE: &[u8] = b".gitignore";

/// Larger files are not read.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

/// The rules in force in a folder and above it.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    search: Search,
}

impl Ignored {
    /// The rules of the whole repository.
    pub(super) fn everywhere(exclude: &[u8]) -> Self {
        let mut rules = Self::default();
        rules.push(exclude, PathBuf::from("info/exclude"), None);
        rules
    }

    /// Goes into a folder that has this file.
    pub(super) fn enter(&mut self, dir: &BStr, file: &[u8]) {
        // A path that this system cannot have is one that was not opened.
        let dir = gix::path::from_bstring(dir.to_owned()).unwrap_or_default();
        self.push(file, dir.join(".gitignore"), Some(Path::new("")));
    }

    /// Leaves the folder that was entered last.
    pub(super) fn leave(&mut self) {
        self.search.patterns.pop();
    }

    /// Whether the rules leave it out. What is above it is asked about before.
    pub(super) fn has(&self, path: &BStr, is_dir: bool) -> bool {
        self.search
            .pattern_matching_relative_path(
                path.as_bytes().as_bstr(),
                Some(is_dir),
                Case::Sensitive,
            )
            .is_some_and(|found| !found.pattern.is_negative())
    }

    fn push(&mut self, file: &[u8], source: PathBuf, root: Option<&Path>) {
        let parse = Ignore::default();
        if self
            .search
            .add_patterns_buffer(file, source, root, parse)
            .is_err()
        {
            // What is entered is left again, so there is one for each folder.
            self.search.patterns.push(Default::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(rules: &Ignored, path: &str, is_dir: bool) -> bool {
        rules.has(path.as_bytes().as_bstr(), is_dir)
    }

    #[test]
    fn the_nearest_rule_decides_and_is_forgotten_when_its_folder_is_left() {
        let mut rules = Ignored::everywhere(b"*.log\n");
        rules.enter(b"".as_bstr(), b"/build/\n*.tmp\n");
        assert!(has(&rules, "a/b.log", false));
        assert!(has(&rules, "build", true));
        assert!(!has(&rules, "build", false));
        assert!(!has(&rules, "a/build", true));
        rules.enter(b"a".as_bstr(), b"!keep.tmp\n/own\n");
        assert!(!has(&rules, "a/keep.tmp", false));
        assert!(has(&rules, "keep.tmp", false));
        assert!(has(&rules, "a/own", false));
        assert!(!has(&rules, "a/b/own", false));
        rules.leave();
        assert!(has(&rules, "a/keep.tmp", false));
    }
}
