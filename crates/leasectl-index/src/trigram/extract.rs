//! Finds a blob's trigrams with one bit each.
//!
//! A table of 2²⁴ bits (2 MiB) does not fit the caches near the processor. Text has few different
//! bytes, so the bytes are numbered first; with at most 128 of them the table shrinks to 256 KiB. The
//! numbers keep the order of the bytes: the bits come out sorted, and nothing has to be.

use super::{MAX_TRIGRAMS, Trigram, TrigramVector};
use crate::stop::{STRIDE_BYTES, Stop, Stopped};

/// Words of the table with seven and with eight bits per byte.
const NARROW_WORDS: usize = 1 << 15;
const WIDE_WORDS: usize = 1 << 18;
/// Pairs of bytes with seven and with eight bits per byte.
const NARROW_PAIRS: usize = 1 << 14;
const WIDE_PAIRS: usize = 1 << 16;

/// Why a blob has no vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrigramExtractorError {
    /// Asked to stop, or out of time.
    #[error("the trigrams of a file were not finished")]
    Stopped(#[from] Stopped),
    /// More than [`MAX_TRIGRAMS`]; only a file above the limit of size can have them.
    #[error("the file has more than {MAX_TRIGRAMS} different trigrams")]
    TooMany,
}

/// Extracts one blob after the other with the same memory.
#[derive(Debug)]
pub struct TrigramExtractor {
    /// One bit per trigram; all zero between two blobs.
    words: Box<[u64]>,
    /// One byte per pair: whether a trigram that starts with it may be set; zero between two blobs.
    pairs: Box<[u8]>,
}

impl Default for TrigramExtractor {
    fn default() -> Self {
        Self {
            words: vec![0; WIDE_WORDS].into_boxed_slice(),
            pairs: vec![0; WIDE_PAIRS].into_boxed_slice(),
        }
    }
}

impl TrigramExtractor {
    /// An extractor that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The trigrams of `blob`.
    ///
    /// # Errors
    /// When `stop` says so, or the blob has too many.
    pub fn extract(
        &mut self,
        blob: &[u8],
        stop: &Stop<'_>,
    ) -> Result<TrigramVector, TrigramExtractorError> {
        stop.check()?;
        let alphabet = Alphabet::of(blob, stop)?;
        let mut trigrams = Vec::new();
        let done = if alphabet.symbols.len() <= 128 {
            self.mark::<7, NARROW_WORDS, NARROW_PAIRS>(blob, &alphabet, stop)
                .map(|()| self.collect::<7, NARROW_PAIRS>(&alphabet, &mut trigrams))
        } else {
            self.mark::<8, WIDE_WORDS, WIDE_PAIRS>(blob, &alphabet, stop)
                .map(|()| self.collect::<8, WIDE_PAIRS>(&alphabet, &mut trigrams))
        };
        if let Err(stopped) = done {
            self.words.fill(0);
            self.pairs.fill(0);
            return Err(stopped.into());
        }
        if trigrams.len() > MAX_TRIGRAMS {
            return Err(TrigramExtractorError::TooMany);
        }
        Ok(TrigramVector { trigrams })
    }

    /// Sets the bit of each trigram and the byte of each pair that starts one.
    fn mark<const BITS: usize, const WORDS: usize, const PAIRS: usize>(
        &mut self,
        blob: &[u8],
        alphabet: &Alphabet,
        stop: &Stop<'_>,
    ) -> Result<(), Stopped> {
        let (Some(words), Some(pairs)) = (
            self.words.first_chunk_mut::<WORDS>(),
            self.pairs.first_chunk_mut::<PAIRS>(),
        ) else {
            return Ok(());
        };
        // As if a line had ended before: what starts there is left out with all line breaks.
        let end = usize::from(alphabet.line_break);
        let mut place = end << BITS | end;
        for part in blob.chunks(STRIDE_BYTES) {
            stop.check()?;
            for byte in part {
                place = place << BITS | usize::from(alphabet.numbers[usize::from(*byte)]);
                words[place >> 6 & (WORDS - 1)] |= 1 << (place & 63);
                pairs[place >> BITS & (PAIRS - 1)] = 1;
            }
        }
        Ok(())
    }

    /// Takes every bit out again, in order.
    fn collect<const BITS: usize, const PAIRS: usize>(
        &mut self,
        alphabet: &Alphabet,
        trigrams: &mut Vec<Trigram>,
    ) {
        let words_per_pair = (1 << BITS) / 64;
        let (marks, _) = self.pairs[..PAIRS].as_chunks_mut::<8>();
        for (group, marks) in marks.iter_mut().enumerate() {
            if *marks == [0; 8] {
                continue;
            }
            for (offset, mark) in marks.iter_mut().enumerate() {
                if std::mem::take(mark) == 0 {
                    continue;
                }
                let pair = group * 8 + offset;
                let words = &mut self.words[pair * words_per_pair..][..words_per_pair];
                alphabet.spell::<BITS>(pair, words, trigrams);
            }
        }
    }
}

/// The different bytes of a blob, numbered.
struct Alphabet {
    /// The bytes in ascending order, and last the line break, whether it occurs or not.
    symbols: Vec<u8>,
    numbers: [u8; 256],
    line_break: u8,
}

impl Alphabet {
    fn of(blob: &[u8], stop: &Stop<'_>) -> Result<Self, Stopped> {
        let mut seen = [false; 256];
        if blob.is_ascii() {
            // Few enough as they are; looking which of them occur would only take time.
            seen[..128].fill(true);
        } else {
            for part in blob.chunks(STRIDE_BYTES) {
                stop.check()?;
                for byte in part {
                    seen[usize::from(*byte)] = true;
                }
            }
        }
        seen[usize::from(b'\n')] = false;
        let mut symbols: Vec<u8> = (0..=u8::MAX)
            .filter(|byte| seen[usize::from(*byte)])
            .collect();
        symbols.push(b'\n');
        let mut numbers = [0; 256];
        for (number, symbol) in (0..=u8::MAX).zip(&symbols) {
            numbers[usize::from(*symbol)] = number;
        }
        let line_break = numbers[usize::from(b'\n')];
        Ok(Self {
            symbols,
            numbers,
            line_break,
        })
    }

    /// Writes down the trigrams that start with `pair`, and clears them.
    fn spell<const BITS: usize>(
        &self,
        pair: usize,
        words: &mut [u64],
        trigrams: &mut Vec<Trigram>,
    ) {
        let line_break = usize::from(self.line_break);
        let (first, second) = (pair >> BITS, pair & ((1 << BITS) - 1));
        let keep = first != line_break && second != line_break;
        for (index, word) in words.iter_mut().enumerate() {
            let mut rest = std::mem::take(word);
            while keep && rest != 0 {
                let third = index * 64 + rest.trailing_zeros() as usize;
                rest &= rest - 1;
                if third != line_break {
                    trigrams.push(Trigram::new([
                        self.symbols[first],
                        self.symbols[second],
                        self.symbols[third],
                    ]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;

    fn extract(blob: &[u8]) -> Vec<Trigram> {
        let never = AtomicBool::new(false);
        let vector = TrigramExtractor::new().extract(blob, &Stop::when(&never));
        vector.unwrap().trigrams
    }

    fn by_definition(blob: &[u8]) -> Vec<Trigram> {
        let set: BTreeSet<Trigram> = blob
            .split(|byte| *byte == b'\n')
            .flat_map(|line| line.windows(3))
            .map(|window| Trigram::new([window[0], window[1], window[2]]))
            .collect();
        set.into_iter().collect()
    }

    proptest! {
        #[test]
        fn a_vector_holds_what_stands_in_the_lines(
            blobs in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..2_000),
                    prop::collection::vec(b'\n'..b'\x10', 0..500),
                ],
                1..4,
            ),
        ) {
            let (never, mut extractor) = (AtomicBool::new(false), TrigramExtractor::new());
            for blob in blobs {
                let vector = extractor.extract(&blob, &Stop::when(&never)).unwrap();
                prop_assert_eq!(vector.trigrams, by_definition(&blob));
            }
        }
    }

    #[test]
    fn every_byte_may_occur_at_once() {
        let blob: Vec<u8> = (0..=u8::MAX)
            .flat_map(|byte| [byte, b'x', 255 - byte])
            .collect();
        assert_eq!(extract(&blob), by_definition(&blob));
    }

    #[test]
    fn a_file_with_too_many_trigrams_is_refused_and_leaves_nothing_behind() {
        let never = AtomicBool::new(false);
        let mut extractor = TrigramExtractor::new();
        let blob: Vec<u8> = (0..u32::try_from(MAX_TRIGRAMS).unwrap() + 50_000)
            .flat_map(|number| {
                let [_, first, second, third] = (number * 11).to_be_bytes();
                [first, second, third, b'\n']
            })
            .collect();
        let refused = extractor.extract(&blob, &Stop::when(&never)).err();
        assert_eq!(refused, Some(TrigramExtractorError::TooMany));
        let vector = extractor.extract(b"abcd", &Stop::when(&never)).unwrap();
        assert_eq!(vector.trigrams, by_definition(b"abcd"));
    }

    #[test]
    fn a_stopped_extraction_says_so() {
        let asked = AtomicBool::new(true);
        let stopped = TrigramExtractor::new().extract(b"abc", &Stop::when(&asked));
        assert_eq!(stopped, Err(TrigramExtractorError::Stopped(Stopped::Asked)));
    }
}
