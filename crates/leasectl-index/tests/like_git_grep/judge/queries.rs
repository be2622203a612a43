//! Patterns made from what the files contain.

use leasectl_index::{Case, Query};

use super::File;

/// A generator of random numbers (splitmix64).
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % sides as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.roll(choices.len())]
    }
}

#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) is_literal: bool,
    pub(crate) ignores_case: bool,
}

impl Pattern {
    /// Two in five are literal, a quarter ignores the case.
    pub(crate) fn from_content(dice: &mut Dice, files: &[File], number: usize) -> Self {
        let is_literal = number % 5 < 2;
        let ignores_case = number % 4 == 3;
        // Beyond ASCII a locale decides what a character is and which case it has.
        let ascii_only = ignores_case || !is_literal;
        let text = if is_literal {
            piece(dice, files, ascii_only)
        } else {
            expression(dice, files)
        };
        Self {
            text,
            is_literal,
            ignores_case,
        }
    }

    /// The query as it is asked of the index.
    pub(crate) fn query(&self) -> Query {
        let case = if self.ignores_case {
            Case::Ignored
        } else {
            Case::Sensitive
        };
        let query = if self.is_literal {
            Query::literal(&self.text, case)
        } else {
            Query::regex(&self.text, case)
        };
        query.unwrap()
    }
}

/// A part of some line: often a word, sometimes whatever stands there.
fn piece(dice: &mut Dice, files: &[File], ascii_only: bool) -> String {
    loop {
        let bytes = &dice.pick(files).bytes;
        if bytes.is_empty() {
            continue;
        }
        let start = dice.roll(bytes.len());
        let length = 1 + dice.roll(20);
        let part = &bytes[start..bytes.len().min(start + length)];
        let Ok(text) = std::str::from_utf8(part) else {
            continue;
        };
        let text = if dice.roll(2) == 0 {
            let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            text.split(is_other)
                .max_by_key(|word| word.len())
                .unwrap_or_default()
        } else {
            text
        };
        let is_plain = text.is_ascii() || !ascii_only;
        if !text.is_empty() && is_plain && !text.contains(['\n', '\0']) {
            return text.to_owned();
        }
    }
}

fn expression(dice: &mut Dice, files: &[File]) -> String {
    let (one, other) = (piece(dice, files, true), piece(dice, files, true));
    let one = varied(dice, &one);
    match dice.roll(8) {
        0 => format!("^{one}"),
        1 => format!("{one}$"),
        2 => format!("^[ \t]*{one}"),
        3 => format!("{one}|{}", varied(dice, &other)),
        4 => format!("({one}|{})+", escaped(&other)),
        5 => format!("{one}.*{}", escaped(&other)),
        6 => format!("{one}[^a-z]{{1,3}}{}", varied(dice, &other)),
        _ => one,
    }
}

/// Matches at least `text`, and perhaps more.
fn varied(dice: &mut Dice, text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = dice.roll(characters.len());
    let mut pattern = String::new();
    for (index, c) in characters.iter().enumerate() {
        let one = escaped(&c.to_string());
        if index != at {
            pattern.push_str(&one);
            continue;
        }
        pattern.push_str(&match dice.roll(9) {
            0 => ".".to_owned(),
            1 => ".*".to_owned(),
            2 => format!("{one}+"),
            3 => format!("{one}?"),
            4 => format!("({one}|xyz)"),
            5 => format!("{one}{{1,2}}"),
            6 if c.is_ascii_alphanumeric() => format!("[{c}q0-3]"),
            7 if !c.is_ascii_digit() => "[^0-9]".to_owned(),
            _ => one,
        });
    }
    pattern
}

/// The text with what extended expressions read as operators taken literally.
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        if r"\.[]{}()*+?^$|".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
