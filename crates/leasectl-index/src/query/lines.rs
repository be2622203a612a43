//! Keeps a pattern within one line.
//!
//! The engine sees a whole text at once, because looking for line breaks first would take longer than
//! the search. So the pattern itself is changed: no class of it holds a line break, and the start and
//! the end of the text are those of a line. (ripgrep's `grep-regex` crate does the same in `strip.rs`.)

use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look,
    Repetition,
};

use super::QueryError;

/// The same pattern for texts that consist of lines. Groups are left out; nobody asks for them.
///
/// # Errors
/// When the pattern names a line break: it would never match.
pub(super) fn within_a_line(pattern: Hir) -> Result<Hir, QueryError> {
    Ok(match pattern.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => {
            return Err(QueryError::LineBreak);
        }
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(without_line_break(class)),
        HirKind::Look(Look::Start | Look::StartCRLF) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) => Hir::look(Look::EndLF),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(within_a_line(*repetition.sub)?),
            ..repetition
        }),
        HirKind::Capture(capture) => within_a_line(*capture.sub)?,
        HirKind::Concat(parts) => Hir::concat(each(parts)?),
        HirKind::Alternation(parts) => Hir::alternation(each(parts)?),
    })
}

fn each(parts: Vec<Hir>) -> Result<Vec<Hir>, QueryError> {
    parts.into_iter().map(within_a_line).collect()
}

fn without_line_break(class: Class) -> Class {
    match class {
        Class::Bytes(mut class) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Class::Bytes(class)
        }
        Class::Unicode(mut class) => {
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Class::Unicode(class)
        }
    }
}
