//! How a vector is stored.
//!
//! A trigram `abc` exists only where the pairs `ab` and `bc` do. So the bytes are stored first, then
//! which byte follows which, and then for each pair only which of the second byte's followers
//! complete it. In source code a pair has some sixteen candidates of which two or three are taken; a
//! trigram costs about five bits. Each set is stored by its middle first, which halves the ranges of
//! what remains (binary interpolative coding, Moffat and Stuiver 2000). General compressors of the
//! sorted numbers' differences need twice the space: 13.7 % of the source for zstd, 8 % for this.
//!
//! The layout: a byte with the version; the number of trigrams as a LEB128 varint; the bits of the
//! sets; zeros up to a full byte.
//!
//! **Invariant** – Each number is read in a range that was known before it, so whatever the bytes are,
//! what comes out is sorted and within bounds. Only the end can be wrong, and is checked.

use super::bits::{BitReader, BitWriter};
use super::{MAX_TRIGRAMS, Trigram};
use crate::varint::{put_varint, take_varint};

const FORMAT: u8 = 1;

/// Why bytes are not a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrigramVectorError {
    /// Empty, or of a version that this program does not know.
    #[error("the trigrams are stored in a form that this program does not know")]
    Format,
    /// It says that it has more than [`MAX_TRIGRAMS`] entries.
    #[error("the stored trigrams claim more than {MAX_TRIGRAMS} entries")]
    TooMany,
    /// Cut off, continued, or altered.
    #[error("the stored trigrams are damaged")]
    Damaged,
}

/// Which bytes occur, and which follow each.
struct Followers {
    /// The bytes that occur, ascending.
    symbols: Vec<u8>,
    /// The followers of each byte, ascending, one list after the other.
    all: Vec<u8>,
    starts: [usize; 257],
}

impl Followers {
    fn of(&self, byte: u8) -> &[u8] {
        let index = usize::from(byte);
        &self.all[self.starts[index]..self.starts[index + 1]]
    }

    fn collect(trigrams: &[Trigram]) -> Self {
        let mut sets = vec![ByteSet::default(); 256];
        for trigram in trigrams {
            let [first, second, third] = trigram.bytes();
            sets[usize::from(first)].insert(second);
            sets[usize::from(second)].insert(third);
        }
        let mut occurring = ByteSet::default();
        for (byte, set) in (0..=u8::MAX).zip(&sets) {
            if set.add_to(&mut occurring) {
                occurring.insert(byte);
            }
        }
        let (mut symbols, mut all, mut starts) = (Vec::new(), Vec::new(), [0; 257]);
        occurring.list(&mut symbols);
        for (set, start) in sets.iter().zip(&mut starts[1..]) {
            set.list(&mut all);
            *start = all.len();
        }
        Self {
            symbols,
            all,
            starts,
        }
    }
}

/// A set of bytes.
#[derive(Clone, Copy, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Adds the members to the other set; whether there are any.
    fn add_to(&self, other: &mut Self) -> bool {
        let mut any = 0;
        for (word, other) in self.0.iter().zip(&mut other.0) {
            *other |= word;
            any |= word;
        }
        any != 0
    }

    /// Appends the members in ascending order.
    fn list(&self, members: &mut Vec<u8>) {
        for (start, mut word) in (0..=u8::MAX).step_by(64).zip(self.0) {
            while word != 0 {
                members.push(start + low_byte(word.trailing_zeros()));
                word &= word - 1;
            }
        }
    }
}

/// The place of each pair among the followers of its first byte.
struct PairPlaces {
    /// The place of each byte among those that occur.
    numbers: [u8; 256],
    width: usize,
    places: Vec<u8>,
}

impl PairPlaces {
    fn among(followers: &Followers) -> Self {
        let width = followers.symbols.len();
        let mut pairs = Self {
            numbers: [0; 256],
            width,
            places: vec![0; width * width],
        };
        for (number, symbol) in (0..=u8::MAX).zip(&followers.symbols) {
            pairs.numbers[usize::from(*symbol)] = number;
        }
        for first in &followers.symbols {
            for (place, second) in (0..=u8::MAX).zip(followers.of(*first)) {
                let index = pairs.index(*first, *second);
                pairs.places[index] = place;
            }
        }
        pairs
    }

    fn index(&self, first: u8, second: u8) -> usize {
        let number = |byte: u8| usize::from(self.numbers[usize::from(byte)]);
        number(first) * self.width + number(second)
    }

    fn of(&self, first: u8, second: u8) -> u32 {
        u32::from(self.places[self.index(first, second)])
    }
}

pub(super) fn encode(trigrams: &[Trigram]) -> Vec<u8> {
    let mut head = vec![FORMAT];
    put_varint(&mut head, count_of(trigrams));
    let mut bits = BitWriter::after(head);
    let followers = Followers::collect(trigrams);
    let pairs = PairPlaces::among(&followers);
    let symbols = count_of(&followers.symbols);
    let mut ranks: Vec<u32> = followers
        .symbols
        .iter()
        .map(|byte| u32::from(*byte))
        .collect();
    bits.put_below(symbols, 257);
    put_set(&mut bits, &ranks, 0, 256);
    for symbol in &followers.symbols {
        let next = followers.of(*symbol).iter();
        ranks.clear();
        ranks.extend(next.map(|next| u32::from(pairs.numbers[usize::from(*next)])));
        bits.put_below(count_of(&ranks), symbols + 1);
        put_set(&mut bits, &ranks, 0, symbols);
    }
    let mut rest = trigrams;
    for first in &followers.symbols {
        for second in followers.of(*first) {
            let pair = u32::from(u16::from_be_bytes([*first, *second]));
            let count = rest
                .iter()
                .take_while(|one| one.number() >> 8 == pair)
                .count();
            let (taken, others) = rest.split_at(count);
            rest = others;
            ranks.clear();
            ranks.extend(taken.iter().map(|one| pairs.of(*second, one.bytes()[2])));
            put_counted(&mut bits, &ranks, count_of(followers.of(*second)));
        }
    }
    bits.finish()
}

pub(super) fn decode(payload: &[u8]) -> Result<Vec<Trigram>, TrigramVectorError> {
    let Some((&FORMAT, rest)) = payload.split_first() else {
        return Err(TrigramVectorError::Format);
    };
    let (total, rest) = take_varint(rest).ok_or(TrigramVectorError::Damaged)?;
    let total = total as usize;
    if total > MAX_TRIGRAMS {
        return Err(TrigramVectorError::TooMany);
    }
    let mut bits = BitReader::new(rest);
    let followers = take_followers(&mut bits);
    let mut trigrams = Vec::with_capacity(total);
    let mut ranks = Vec::new();
    for first in &followers.symbols {
        for second in followers.of(*first) {
            let candidates = followers.of(*second);
            take_counted(&mut bits, candidates.len(), &mut ranks)?;
            trigrams.extend(
                ranks
                    .iter()
                    .map(|rank| Trigram::new([*first, *second, candidates[*rank as usize]])),
            );
            if trigrams.len() > total || bits.is_overdrawn() {
                return Err(TrigramVectorError::Damaged);
            }
        }
    }
    if trigrams.len() == total && bits.is_finished() {
        Ok(trigrams)
    } else {
        Err(TrigramVectorError::Damaged)
    }
}

fn take_followers(bits: &mut BitReader<'_>) -> Followers {
    let count = bits.take_below(257);
    let mut ranks = Vec::new();
    take_set(bits, count, 0, 256, &mut ranks);
    let mut followers = Followers {
        symbols: ranks.iter().map(|rank| low_byte(*rank)).collect(),
        all: Vec::new(),
        starts: [0; 257],
    };
    let mut rest = followers.symbols.iter().peekable();
    for byte in 0..=u8::MAX {
        if rest.next_if_eq(&&byte).is_some() {
            ranks.clear();
            let length = bits.take_below(count + 1);
            take_set(bits, length, 0, count, &mut ranks);
            let next = ranks.iter().map(|rank| followers.symbols[*rank as usize]);
            followers.all.extend(next);
        }
        followers.starts[usize::from(byte) + 1] = followers.all.len();
    }
    followers
}

/// A set of numbers below `limit` and how many they are: one is by far the most frequent.
fn put_counted(bits: &mut BitWriter, set: &[u32], limit: u32) {
    match set {
        _ if limit == 0 => {}
        [] => bits.put_gamma(2),
        [one] => {
            bits.put_gamma(1);
            bits.put_below(*one, limit);
        }
        more => {
            bits.put_gamma(count_of(more) + 1);
            put_set(bits, more, 0, limit);
        }
    }
}

/// Reads what [`put_counted`] wrote into `set`.
fn take_counted(
    bits: &mut BitReader<'_>,
    limit: usize,
    set: &mut Vec<u32>,
) -> Result<(), TrigramVectorError> {
    set.clear();
    let limit = u32::try_from(limit).map_err(|_| TrigramVectorError::Damaged)?;
    if limit == 0 {
        return Ok(());
    }
    let count = match bits.take_gamma() {
        Some(1) => {
            set.push(bits.take_below(limit));
            return Ok(());
        }
        Some(2) => return Ok(()),
        Some(more) if more <= limit + 1 => more - 1,
        Some(_) | None => return Err(TrigramVectorError::Damaged),
    };
    take_set(bits, count, 0, limit, set);
    Ok(())
}

/// A sorted set of numbers in `low..high`, whose length the reader knows.
fn put_set(bits: &mut BitWriter, set: &[u32], low: u32, high: u32) {
    let count = count_of(set);
    if count == 0 || count == high - low {
        return;
    }
    let middle = set.len() / 2;
    let value = set[middle];
    // As many as stand before the middle must fit below it, and as many as follow above it.
    let least = low + count / 2;
    let most = high - (count - count / 2);
    bits.put_below(value - least, most - least + 1);
    if count > 1 {
        put_set(bits, &set[..middle], low, value);
        put_set(bits, &set[middle + 1..], value + 1, high);
    }
}

/// Appends `count` ≤ `high - low` numbers that [`put_set`] wrote. Recurses at most nine deep, because no
/// set has more than 256 members.
fn take_set(bits: &mut BitReader<'_>, count: u32, low: u32, high: u32, set: &mut Vec<u32>) {
    if count == high - low {
        set.extend(low..high);
        return;
    }
    if count == 0 {
        return;
    }
    let least = low + count / 2;
    let most = high - (count - count / 2);
    let value = least + bits.take_below(most - least + 1);
    if count == 1 {
        set.push(value);
        return;
    }
    take_set(bits, count / 2, low, value, set);
    set.push(value);
    take_set(bits, count - count / 2 - 1, value + 1, high, set);
}

/// The length of a set; there are 2²⁴ trigrams and 256 bytes, so it always fits.
fn count_of<T>(set: &[T]) -> u32 {
    u32::try_from(set.len()).unwrap_or(u32::MAX)
}

/// A number that is known to be below 256.
const fn low_byte(number: u32) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;
    use crate::{Stop, TrigramExtractor};

    fn payload_of(blob: &[u8]) -> Vec<u8> {
        let never = AtomicBool::new(false);
        let vector = TrigramExtractor::new().extract(blob, &Stop::when(&never));
        vector.unwrap().encode()
    }

    proptest! {
        #[test]
        fn every_vector_comes_back(
            numbers in prop_oneof![
                prop::collection::btree_set(0u32..1 << 24, 0..300),
                prop::collection::btree_set((0u32..64).prop_map(|n| n * 0x01_0101 % (1 << 24)), 0..60),
                prop::collection::btree_set(0xff_ff00u32..1 << 24, 0..256),
            ],
        ) {
            let trigrams: Vec<Trigram> = numbers.into_iter().map(Trigram).collect();
            prop_assert_eq!(decode(&encode(&trigrams)), Ok(trigrams));
        }

        #[test]
        fn no_bytes_make_it_panic_or_give_an_unsorted_vector(
            payload in prop::collection::vec(any::<u8>(), 0..600),
            total in 0u8..128,
        ) {
            let mut with_head = vec![FORMAT, total];
            with_head.extend(&payload);
            for bytes in [payload, with_head] {
                if let Ok(trigrams) = decode(&bytes) {
                    prop_assert!(trigrams.is_sorted_by(|one, next| one < next));
                }
            }
        }

        #[test]
        fn a_changed_bit_gives_an_error_or_a_sorted_vector(
            blob in "[a-f \n]{0,200}", at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let mut payload = payload_of(blob.as_bytes());
            *at.get_mut(&mut payload) ^= 1 << bit;
            if let Ok(trigrams) = decode(&payload) {
                prop_assert!(trigrams.is_sorted_by(|one, next| one < next));
            }
        }
    }

    #[test]
    fn a_payload_that_was_cut_or_continued_is_damaged() {
        let payload = payload_of(b"what is stored can be cut off");
        for length in 2..payload.len() {
            assert_eq!(decode(&payload[..length]), Err(TrigramVectorError::Damaged));
        }
        let continued = [&payload[..], b"\0"].concat();
        assert_eq!(decode(&continued), Err(TrigramVectorError::Damaged));
        assert_eq!(decode(b""), Err(TrigramVectorError::Format));
        assert_eq!(decode(b"\x02\0"), Err(TrigramVectorError::Format));
    }

    #[test]
    fn a_payload_that_claims_too_much_is_refused_before_memory_is_taken() {
        let mut payload = vec![FORMAT];
        put_varint(&mut payload, u32::try_from(MAX_TRIGRAMS).unwrap() + 1);
        assert_eq!(decode(&payload), Err(TrigramVectorError::TooMany));
    }
}
