//! What somebody searches for, understood once and then asked of many files.
//!
//! A pattern is matched against one line at a time, without the line break that ends it, as `git grep`
//! does. A text that ends with a line break has no empty line after it.
//!
//! A pattern of ASCII characters is matched over bytes, as `git grep` does in the C locale: `.` is any
//! byte, `\w` and the ignored case are those of ASCII, and a file in any encoding can be searched. A
//! pattern with other characters, or with a class that only Unicode knows (`\p{Greek}`), is matched
//! over characters; `(?u)` asks for that and `(?-u)` takes it back.
//!
//! **Invariants**
//! - A match never holds a line break, and begins in the line in which it ends.
//! - The formula and the engine come from the same syntax tree, so they cannot disagree.

mod lines;

use regex_automata::Input;
use regex_automata::meta;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{self, Hir};

use crate::expression::{Expression, analyse};

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 4_096;
/// How deeply a pattern may be nested.
const MAX_NESTING: u32 = 64;
/// How large the compiled pattern may be, in bytes: room for any literal, and for some twenty classes of
/// Unicode letters. At worst each byte of a text meets each state, so this bounds the time as well.
const MAX_COMPILED_BYTES: usize = 512 * 1024;
/// The memory for states that are built while searching, in bytes.
const STATE_CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Why a text is not a pattern.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Longer than [`MAX_PATTERN_BYTES`].
    #[error("the pattern is longer than {MAX_PATTERN_BYTES} bytes; shorten it")]
    TooLong,
    /// It asks for a line break.
    #[error("a pattern cannot match a line break; search for a part of one line")]
    LineBreak,
    /// It is not written as regular expressions are.
    #[error("the pattern is not a valid regular expression")]
    Syntax(#[source] Box<regex_syntax::Error>),
    /// Its engine would be too large.
    #[error("the regular expression is too large; use smaller repetitions or classes")]
    TooLarge(#[source] Box<meta::BuildError>),
}

/// Whether upper and lower case differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// They do.
    #[default]
    Sensitive,
    /// They do not.
    Ignored,
}

/// A pattern ready to be searched for.
#[derive(Clone, Debug)]
pub struct Query {
    pattern: String,
    engine: meta::Regex,
    formula: Expression,
}

impl Query {
    /// Searches for `text` as it stands. An empty text is in every line.
    ///
    /// # Errors
    /// When the text is too long or has a line break.
    pub fn literal(text: &str, case: Case) -> Result<Self, QueryError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(QueryError::TooLong);
        }
        Self::parse(text, &regex_syntax::escape(text), case)
    }

    /// Searches for a regular expression in the syntax of the `regex` crate.
    ///
    /// # Errors
    /// When it is not one, can only match a line break, or is too large.
    pub fn regex(pattern: &str, case: Case) -> Result<Self, QueryError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(QueryError::TooLong);
        }
        Self::parse(pattern, pattern, case)
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// What the trigrams of a file must be for it to be worth reading.
    #[must_use]
    pub fn expression(&self) -> &Expression {
        &self.formula
    }

    /// The first match in `input`, which must not end behind a line break.
    pub(crate) fn find(&self, input: &Input<'_>) -> Option<regex_automata::Match> {
        self.engine.search(input)
    }

    fn parse(typed: &str, pattern: &str, case: Case) -> Result<Self, QueryError> {
        let tree = match syntax_tree(pattern, case, !pattern.is_ascii()) {
            Err(error) if wants_unicode(&error) => syntax_tree(pattern, case, true),
            other => other,
        };
        let tree = tree.map_err(QueryError::Syntax)?;
        let tree = lines::within_a_line(tree)?;
        // Without DFAs that are built whole: from the last literal of a pattern, version 0.4.18 walks back over them
        // into the literal before it, and finds `leas.*s` in `lease`. Over those that are built lazily it does not.
        let config = meta::Config::new()
            .utf8_empty(false)
            .dfa(false)
            .nfa_size_limit(Some(MAX_COMPILED_BYTES))
            .hybrid_cache_capacity(STATE_CACHE_BYTES);
        let engine = meta::Builder::new()
            .configure(config)
            .build_from_hir(&tree)
            .map_err(|error| QueryError::TooLarge(Box::new(error)))?;
        Ok(Self {
            pattern: typed.to_owned(),
            engine,
            formula: analyse(&tree),
        })
    }
}

fn syntax_tree(pattern: &str, case: Case, unicode: bool) -> Result<Hir, Box<regex_syntax::Error>> {
    ParserBuilder::new()
        .utf8(false)
        .unicode(unicode)
        .multi_line(true)
        .case_insensitive(case == Case::Ignored)
        .nest_limit(MAX_NESTING)
        .build()
        .parse(pattern)
        .map_err(Box::new)
}

/// Whether the pattern was refused only because it was read as bytes.
fn wants_unicode(error: &regex_syntax::Error) -> bool {
    matches!(error, regex_syntax::Error::Translate(error)
        if matches!(error.kind(), hir::ErrorKind::UnicodeNotAllowed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{extract, lines_with_hits};

    /// Whether one line, alone, matches.
    fn line_matches(query: &Query, line: &[u8]) -> bool {
        query.engine.is_match(line)
    }

    fn lines_one_by_one(query: &Query, text: &[u8]) -> Vec<u64> {
        let lines = text.strip_suffix(b"\n").unwrap_or(text);
        (1..)
            .zip(lines.split(|byte| *byte == b'\n'))
            .filter(|(_, line)| !text.is_empty() && line_matches(query, line))
            .map(|(number, _)| number)
            .collect()
    }

    fn pattern() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            8 => "[abcAB ]{1,5}",
            1 => "[é€k]{1,2}",
            4 => prop::sample::select(vec![
                ".", "[ab]", "[^a]", r"\w", r"\s", r"\W", r"\b", "^", "$", r"\A", r"\z", "(?i:abc)",
                "(?u:k)", "(?i-u:b)", "[a-z]", "[0-9b]", "(?s:.)", r"\x61", "(?R:$)", "", "[a&&b]",
            ]).prop_map(str::to_owned),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let bounds =
                prop::sample::select(vec!["*", "+", "?", "{2}", "{1,3}", "{0}", "*?", "{3,}"]);
            prop_oneof![
                3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                2 => prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|parts| format!("(?:{})", parts.join("|"))),
                2 => (inner, bounds).prop_map(|(part, bounds)| format!("(?:{part}){bounds}")),
            ]
        })
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            10 => "[abcAB ]{1,6}".prop_map(String::into_bytes),
            3 => Just(b"\n".to_vec()),
            1 => prop::sample::select(vec!["é", "€", "k", "\u{212a}", "\r\n", "\0", "1"])
                .prop_map(|text| text.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn the_last_letter_of_a_pattern_is_not_that_of_the_word_before_it() {
        for pattern in ["^[ \t]*leas.*s", "^leas.*s", "^ *aa.*a"] {
            let query = Query::regex(pattern, Case::Sensitive).unwrap();
            let text = b"lease\n   lease(1)\naa\n";
            assert!(lines_with_hits(&query, text).is_empty(), "{pattern}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn a_text_that_matches_is_never_ruled_out_by_its_trigrams(
            pattern in pattern(), ignored: bool, texts in prop::collection::vec(text(), 1..6),
        ) {
            let case = if ignored { Case::Ignored } else { Case::Sensitive };
            let Ok(query) = Query::regex(&pattern, case) else {
                return Ok(());
            };
            for text in texts {
                let found = lines_with_hits(&query, &text);
                if !found.is_empty() {
                    let vector = extract(&text);
                    let accepts = query.expression().accepts(&|one| vector.contains(one));
                    prop_assert!(accepts, "{:?} {:?}", text, query.expression());
                }
            }
        }

        #[test]
        fn a_whole_text_has_the_hits_of_its_lines(
            pattern in pattern().prop_filter("carriage returns", |text| !text.contains("(?R")),
            text in text(),
        ) {
            let Ok(query) = Query::regex(&pattern, Case::Sensitive) else {
                return Ok(());
            };
            prop_assert_eq!(lines_with_hits(&query, &text), lines_one_by_one(&query, &text));
        }

        #[test]
        fn a_literal_is_found_in_the_lines_that_contain_it(
            literal in "[ab.*\\[é]{0,4}", text in text(),
        ) {
            let query = Query::literal(&literal, Case::Sensitive).unwrap();
            let lines = text.strip_suffix(b"\n").unwrap_or(&text).split(|byte| *byte == b'\n');
            let expected: Vec<u64> = (1..)
                .zip(lines)
                .filter(|_| !text.is_empty())
                .filter(|(_, line)| memchr::memmem::find(line, literal.as_bytes()).is_some())
                .map(|(number, _)| number)
                .collect();
            prop_assert_eq!(lines_with_hits(&query, &text), expected);
        }
    }

    #[test]
    fn a_pattern_that_names_a_line_break_is_refused() {
        for pattern in ["a\nb", r"a\nb", "a\\\nb"] {
            let refused = Query::regex(pattern, Case::Sensitive);
            assert!(matches!(refused, Err(QueryError::LineBreak)), "{pattern:?}");
        }
        let refused = Query::literal("a\nb", Case::Sensitive);
        assert!(matches!(refused, Err(QueryError::LineBreak)));
    }

    #[test]
    fn a_class_that_includes_line_breaks_stays_within_the_line() {
        let query = Query::regex(r"a\s*b|x[^y]z|(?s)q.r", Case::Sensitive).unwrap();
        assert_eq!(lines_with_hits(&query, b"a\nb\nx\nz\nq\nr\na b\n"), [7]);
    }

    #[test]
    fn ascii_patterns_see_bytes_and_others_see_characters() {
        let regex = |pattern| Query::regex(pattern, Case::Ignored).unwrap();
        let text = "\u{e9}\n\u{c9}\n\u{212a}\n".as_bytes();
        assert_eq!(lines_with_hits(&regex("^..$"), text), [1, 2]);
        assert_eq!(lines_with_hits(&regex("(?u)^.$"), text), [1, 2, 3]);
        assert_eq!(lines_with_hits(&regex("\u{e9}"), text), [1, 2]);
        assert_eq!(lines_with_hits(&regex(r"\p{Lu}"), text), [1, 2, 3]);
        assert!(lines_with_hits(&regex("k"), text).is_empty());
        assert_eq!(lines_with_hits(&regex("^.$"), b"\xff\n"), [1]);
    }

    #[test]
    fn the_longest_literal_and_a_few_classes_of_letters_are_not_too_large() {
        let longest = "aé".repeat(MAX_PATTERN_BYTES / 3);
        assert!(Query::literal(&longest, Case::Ignored).is_ok());
        let longest = "k".repeat(MAX_PATTERN_BYTES);
        assert!(Query::literal(&longest, Case::Ignored).is_ok());
        let letters = r"(?u)\w+\s+\w+\W\w*\p{Lu}\p{Greek}";
        assert!(Query::regex(letters, Case::Ignored).is_ok());
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_a_typed_error() {
        let refusal = |pattern: &str| Query::regex(pattern, Case::Sensitive).err();
        assert!(matches!(refusal("a("), Some(QueryError::Syntax(_))));
        assert!(matches!(
            refusal(r"\p{Nothing}"),
            Some(QueryError::Syntax(_))
        ));
        assert!(matches!(
            refusal("(?u)\\w{5000}"),
            Some(QueryError::TooLarge(_))
        ));
        assert!(matches!(
            refusal(&"a".repeat(5_000)),
            Some(QueryError::TooLong)
        ));
        assert!(matches!(
            refusal(&"(".repeat(3_000)),
            Some(QueryError::Syntax(_))
        ));
    }
}
