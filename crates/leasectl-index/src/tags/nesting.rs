//! A look at how deep content nests, before a parser is let loose on it.
//!
//! A grammar that cannot tell `a < b` from `a<b>` until the bracket closes keeps both readings of
//! every `<` that stays open, and recovering from the error costs memory that grows with the square of
//! their number: 16,000 of them made the parser of Java take 1.7 GB, and it looked at the clock too
//! seldom to be stopped in time. Memory cannot be limited from inside, so such content is not parsed.

use crate::language::Grammar;

/// How many `<` of one statement may be open; no source that people write comes near.
const MAX_OPEN_ANGLES: usize = 256;

/// Whether brackets nest deeper than `limit`, or more angles stay open than any source needs.
///
/// Strings and comments are not told from code: that takes a parser.
pub(super) fn is_too_deep(grammar: Grammar, content: &[u8], limit: usize) -> bool {
    let counts_angles = match grammar {
        Grammar::Java | Grammar::CSharp | Grammar::Cpp | Grammar::TypeScript | Grammar::Tsx => true,
        Grammar::Rust
        | Grammar::Python
        | Grammar::JavaScript
        | Grammar::Go
        | Grammar::C
        | Grammar::Ruby
        | Grammar::Php => false,
    };
    let (mut brackets, mut angles, mut before) = (0_usize, 0_usize, 0_u8);
    for byte in content.iter().copied() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => (brackets, angles) = (brackets + 1, 0),
            b'}' => (brackets, angles) = (brackets.saturating_sub(1), 0),
            b';' => angles = 0,
            // A shift is no bracket, and the `>` of an arrow closes none.
            b'<' if before == b'<' => angles = angles.saturating_sub(1),
            b'<' => angles += 1,
            b'>' if before != b'-' && before != b'=' => angles = angles.saturating_sub(1),
            _ => {}
        }
        before = byte;
        if brackets > limit || (counts_angles && angles > MAX_OPEN_ANGLES) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_open_is_too_deep() {
        assert!(is_too_deep(
            Grammar::Java,
            "List<".repeat(300).as_bytes(),
            2000
        ));
        assert!(is_too_deep(
            Grammar::CSharp,
            "a<x->".repeat(300).as_bytes(),
            2000
        ));
        assert!(is_too_deep(
            Grammar::Python,
            "[".repeat(2001).as_bytes(),
            2000
        ));
    }

    #[test]
    fn what_closes_or_ends_is_not() {
        for text in [
            "List<A>",
            "a < b;",
            "if (a < b) {}",
            "x << 1 +",
            "() => a,",
            "[{(1)}]",
        ] {
            assert!(
                !is_too_deep(Grammar::Cpp, text.repeat(5000).as_bytes(), 2000),
                "{text}"
            );
        }
        assert!(!is_too_deep(
            Grammar::Python,
            "a < b\n".repeat(5000).as_bytes(),
            2000
        ));
    }
}
