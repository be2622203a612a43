//! What the tests of the languages share: findings as lines that are easy to compare.

use std::sync::atomic::AtomicBool;

use super::{Extractor, Limits, Outcome, Tags};
use crate::language::Grammar;
use crate::stop::Stop;

pub(super) fn tags(grammar: Grammar, source: impl AsRef<[u8]>) -> Tags {
    let outcome = Extractor::new()
        .extract(
            grammar,
            source.as_ref(),
            &Limits::default(),
            Stop::when(&AtomicBool::new(false)),
        )
        .expect("the grammar loads");
    match outcome {
        Outcome::Extracted(tags) => tags,
        other @ (Outcome::Skipped(_) | Outcome::Cancelled) => panic!("{other:?}"),
    }
}

/// `kind name first-last` of every symbol.
pub(super) fn symbols(grammar: Grammar, source: impl AsRef<[u8]>) -> Vec<String> {
    let line = |symbol: super::Symbol| {
        let (kind, first, last) = (symbol.kind.name(), symbol.line_start, symbol.line_end);
        format!("{kind} {} {first}-{last}", symbol.name)
    };
    tags(grammar, source)
        .symbols
        .into_iter()
        .map(line)
        .collect()
}

/// `line target` of every import.
pub(super) fn imports(grammar: Grammar, source: impl AsRef<[u8]>) -> Vec<String> {
    let line = |import: super::Import| format!("{} {}", import.line, import.target);
    tags(grammar, source)
        .imports
        .into_iter()
        .map(line)
        .collect()
}
