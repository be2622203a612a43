//! The lines of one text that match: what the trigrams promised, confirmed.
//!
//! The engine runs over many lines at once and line breaks are looked for only around what it finds.
//!
//! **Invariants**
//! - There is one hit for each line with a match, at the line's first match, in order.
//! - A long text is scanned in pieces of whole lines, and a stop is heard between two pieces.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr_iter, memrchr};
use regex_automata::Input;

use crate::Query;
use crate::stop::{STRIDE_BYTES, Stop, Stopped};

impl Query {
    /// Starts to look for this pattern in `text`.
    #[must_use]
    pub const fn scan<'q, 't>(&'q self, text: &'t [u8]) -> Scan<'q, 't> {
        Scan {
            query: self,
            text,
            next: 0,
            counted_to: 0,
            line: 1,
        }
    }
}

/// A search through one text.
#[derive(Debug)]
pub struct Scan<'q, 't> {
    query: &'q Query,
    text: &'t [u8],
    /// Where the first line begins that was not searched.
    next: usize,
    /// Line breaks before this offset are counted in `line`.
    counted_to: usize,
    line: u64,
}

impl<'t> Scan<'_, 't> {
    /// The next line with a match.
    ///
    /// # Errors
    /// When `stop` says so. The scan goes on where it was if it is asked again.
    pub fn next_hit(&mut self, stop: &Stop<'_>) -> Result<Option<Hit<'t>>, Stopped> {
        while self.next < self.text.len() {
            stop.check()?;
            let piece = self.next..self.end_of_piece();
            let input = Input::new(self.text).range(piece.clone());
            let Some(found) = self.query.find(&input) else {
                self.next = piece.end + 1;
                continue;
            };
            let before = &self.text[piece.start..found.start()];
            let start = memrchr(b'\n', before).map_or(piece.start, |at| piece.start + at + 1);
            let after = &self.text[found.end()..piece.end];
            let end = memchr(b'\n', after).map_or(piece.end, |at| found.end() + at);
            let breaks = memchr_iter(b'\n', &self.text[self.counted_to..start]).count();
            self.line += breaks as u64;
            self.counted_to = start;
            self.next = end + 1;
            return Ok(Some(Hit {
                text: self.text,
                line: self.line,
                span: start..end,
                matched: found.range(),
            }));
        }
        Ok(None)
    }

    /// The offset of a line break, or of the end, some way on.
    fn end_of_piece(&self) -> usize {
        let target = self.next + STRIDE_BYTES;
        let rest = self.text.get(target..).unwrap_or_default();
        match memchr(b'\n', rest) {
            Some(at) => target + at,
            None => self.text.len() - usize::from(self.text.ends_with(b"\n")),
        }
    }
}

/// A line that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit<'t> {
    text: &'t [u8],
    line: u64,
    span: Range<usize>,
    matched: Range<usize>,
}

impl<'t> Hit<'t> {
    /// The number of the line, from 1.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Where in the line the first match begins, in bytes, from 1.
    #[must_use]
    pub const fn column(&self) -> u64 {
        (self.matched.start - self.span.start) as u64 + 1
    }

    /// The line without what ends it, be it `\n` or `\r\n`.
    #[must_use]
    pub fn bytes(&self) -> &'t [u8] {
        without_return(&self.text[self.span.clone()])
    }

    /// What stands before the match in its line.
    pub(crate) fn lead(&self) -> &'t [u8] {
        &self.text[self.span.start..self.matched.start]
    }

    /// The line as people read it: at most `limit_bytes` of it, from its start, or from shortly before
    /// the match where that would be cut off.
    #[must_use]
    pub fn excerpt(&self, limit_bytes: usize) -> Excerpt {
        let line = self.bytes();
        let matched = self.matched.start - self.span.start..self.matched.end - self.span.start;
        let start = if matched.end.min(line.len()) <= limit_bytes {
            0
        } else {
            char_start(line, matched.start.saturating_sub(limit_bytes / 4))
        };
        let end = char_start(line, line.len().min(start.saturating_add(limit_bytes)));
        // A match may begin or end inside a character, which is shown whole.
        let (from, to) = (
            char_start(line, matched.start).clamp(start, end),
            char_end(line, matched.end).clamp(start, end),
        );
        let before = lossy(&line[start..from]);
        let inside = lossy(&line[from..to]);
        let mut text = before.into_owned();
        let matched = text.len()..text.len() + inside.len();
        text.push_str(&inside);
        text.push_str(&lossy(&line[to..end]));
        Excerpt {
            text,
            matched,
            cut: start > 0 || end < line.len(),
        }
    }

    /// Up to `count` lines before this one, in the order of the text.
    #[must_use]
    pub fn before(&self, count: usize) -> Vec<&'t [u8]> {
        let mut lines = Vec::new();
        let mut start = self.span.start;
        while lines.len() < count && start > 0 {
            let end = start - 1;
            start = memrchr(b'\n', &self.text[..end]).map_or(0, |at| at + 1);
            lines.push(without_return(&self.text[start..end]));
        }
        lines.reverse();
        lines
    }

    /// Up to `count` lines after this one.
    #[must_use]
    pub fn after(&self, count: usize) -> Vec<&'t [u8]> {
        let mut lines = Vec::new();
        let mut rest = self.text.get(self.span.end + 1..).unwrap_or_default();
        while lines.len() < count && !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            lines.push(without_return(&rest[..end]));
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        lines
    }
}

/// A readable part of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The text; what is no UTF-8 is replaced by U+FFFD.
    pub text: String,
    /// The match in `text`, in bytes.
    pub matched: Range<usize>,
    /// Whether a part of the line is missing.
    pub cut: bool,
}

/// A line as people read it, at most `limit_bytes` of it.
#[must_use]
pub fn readable(line: &[u8], limit_bytes: usize) -> String {
    lossy(&line[..char_start(line, line.len().min(limit_bytes))]).into_owned()
}

fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The offset of the character that `at` is inside of; `at` where the bytes are no UTF-8.
fn char_start(line: &[u8], at: usize) -> usize {
    let is_inner = |at: usize| line.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|at| !is_inner(*at))
        .unwrap_or(at)
}

/// The offset of the end of the character that `at` is inside of; `at` between two characters.
fn char_end(line: &[u8], at: usize) -> usize {
    let last = at.saturating_add(3).min(line.len());
    (at..=last)
        .find(|end| char_start(line, *end) == *end)
        .unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Case;
    use crate::testing::{lines_with_hits, never};

    fn first_hit<'t>(pattern: &str, text: &'t [u8]) -> Hit<'t> {
        let query = Query::regex(pattern, Case::Sensitive).unwrap();
        query.scan(text).next_hit(&never()).unwrap().unwrap()
    }

    #[test]
    fn a_text_has_as_many_lines_as_it_shows() {
        let empty = Query::literal("", Case::Sensitive).unwrap();
        assert!(lines_with_hits(&empty, b"").is_empty());
        assert_eq!(lines_with_hits(&empty, b"\n"), [1]);
        assert_eq!(lines_with_hits(&empty, b"a\n"), [1]);
        assert_eq!(lines_with_hits(&empty, b"a\nb"), [1, 2]);
        assert_eq!(lines_with_hits(&empty, b"\n\nb\n\n"), [1, 2, 3, 4]);
        let blank = Query::regex("^$", Case::Sensitive).unwrap();
        assert_eq!(lines_with_hits(&blank, b"\na\n\n"), [1, 3]);
    }

    #[test]
    fn a_line_is_one_hit_at_its_first_match() {
        let text = b"no\nxx ab ab\nab";
        let hit = first_hit("ab", text);
        assert_eq!(
            (hit.line(), hit.column(), hit.bytes()),
            (2, 4, &b"xx ab ab"[..])
        );
        let query = Query::literal("ab", Case::Sensitive).unwrap();
        assert_eq!(lines_with_hits(&query, text), [2, 3]);
    }

    #[test]
    fn the_end_of_a_line_is_before_its_break_and_behind_a_carriage_return() {
        let dollar = Query::regex("a$", Case::Sensitive).unwrap();
        assert_eq!(lines_with_hits(&dollar, b"a\r\na\nba"), [2, 3]);
        assert_eq!(first_hit("a", b"a\r\n").bytes(), b"a");
        let hit = first_hit("\r", b"a\r\n");
        assert_eq!(hit.excerpt(10).text, "a");
        assert_eq!(hit.excerpt(10).matched, 1..1);
    }

    #[test]
    fn a_text_longer_than_one_piece_is_searched_to_its_end() {
        let mut text = Vec::new();
        for number in 0..40_000 {
            text.extend(format!("line {number}\n").bytes());
        }
        let query = Query::regex("99$", Case::Sensitive).unwrap();
        let lines = lines_with_hits(&query, &text);
        assert_eq!(lines.len(), 400);
        assert_eq!(lines.last(), Some(&40_000));
    }

    #[test]
    fn one_line_without_end_is_one_hit_with_a_short_excerpt() {
        let mut text = vec![b'x'; 5_000_000];
        text.extend("é needle é".bytes());
        text.resize(10_000_000, 0xff);
        let hit = first_hit("needle", &text);
        assert_eq!((hit.line(), hit.column()), (1, 5_000_004));
        let excerpt = hit.excerpt(40);
        assert!(excerpt.cut);
        assert_eq!(&excerpt.text[excerpt.matched.clone()], "needle");
        assert!(excerpt.text.starts_with("xxxxxxx") && excerpt.text.chars().count() <= 40);
    }

    #[test]
    fn an_excerpt_cuts_no_character_in_two() {
        let text = "ééééé".as_bytes();
        for limit in 0..12 {
            let excerpt = first_hit("é", text).excerpt(limit);
            assert!(!excerpt.text.contains('\u{fffd}'), "{limit} {excerpt:?}");
            assert!(excerpt.text.len() <= limit);
        }
        assert_eq!(readable("aé".as_bytes(), 2), "a");
    }

    #[test]
    fn a_match_inside_a_character_shows_it_whole() {
        let text = "pub 😀".as_bytes();
        let hit = first_hit("[^0-9]$", text);
        let excerpt = hit.excerpt(100);
        assert_eq!((hit.column(), excerpt.text.as_str()), (8, "pub 😀"));
        assert_eq!(&excerpt.text[excerpt.matched], "😀");
    }

    #[test]
    fn context_stops_at_the_ends_of_the_text() {
        let hit = first_hit("c", b"a\r\nb\nc\nd\n");
        assert_eq!(hit.before(1), [b"b"]);
        assert_eq!(hit.before(9), [b"a", b"b"]);
        assert_eq!(hit.after(9), [b"d"]);
        assert!(hit.after(0).is_empty());
        assert!(first_hit("c", b"c").after(3).is_empty());
    }

    #[test]
    fn a_stop_is_heard() {
        let asked = std::sync::atomic::AtomicBool::new(true);
        let query = Query::literal("a", Case::Sensitive).unwrap();
        let stopped = query.scan(b"a").next_hit(&Stop::when(&asked));
        assert_eq!(stopped, Err(Stopped::Asked));
    }
}
