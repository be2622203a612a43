//! Paths inside a Git tree, and patterns over them.
//!
//! A path from outside is compared with tree entries and never opened on a disk; it is checked
//! all the same, so that a later mistake cannot turn it into an escape.

use std::fmt;
use std::str::FromStr;

/// Longest accepted path, in bytes.
pub const MAX_PATH_BYTES: usize = 4_096;
/// Longest accepted pattern, in bytes.
pub const MAX_GLOB_BYTES: usize = 1_024;
/// Most wildcards in one pattern: bounds the time a match can take.
pub const MAX_GLOB_WILDCARDS: usize = 32;
/// Most alternatives in one pattern.
pub const MAX_GLOB_ALTERNATIVES: usize = 64;

/// Why a text is not a path inside a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TreePathError {
    /// Nothing was given.
    #[error("the path is empty; give one such as src/main.rs")]
    Empty,
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("the path is longer than 4096 bytes; shorten it")]
    TooLong,
    /// A control character or a backslash.
    #[error("the path holds a control character or a backslash; write parts with '/' between them")]
    Character,
    /// Starts with `/` or with a drive letter.
    #[error("the path must be relative to the top of the repository; leave out the leading '/'")]
    Absolute,
    /// An empty part: two slashes in a row, or one at the end.
    #[error("the path has an empty part; write single slashes and none at the end")]
    EmptyPart,
    /// `.` or `..`.
    #[error("the path has a part '.' or '..'; write it without them")]
    DotPart,
    /// Starts with `-`.
    #[error("the path starts with '-', like an option; it cannot be used")]
    LeadingDash,
    /// A spelling of `.git` on some file system.
    #[error("the path has a part that some file system reads as .git; it cannot be used")]
    GitDirectory,
}

/// A valid path of a file or folder inside a tree, relative, with `/` between its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreePath(String);

impl TreePath {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, TreePathError> {
        if text.len() > MAX_PATH_BYTES {
            return Err(TreePathError::TooLong);
        }
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The path as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for TreePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for TreePath {
    type Err = TreePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Why a text is not a pattern over paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathGlobError {
    /// The pattern breaks a rule of paths.
    #[error("the pattern is not valid: {0}")]
    Path(#[from] TreePathError),
    /// Longer than [`MAX_GLOB_BYTES`].
    #[error("the pattern is longer than 1024 bytes; shorten it")]
    TooLong,
    /// More than [`MAX_GLOB_WILDCARDS`] wildcards or [`MAX_GLOB_ALTERNATIVES`] alternatives.
    #[error("the pattern has more than 32 wildcards or 64 alternatives; split it into several")]
    TooComplex,
    /// Brackets or braces that do not pair up, or braces within braces.
    #[error("the brackets or braces of the pattern do not pair up; close each, do not nest braces")]
    Unbalanced,
    /// Starts with `!`.
    #[error("a pattern cannot start with '!'; say what to include instead")]
    Negation,
}

/// A valid pattern over paths: `*`, `**`, `?`, `[abc]` and `{a,b}`, without nesting.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathGlob(String);

impl PathGlob {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, PathGlobError> {
        if text.len() > MAX_GLOB_BYTES {
            return Err(PathGlobError::TooLong);
        }
        if text.starts_with('!') {
            return Err(PathGlobError::Negation);
        }
        check(text)?;
        check_groups(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for PathGlob {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for PathGlob {
    type Err = PathGlobError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// What a scan of a pattern is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// Brackets, with the number of characters seen so far, and whether braces surround them.
    Class {
        seen: usize,
        in_braces: bool,
    },
    Braces,
}

fn check_groups(text: &str) -> Result<(), PathGlobError> {
    let mut inside = Inside::Nothing;
    let (mut wildcards, mut alternatives) = (0, 0);
    for c in text.chars() {
        inside = match (inside, c) {
            // A bracket right after the opening one stands for itself.
            (Inside::Class { seen, in_braces }, ']') if seen > 0 => {
                if in_braces {
                    Inside::Braces
                } else {
                    Inside::Nothing
                }
            }
            (Inside::Class { seen: 0, in_braces }, '!' | '^') => {
                Inside::Class { seen: 0, in_braces }
            }
            (Inside::Class { .. }, '/') => return Err(PathGlobError::Unbalanced),
            (Inside::Class { seen, in_braces }, _) => Inside::Class {
                seen: seen + 1,
                in_braces,
            },
            (_, ']') | (Inside::Nothing, '}') | (Inside::Braces, '{') => {
                return Err(PathGlobError::Unbalanced);
            }
            (_, '[') => {
                wildcards += 1;
                Inside::Class {
                    seen: 0,
                    in_braces: inside == Inside::Braces,
                }
            }
            (Inside::Nothing, '{') => {
                alternatives += 1;
                Inside::Braces
            }
            (Inside::Braces, '}') => Inside::Nothing,
            (Inside::Braces, ',') => {
                alternatives += 1;
                inside
            }
            (_, '*' | '?') => {
                wildcards += 1;
                inside
            }
            (Inside::Nothing | Inside::Braces, _) => inside,
        };
    }
    if inside != Inside::Nothing {
        return Err(PathGlobError::Unbalanced);
    }
    if wildcards > MAX_GLOB_WILDCARDS || alternatives > MAX_GLOB_ALTERNATIVES {
        return Err(PathGlobError::TooComplex);
    }
    Ok(())
}

fn check(text: &str) -> Result<(), TreePathError> {
    if text.is_empty() {
        return Err(TreePathError::Empty);
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return Err(TreePathError::Character);
    }
    let drive = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && text.as_bytes().get(1) == Some(&b':');
    if text.starts_with('/') || drive {
        return Err(TreePathError::Absolute);
    }
    if text.starts_with('-') {
        return Err(TreePathError::LeadingDash);
    }
    for part in text.split('/') {
        match part {
            "" => return Err(TreePathError::EmptyPart),
            "." | ".." => return Err(TreePathError::DotPart),
            _ if is_git_directory(part) => return Err(TreePathError::GitDirectory),
            _ => {}
        }
    }
    Ok(())
}

/// True for every spelling that HFS+, NTFS or a case-folding file system reads as `.git`.
fn is_git_directory(part: &str) -> bool {
    let visible: String = part.chars().filter(|c| !is_ignored_by_hfs(*c)).collect();
    let before_stream = visible.split(':').next().unwrap_or_default();
    let trimmed = before_stream.trim_end_matches([' ', '.']);
    trimmed.eq_ignore_ascii_case(".git") || trimmed.eq_ignore_ascii_case("git~1")
}

/// Characters that HFS+ leaves out when it compares file names.
fn is_ignored_by_hfs(c: char) -> bool {
    matches!(
        c,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}
