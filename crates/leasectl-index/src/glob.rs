//! Which paths a pattern such as `src/**/*.rs` means.
//!
//! Read as people write them on a command line: a pattern without `/` is a name at any depth, one with
//! `/` starts at the top, and a folder stands for everything in it. `*` and `?` stop at `/`.

use globset::{GlobBuilder, GlobMatcher};
use leasectl_remote::PathGlob;

/// Why a pattern cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the path pattern cannot be understood")]
pub struct PathFilterError(#[from] globset::Error);

/// Says of a path whether it is wanted.
#[derive(Clone, Debug)]
pub struct PathFilter {
    itself: GlobMatcher,
    within: GlobMatcher,
}

impl PathFilter {
    /// Understands `pattern`.
    ///
    /// # Errors
    /// When the pattern's brackets or braces mean nothing, `[z-a]` for instance.
    pub fn new(pattern: &PathGlob) -> Result<Self, PathFilterError> {
        let pattern = pattern.as_str();
        let anywhere = if pattern.contains('/') { "" } else { "**/" };
        Ok(Self {
            itself: compile(&format!("{anywhere}{pattern}"))?,
            within: compile(&format!("{anywhere}{pattern}/**"))?,
        })
    }

    /// Whether the pattern means this path or a folder above it.
    #[must_use]
    pub fn accepts(&self, path: &str) -> bool {
        self.itself.is_match(path) || self.within.is_match(path)
    }
}

fn compile(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build()?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(pattern: &str) -> PathFilter {
        PathFilter::new(&PathGlob::parse(pattern).unwrap()).unwrap()
    }

    #[test]
    fn a_name_is_found_at_any_depth() {
        let rust = filter("*.rs");
        assert!(rust.accepts("main.rs") && rust.accepts("src/a/b.rs"));
        assert!(!rust.accepts("src/main.rs.orig"));
    }

    #[test]
    fn a_path_starts_at_the_top_and_a_star_stops_at_a_slash() {
        let source = filter("src/*.rs");
        assert!(source.accepts("src/a.rs"));
        assert!(!source.accepts("src/a/b.rs") && !source.accepts("x/src/a.rs"));
        assert!(filter("src/**/*.{rs,c}").accepts("src/a/b/c.c"));
    }

    #[test]
    fn a_folder_stands_for_everything_in_it() {
        assert!(filter("crates/worker").accepts("crates/worker/src/main.rs"));
        assert!(filter("tests").accepts("crates/a/tests/b.rs"));
        assert!(!filter("crates/work").accepts("crates/worker/src/main.rs"));
    }

    #[test]
    fn a_range_that_runs_backwards_is_an_error() {
        assert!(PathFilter::new(&PathGlob::parse("[z-a]").unwrap()).is_err());
    }
}
