//! Derives a formula from a regular expression.
//!
//! For each part of the expression it keeps what every match of the part looks like: all the texts it
//! can be, as long as they are few, or else what it starts with, what it ends with, and a formula.
//! Joining two parts joins the ends that meet, and whatever grows too large is first turned into a
//! formula and then cut off.
//!
//! **Invariants**
//! - Every match of a part is among `exact`, if that is known; it starts with one of `starts`, ends
//!   with one of `ends`, and its trigrams satisfy `needs`.
//! - No set outgrows [`MAX_MEETING`] texts, so each step costs a bounded amount.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};

use super::Expression;

/// The most texts that a part is known to be.
const MAX_EXACT: usize = 7;
/// The most texts that a part is known to start or to end with.
const MAX_SET: usize = 20;
/// The most texts that are made where two parts meet, before they are cut off.
const MAX_MEETING: usize = 64;
/// The most members of a class that are looked at one by one.
const MAX_CLASS: usize = 10;

type Texts = BTreeSet<Vec<u8>>;

/// The formula that every file with a match satisfies.
pub(crate) fn analyse(pattern: &Hir) -> Expression {
    Part::of(pattern).formula()
}

/// What is known of a part of the expression.
struct Part {
    exact: Option<Texts>,
    starts: Texts,
    ends: Texts,
    needs: Expression,
}

impl Part {
    fn of(pattern: &Hir) -> Self {
        match pattern.kind() {
            // An assertion takes up no text.
            HirKind::Empty | HirKind::Look(_) => Self::exactly([Vec::new()].into()),
            HirKind::Literal(literal) => Self::exactly([literal.0.to_vec()].into()),
            HirKind::Class(class) => members(class).map_or_else(Self::unknown, Self::exactly),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Repetition(repetition) => {
                let once = Self::of(&repetition.sub);
                match (repetition.min, repetition.max) {
                    (1, Some(1)) => once,
                    (0, Some(1)) => once.or(Self::exactly([Vec::new()].into())),
                    (0, _) => Self::unknown(),
                    (_, _) => once.inexact(),
                }
            }
            HirKind::Concat(parts) => parts
                .iter()
                .map(Self::of)
                .reduce(Self::then)
                .unwrap_or_else(Self::unknown),
            HirKind::Alternation(parts) => parts
                .iter()
                .map(Self::of)
                .reduce(Self::or)
                .unwrap_or_else(Self::unknown),
        }
    }

    /// Any text at all.
    fn unknown() -> Self {
        Self {
            exact: None,
            starts: [Vec::new()].into(),
            ends: [Vec::new()].into(),
            needs: Expression::All,
        }
    }

    /// One of these texts; none of them if there are none.
    fn exactly(texts: Texts) -> Self {
        let part = Self {
            exact: Some(texts),
            ..Self::unknown()
        };
        part.within_bounds()
    }

    /// The same with nothing known exactly.
    fn inexact(self) -> Self {
        let Some(texts) = self.exact else {
            return self;
        };
        let part = Self {
            exact: None,
            needs: self.needs.and(one_of(&texts)),
            starts: texts.clone(),
            ends: texts,
        };
        part.within_bounds()
    }

    /// This, and right after it the other.
    fn then(self, next: Self) -> Self {
        if let (Some(left), Some(right)) = (&self.exact, &next.exact)
            && left.len() * right.len() <= MAX_SET
        {
            return Self {
                exact: Some(cross(left, right)),
                starts: Texts::new(),
                ends: Texts::new(),
                needs: self.needs.and(next.needs),
            }
            .within_bounds();
        }
        let starts = match &self.exact {
            Some(texts) => joined(texts, next.starts()).unwrap_or_else(|| texts.clone()),
            None => self.starts.clone(),
        };
        let ends = match &next.exact {
            Some(texts) => joined(self.ends(), texts).unwrap_or_else(|| texts.clone()),
            None => next.ends.clone(),
        };
        let meeting = joined(self.ends(), next.starts());
        let between = meeting.map_or(Expression::All, |texts| one_of(&texts));
        let part = Self {
            exact: None,
            starts,
            ends,
            needs: self.formula().and(next.formula()).and(between),
        };
        part.within_bounds()
    }

    /// This or the other.
    fn or(self, other: Self) -> Self {
        if let (Some(one), Some(two)) = (&self.exact, &other.exact)
            && one.len() + two.len() <= MAX_SET
        {
            return Self {
                exact: Some(one.union(two).cloned().collect()),
                starts: Texts::new(),
                ends: Texts::new(),
                needs: self.needs.or(other.needs),
            }
            .within_bounds();
        }
        let part = Self {
            exact: None,
            starts: self.starts().union(other.starts()).cloned().collect(),
            ends: self.ends().union(other.ends()).cloned().collect(),
            needs: self.formula().or(other.formula()),
        };
        part.within_bounds()
    }

    fn starts(&self) -> &Texts {
        self.exact.as_ref().unwrap_or(&self.starts)
    }

    fn ends(&self) -> &Texts {
        self.exact.as_ref().unwrap_or(&self.ends)
    }

    /// Everything that is known, as a formula.
    fn formula(&self) -> Expression {
        let exactly = self.exact.as_ref().map_or(Expression::All, one_of);
        self.needs.clone().and(exactly)
    }

    /// Turns what is too large into a formula, and keeps of it what may still meet a neighbour.
    fn within_bounds(self) -> Self {
        match &self.exact {
            Some(texts) if texts.len() > MAX_EXACT => self.inexact(),
            Some(_) => self,
            None => {
                let needs = self.needs.and(one_of(&self.starts)).and(one_of(&self.ends));
                Self {
                    exact: None,
                    starts: shortened(self.starts, |text, length| &text[..length]),
                    ends: shortened(self.ends, |text, length| &text[text.len() - length..]),
                    needs,
                }
            }
        }
    }
}

/// The members of a small class.
fn members(class: &Class) -> Option<Texts> {
    let mut texts = Texts::new();
    match class {
        Class::Bytes(class) => {
            for byte in class
                .ranges()
                .iter()
                .flat_map(|range| range.start()..=range.end())
            {
                texts.insert(vec![byte]);
                if texts.len() > MAX_CLASS {
                    return None;
                }
            }
        }
        Class::Unicode(class) => {
            for c in class
                .ranges()
                .iter()
                .flat_map(|range| range.start()..=range.end())
            {
                texts.insert(c.to_string().into_bytes());
                if texts.len() > MAX_CLASS {
                    return None;
                }
            }
        }
    }
    Some(texts)
}

/// Each of the first followed by each of the second, unless that is too many.
fn joined(left: &Texts, right: &Texts) -> Option<Texts> {
    (left.len() * right.len() <= MAX_MEETING).then(|| cross(left, right))
}

fn cross(left: &Texts, right: &Texts) -> Texts {
    left.iter()
        .flat_map(|start| right.iter().map(move |end| [&start[..], &end[..]].concat()))
        .collect()
}

/// The formula of a text that contains one of `texts`.
fn one_of(texts: &Texts) -> Expression {
    Expression::any_of(texts.iter().map(|text| Expression::every_trigram_of(text)))
}

/// Two bytes of each text are enough to make trigrams with what follows; fewer if there are too many.
fn shortened(texts: Texts, keep: fn(&[u8], usize) -> &[u8]) -> Texts {
    let mut short = texts;
    for most in [2, 1, 0] {
        short = short
            .iter()
            .map(|text| keep(text, text.len().min(most)).to_vec())
            .collect();
        if short.len() <= MAX_SET {
            break;
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Case, Query, Trigram};

    fn formula(pattern: &str) -> String {
        let query = Query::regex(pattern, Case::Sensitive).unwrap();
        spell(query.expression())
    }

    fn spell(formula: &Expression) -> String {
        let join = |parts: &[Expression], with: &str| {
            let parts: Vec<String> = parts.iter().map(spell).collect();
            format!("({})", parts.join(with))
        };
        match formula {
            Expression::All => "all".to_owned(),
            Expression::Never => "never".to_owned(),
            Expression::Has(trigram) => String::from_utf8_lossy(&trigram.bytes()).into_owned(),
            Expression::Every(parts) => join(parts, " "),
            Expression::Any(parts) => join(parts, "|"),
        }
    }

    #[test]
    fn a_formula_says_what_a_match_must_contain() {
        for (pattern, expected) in [
            ("abcd", "(abc bcd)"),
            ("ab", "all"),
            ("abc.*def", "(abc def)"),
            ("abc(x|y)d", "((abc bcx cxd)|(abc bcy cyd))"),
            ("(abc|def)+", "(abc|def)"),
            ("abc?d", "(abd|(abc bcd))"),
            ("(abcd)*", "all"),
            ("^abc$", "abc"),
            ("[a&&b]xyz", "never"),
            ("(?i)abc", "(ABC|ABc|AbC|Abc|aBC|aBc|abC|abc)"),
        ] {
            assert_eq!(formula(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_number_between_two_names_still_asks_for_both() {
        let query = Query::regex("foo[0-9]bar", Case::Sensitive).unwrap();
        for missing in [b"foo", b"bar"] {
            let others = |trigram| trigram != Trigram::new(*missing);
            assert!(!query.expression().accepts(&others));
        }
    }

    #[test]
    fn hostile_patterns_give_a_small_formula() {
        let patterns = [
            "(?i)[a-c]{1,3}(x|y|z)".repeat(40),
            "[ab][cd][ef]".repeat(300),
            format!("({})", ["abcdefgh"; 300].join("x|y")),
        ];
        for pattern in patterns {
            let query = Query::regex(&pattern, Case::Sensitive).unwrap();
            assert!(spell(query.expression()).len() < 40_000);
        }
    }
}
