//! How alike two files are, on the scale by which Git pairs renames.
//!
//! A file is a bag of its lines, long ones in pieces. What counts is how many bytes of the one are in the
//! other, as a share of the larger one. The pieces fall into the same buckets as in Git, so that the scores,
//! and with them the pairs, are Git's.

/// What two equal files reach.
pub(super) const MOST: u64 = 60_000;

/// What a pair must reach to be a rename: half.
pub(super) const LEAST: u64 = 30_000;

/// What a pair whose names are equal, and unlike any other's, must reach to be a rename without a look at
/// other pairs: half-way between the least and the most.
pub(super) const LEAST_OF_EQUAL_NAMES: u64 = 45_000;

const PIECE_BYTES: u32 = 64;
const BUCKETS: u32 = 107_927;

/// The pieces of a file: per bucket, in order, how many bytes fell into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    counts: Vec<(u32, u32)>,
    bytes: u64,
}

impl Pieces {
    pub(super) fn of(content: &[u8], is_binary: bool) -> Self {
        let mut counts = Vec::new();
        let mut piece = Piece::default();
        for (at, &byte) in content.iter().enumerate() {
            let ends_line = !is_binary && byte == b'\r' && content.get(at + 1) == Some(&b'\n');
            if ends_line {
                continue;
            }
            piece.push(byte);
            if piece.bytes == PIECE_BYTES || byte == b'\n' {
                counts.push(piece.finish());
            }
        }
        if piece.bytes > 0 {
            counts.push(piece.finish());
        }
        counts.sort_unstable_by_key(|&(bucket, _)| bucket);
        counts.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        Self {
            counts,
            bytes: content.len() as u64,
        }
    }

    /// From 0 to [`MOST`].
    pub(super) fn score(&self, new: &Self) -> u64 {
        let mut common = 0;
        let mut others = new.counts.iter().peekable();
        for &(bucket, bytes) in &self.counts {
            while others.next_if(|other| other.0 < bucket).is_some() {}
            if let Some(&(_, other_bytes)) = others.next_if(|other| other.0 == bucket) {
                common += u64::from(bytes.min(other_bytes));
            }
        }
        let larger = self.bytes.max(new.bytes);
        (common * MOST).checked_div(larger).unwrap_or(0)
    }
}

/// Whether files of such sizes can reach a score at all.
pub(super) fn is_possible(old_bytes: u64, new_bytes: u64, least: u64) -> bool {
    let larger = u128::from(old_bytes.max(new_bytes));
    let difference = u128::from(old_bytes.abs_diff(new_bytes));
    larger * u128::from(MOST - least) >= difference * u128::from(MOST)
}

/// A piece that is being read: two words that the bytes are shifted through, as if they were one.
#[derive(Default)]
struct Piece {
    low: u32,
    high: u32,
    bytes: u32,
}

impl Piece {
    fn push(&mut self, byte: u8) {
        let both = (u64::from(self.high) << 32 | u64::from(self.low)).rotate_left(7);
        self.low = u32::try_from(both & u64::from(u32::MAX)).unwrap_or_default();
        self.high = u32::try_from(both >> 32).unwrap_or_default();
        self.low = self.low.wrapping_add(u32::from(byte));
        self.bytes += 1;
    }

    /// Its bucket and its length; the next piece starts.
    fn finish(&mut self) -> (u32, u32) {
        let Self { low, high, bytes } = std::mem::take(self);
        let bucket = low.wrapping_add(high.wrapping_mul(0x61)) % BUCKETS;
        (bucket, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(old: &str, new: &str) -> u64 {
        Pieces::of(old.as_bytes(), false).score(&Pieces::of(new.as_bytes(), false))
    }

    #[test]
    fn equal_files_reach_the_most_and_others_their_share() {
        assert_eq!(score("a\nb\n", "b\na\n"), MOST);
        assert_eq!(score("a\nb\n", "a\nc\n"), MOST / 2);
        assert_eq!(score("a\n", "c\n"), 0);
        assert_eq!(score("", ""), 0);
        assert_eq!(score("a\nb\nc\nd\n", "a\n"), MOST / 4);
    }

    #[test]
    fn line_endings_count_in_what_is_binary_only() {
        assert_eq!(score("a\r\nb\r\n", "a\nb\n"), 4 * MOST / 6);
        let old = Pieces::of(b"a\r\nb\r\n", true);
        assert_eq!(old.score(&Pieces::of(b"a\nb\n", true)), 0);
    }

    #[test]
    fn sizes_that_are_too_different_cannot_reach_a_score() {
        assert!(is_possible(50, 100, LEAST));
        assert!(!is_possible(49, 100, LEAST));
        assert!(!is_possible(0, 1, LEAST));
        assert!(is_possible(u64::MAX, u64::MAX, LEAST));
    }
}
