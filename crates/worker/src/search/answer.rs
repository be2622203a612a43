//! What is asked for of a search, and what comes of it.

use serde::Serialize;

/// How much of what is found is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The most lines that match.
    pub lines: usize,
    /// How many lines are wanted before and after each of them.
    pub context: usize,
}

impl Wanted {
    /// So many lines, without those around them.
    #[must_use]
    pub const fn lines(lines: usize) -> Self {
        Self { lines, context: 0 }
    }
}

/// A line that matches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Found {
    /// The ref that was searched.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The file.
    pub path: String,
    /// The line's number, from 1.
    pub line: u64,
    /// Where the match begins in the line, in bytes, from 1.
    pub column: u64,
    /// The line.
    pub text: String,
    /// The file's blob.
    pub blob: String,
    /// The lines around it, if they were asked for.
    #[serde(flatten)]
    pub around: Option<Around>,
}

/// The lines around one that matches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Around {
    /// Those before it, in the order of the file.
    pub before: Vec<String>,
    /// Those after it.
    pub after: Vec<String>,
}

/// What a search found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The lines, the best first.
    pub found: Vec<Found>,
    /// There are no more.
    pub complete: bool,
    /// Files of a worktree that may match, and are not what was indexed any more.
    pub changed: usize,
}
