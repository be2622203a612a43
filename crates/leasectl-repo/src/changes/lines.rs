//! Which lines differ between two texts, as Git finds them with its default settings.

use std::ops::Range;

use gix::bstr::ByteSlice as _;
use gix::diff::blob::sources::byte_lines;
use gix::diff::blob::{Algorithm, Diff, IndentHeuristic, IndentLevel, InternedInput};

/// The most lines of both texts together: the time that is needed grows faster than the lines.
const MOST_LINES: usize = 500_000;

/// How far a tab indents, to Git.
const TAB_WIDTH: u8 = 8;

/// How far Git looks for a NUL byte.
const BINARY_BYTES: usize = 8_000;

/// Lines that give way to others; lines count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) old: Range<u32>,
    pub(super) new: Range<u32>,
}

impl Hunk {
    /// The hunk of a file that is new (`old` is empty), or gone (`new` is).
    pub(super) fn whole(old: &[u8], new: &[u8]) -> Option<Self> {
        let (old, new) = (count(old), count(new));
        let hunk = Self {
            old: 0..u32::try_from(old).unwrap_or(u32::MAX),
            new: 0..u32::try_from(new).unwrap_or(u32::MAX),
        };
        (old + new > 0).then_some(hunk)
    }

    pub(super) fn old_lines(&self) -> u32 {
        self.old.end - self.old.start
    }

    pub(super) fn new_lines(&self) -> u32 {
        self.new.end - self.new.start
    }
}

/// Whether Git takes it for something else than text.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    let beginning = bytes.get(..BINARY_BYTES).unwrap_or(bytes);
    beginning.find_byte(0).is_some()
}

/// How many lines a text has; the last one needs no line feed.
fn count(text: &[u8]) -> usize {
    let unfinished = text.last().is_some_and(|&byte| byte != b'\n');
    text.find_iter("\n").count() + usize::from(unfinished)
}

/// What is asked of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// How many lines differ. Where equal lines allow it, they may stand elsewhere.
    Counts,
    /// Which ones. Of equal lines it is the one that makes most sense to a reader.
    Lines,
    /// Which ones Git shows if it shows no lines around.
    Places,
}

/// The differences in order, or nothing if there are too many lines. They are as many as Git counts.
pub(super) fn compare(old: &[u8], new: &[u8], asked: Asked) -> Option<Vec<Hunk>> {
    if old.is_empty() || new.is_empty() {
        return Some(Hunk::whole(old, new).into_iter().collect());
    }
    // No text has more lines than bytes.
    if old.len() + new.len() > MOST_LINES && count(old) + count(new) > MOST_LINES {
        return None;
    }
    let input = InternedInput::new(byte_lines(old), byte_lines(new));
    let counted = hunks(&input, 0, asked);
    let (beginning, _) = without_common_end(old, new);
    if asked != Asked::Places || beginning.len() == old.len() {
        return Some(counted);
    }
    // When Git shows no lines around, it looks at less of the texts, and may even find other lines than it
    // counted. What was counted is what counts.
    let placed = hunks(&input, count(&old[beginning.len()..]), asked);
    let lines = |hunks: &[Hunk]| {
        hunks
            .iter()
            .map(|hunk| u64::from(hunk.new_lines()))
            .sum::<u64>()
    };
    Some(if lines(&placed) == lines(&counted) {
        placed
    } else {
        counted
    })
}

/// The differences, without a look at so many lines at the end of both.
fn hunks(input: &InternedInput<&[u8]>, left_off: usize, asked: Asked) -> Vec<Hunk> {
    let before = &input.before[..input.before.len() - left_off];
    let after = &input.after[..input.after.len() - left_off];
    let mut diff = Diff::default();
    diff.compute_with(Algorithm::Myers, before, after, input.interner.num_tokens());
    if asked != Asked::Counts {
        let indent = |token| {
            let line = input.interner[token].iter().copied();
            IndentLevel::for_ascii_line(line, TAB_WIDTH)
        };
        diff.postprocess_with(before, after, IndentHeuristic::new(indent));
    }
    let hunks = diff.hunks().map(|hunk| Hunk {
        old: hunk.before,
        new: hunk.after,
    });
    hunks.collect()
}

/// Git leaves off equal ends in blocks if it shows no lines around. How often a line occurs in what remains
/// decides which lines it sees as changed, so the same bytes have to remain.
fn without_common_end<'a>(old: &'a [u8], new: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    const BLOCK_BYTES: usize = 1024;
    let blocks = old
        .rchunks_exact(BLOCK_BYTES)
        .zip(new.rchunks_exact(BLOCK_BYTES));
    let equal = blocks.take_while(|(old, new)| old == new).count() * BLOCK_BYTES;
    let end = &old[old.len() - equal..];
    // The line in which the equal part begins stays.
    let kept = end.find_byte(b'\n').map_or(equal, |at| at + 1);
    let cut = equal - kept;
    (&old[..old.len() - cut], &new[..new.len() - cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_with_the_unfinished_last_one() {
        for (text, lines) in [
            ("", 0),
            ("\n", 1),
            ("a", 1),
            ("a\n", 1),
            ("a\nb", 2),
            ("\n\n", 2),
        ] {
            assert_eq!(count(text.as_bytes()), lines, "{text:?}");
        }
    }

    #[test]
    fn only_the_beginning_decides_what_is_binary() {
        let mut bytes = vec![b'a'; 8_001];
        bytes[8_000] = 0;
        assert!(!is_binary(&bytes));
        bytes[7_999] = 0;
        assert!(is_binary(&bytes));
        assert!(!is_binary(b""));
    }

    #[test]
    fn equal_ends_are_left_off_in_blocks_and_up_to_a_line() {
        let end = format!("x\n{}", "y".repeat(2_000));
        let (old, new) = (format!("a\n{end}"), format!("b\n{end}"));
        let (old_left, new_left) = without_common_end(old.as_bytes(), new.as_bytes());
        assert_eq!((old_left.len(), new_left.len()), (old.len(), new.len()));
        let end = "y\n".repeat(1_000);
        let (old, new) = (format!("a\n{end}"), format!("b\n{end}"));
        let (old_left, new_left) = without_common_end(old.as_bytes(), new.as_bytes());
        assert_eq!(old_left.len(), old.len() - 1024 + 2);
        assert_eq!(new_left.len(), new.len() - 1024 + 2);
    }

    #[test]
    fn the_lines_that_are_counted_are_as_many_wherever_they_are_placed() {
        let old = "a\n{\n}\n".repeat(300);
        let new = old.replacen("{\n}\n", "{\n}\n{\n}\n", 3);
        let (old, new) = (old.as_bytes(), new.as_bytes());
        let all = [Asked::Counts, Asked::Lines, Asked::Places];
        let added = all.map(|asked| {
            let hunks = compare(old, new, asked).unwrap();
            hunks.iter().map(Hunk::new_lines).sum::<u32>()
        });
        assert_eq!(added, [6; 3]);
    }

    #[test]
    fn too_many_lines_are_not_compared() {
        let (old, new) = ("a\n".repeat(300_000), "b\n".repeat(300_000));
        assert_eq!(compare(old.as_bytes(), new.as_bytes(), Asked::Lines), None);
        assert_eq!(
            compare(b"", new.as_bytes(), Asked::Lines).map(|hunks| hunks.len()),
            Some(1)
        );
    }
}
