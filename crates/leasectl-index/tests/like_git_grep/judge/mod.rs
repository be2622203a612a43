//! What answers are judged by: files, patterns made from them, and the lines that `git grep -I` finds.
//!
//! Two tests ask: that of this crate, which searches what it extracted itself, and that of the programs, which
//! searches what a worker stored in a database.

mod git;
mod queries;
mod tree;

pub(crate) use git::Repository;
pub(crate) use queries::{Dice, Pattern};
pub(crate) use tree::{File, files};

/// The seed of all choices. Any other must do as well.
pub(crate) const SEED: u64 = 20_261_121;

/// How many queries are made.
pub(crate) const QUERIES: usize = 520;

/// Path, line, column and bytes, without a final carriage return.
pub(crate) type Line = (String, u64, u64, Vec<u8>);

/// The dot of glibc matches any byte but NUL, ours any byte: of such lines regular expressions say nothing.
pub(crate) fn without_nul((_, _, _, bytes): &Line) -> bool {
    !bytes.contains(&0)
}

/// Where the two lists part, in words.
pub(crate) fn first_difference(actual: &[Line], expected: &[Line]) -> Option<String> {
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
