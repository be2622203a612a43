//! What a file's trigrams must be for the file to be able to match: a formula over trigrams.
//!
//! After Russ Cox, "Regular Expression Matching with a Trigram Index" (2012), and its program
//! codesearch.
//!
//! **Invariant** – A formula is a necessary condition only. It may accept a file that does not match; it
//! never refuses one that does.

mod analysis;

use crate::Trigram;

pub(crate) use analysis::analyse;

/// The largest formula, in trigrams. A larger one is replaced by a weaker one.
const MAX_LEAVES: usize = 2_000;

/// A formula over the trigrams of one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expression {
    /// Any file can match.
    All,
    /// No file can match.
    Never,
    /// A file with this trigram can.
    Has(Trigram),
    /// A file that satisfies each of these can.
    Every(Vec<Expression>),
    /// A file that satisfies one of these can.
    Any(Vec<Expression>),
}

impl Expression {
    /// Whether a file with just the trigrams for which `has` is true can match.
    pub fn accepts(&self, has: &impl Fn(Trigram) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::Never => false,
            Self::Has(trigram) => has(*trigram),
            Self::Every(parts) => parts.iter().all(|part| part.accepts(has)),
            Self::Any(parts) => parts.iter().any(|part| part.accepts(has)),
        }
    }

    /// Both must hold. When that would be too large, the first alone is required.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::All, one) | (one, Self::All) => one,
            (one, other) if one.leaves() + other.leaves() > MAX_LEAVES => one,
            (one, other) => {
                let mut parts = one.into_conjuncts();
                parts.extend(other.into_conjuncts());
                parts.sort_unstable();
                parts.dedup();
                single_or(parts, Self::Every)
            }
        }
    }

    /// One must hold. When that would be too large, nothing is required.
    pub(crate) fn or(self, other: Self) -> Self {
        Self::any_of([self, other])
    }

    /// One of these must hold. When that would be too large, nothing is required.
    pub(crate) fn any_of(choices: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = Vec::new();
        let mut leaves = 0;
        for choice in choices {
            leaves += choice.leaves();
            match choice {
                Self::All => return Self::All,
                Self::Never => {}
                Self::Any(more) => parts.extend(more),
                one @ (Self::Has(_) | Self::Every(_)) => parts.push(one),
            }
            if leaves > MAX_LEAVES {
                return Self::All;
            }
        }
        parts.sort_unstable();
        parts.dedup();
        match parts.len() {
            0 => Self::Never,
            _ => single_or(parts, Self::Any),
        }
    }

    /// Every trigram of `text` must be there.
    pub(crate) fn every_trigram_of(text: &[u8]) -> Self {
        let mut parts: Vec<Self> = text
            .windows(3)
            .take(MAX_LEAVES)
            .map(|window| Self::Has(Trigram::new([window[0], window[1], window[2]])))
            .collect();
        parts.sort_unstable();
        parts.dedup();
        match parts.len() {
            0 => Self::All,
            _ => single_or(parts, Self::Every),
        }
    }

    fn leaves(&self) -> usize {
        match self {
            Self::All | Self::Never | Self::Has(_) => 1,
            Self::Every(parts) | Self::Any(parts) => parts.iter().map(Self::leaves).sum(),
        }
    }

    fn into_conjuncts(self) -> Vec<Self> {
        if let Self::Every(parts) = self {
            parts
        } else {
            vec![self]
        }
    }
}

/// A formula of one part is that part.
fn single_or(mut parts: Vec<Expression>, of: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 {
        parts.swap_remove(0)
    } else {
        of(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_vanish_and_repetitions_count_once() {
        let abc = Expression::every_trigram_of(b"abc");
        assert_eq!(abc.clone().and(Expression::All), abc);
        assert_eq!(abc.clone().or(Expression::Never), abc);
        assert_eq!(abc.clone().and(Expression::Never), Expression::Never);
        assert_eq!(abc.clone().or(Expression::All), Expression::All);
        assert_eq!(abc.clone().and(abc.clone()), abc);
        assert_eq!(abc.clone().or(abc.clone()), abc);
    }

    #[test]
    fn a_formula_that_would_be_too_large_becomes_weaker() {
        let long: Vec<u8> = (0..1_500u32)
            .flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_be_bytes())
            .collect();
        let large = Expression::every_trigram_of(&long);
        let other = Expression::every_trigram_of(&long[3_000..]);
        assert_eq!(large.clone().and(other.clone()), large);
        assert_eq!(large.or(other), Expression::All);
    }
}
