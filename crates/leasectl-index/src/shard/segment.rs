//! The lists of one run of files.
//!
//! The layout: the numbers of files and of trigrams; the files' ids; the trigrams, ascending; where the
//! list of each ends, counted from the first list; the lists. A list is either the differences between
//! the places of its files as LEB128 varints, or, where that is shorter, one bit for each file of the
//! segment; the highest bit of its end says which.

use super::layout::{Extent, ShardError};
use crate::varint::{put_varint, take_varint};
use crate::{Expression, Trigram};

const HEADER_BYTES: usize = 8;
/// Marks the end of a list of bits.
const DENSE: u32 = 1 << 31;

/// Encodes a segment; the parts belong one after the other. `postings` are sorted.
pub(super) fn encode(files: &[u32], postings: &[u64]) -> [Vec<u8>; 4] {
    let mut head = Vec::with_capacity(HEADER_BYTES + files.len() * 4);
    let (mut trigrams, mut ends, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    let dense_bytes = files.len().div_ceil(8);
    for list in postings.chunk_by(|one, next| one >> 32 == next >> 32) {
        let start = lists.len();
        let mut previous = 0;
        for posting in list {
            let place = low_half(*posting);
            put_varint(&mut lists, place - previous);
            previous = place;
        }
        let dense = lists.len() - start > dense_bytes;
        if dense {
            lists.truncate(start);
            lists.resize(start + dense_bytes, 0);
            for posting in list {
                let place = low_half(*posting);
                lists[start + place as usize / 8] |= 1 << (place % 8);
            }
        }
        // A segment has few enough postings for its lists to stay below 2³¹ bytes.
        let end = low_half(lists.len() as u64);
        trigrams.extend(low_half(list[0] >> 32).to_le_bytes());
        ends.extend((if dense { end | DENSE } else { end }).to_le_bytes());
    }
    head.extend(low_half(files.len() as u64).to_le_bytes());
    head.extend(low_half(trigrams.len() as u64 / 4).to_le_bytes());
    head.extend(files.iter().flat_map(|file| file.to_le_bytes()));
    [head, trigrams, ends, lists]
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn low_half(number: u64) -> u32 {
    number as u32
}

/// A view of an encoded segment.
pub(super) struct Segment<'a> {
    files: &'a [[u8; 4]],
    trigrams: &'a [[u8; 4]],
    ends: &'a [[u8; 4]],
    lists: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(super) fn at(shard: &'a [u8], extent: Extent) -> Result<Self, ShardError> {
        let bytes = extent.of(shard).ok_or(ShardError::Damaged)?;
        let (counts, rest) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(ShardError::Damaged)?;
        let (counts, _) = counts.as_chunks::<4>();
        let (files, rest) = take_numbers(rest, counts[0])?;
        let (trigrams, rest) = take_numbers(rest, counts[1])?;
        let (ends, lists) = take_numbers(rest, counts[1])?;
        Ok(Self {
            files,
            trigrams,
            ends,
            lists,
        })
    }

    /// Whether the numbers ascend as they must and stay within the lists.
    pub(super) fn check(&self) -> Result<(), ShardError> {
        let ascends = |numbers: &[[u8; 4]]| {
            numbers.is_sorted_by(|one, next| u32::from_le_bytes(*one) < u32::from_le_bytes(*next))
        };
        let ends = self
            .ends
            .iter()
            .map(|end| u32::from_le_bytes(*end) & !DENSE);
        let last = ends.clone().next_back().unwrap_or_default();
        if ascends(self.files)
            && ascends(self.trigrams)
            && ends.is_sorted()
            && last as usize == self.lists.len()
        {
            Ok(())
        } else {
            Err(ShardError::Damaged)
        }
    }

    pub(super) const fn files(&self) -> usize {
        self.files.len()
    }

    /// Appends the files that satisfy `formula`.
    pub(super) fn collect(
        &self,
        formula: &Expression,
        files: &mut Vec<u32>,
    ) -> Result<(), ShardError> {
        let mut places = Places::none(self.files.len());
        self.add(formula, &mut places)?;
        for (start, word) in (0..).step_by(64).zip(&places.words) {
            let mut rest = *word;
            while rest != 0 {
                let place: usize = start + rest.trailing_zeros() as usize;
                rest &= rest - 1;
                files.push(u32::from_le_bytes(self.files[place]));
            }
        }
        Ok(())
    }

    /// Adds the places of the files that satisfy `formula`.
    fn add(&self, formula: &Expression, places: &mut Places) -> Result<(), ShardError> {
        match formula {
            Expression::All => places.add_all(),
            Expression::Never => {}
            Expression::Has(trigram) => self.add_list(*trigram, places)?,
            Expression::Any(parts) => {
                for part in parts {
                    self.add(part, places)?;
                }
            }
            Expression::Every(parts) => {
                // The shortest list first: often nothing remains after two or three.
                let mut parts: Vec<(usize, &Expression)> =
                    parts.iter().map(|part| (self.cost(part), part)).collect();
                parts.sort_by_key(|(cost, _)| *cost);
                let mut common = Places::none(self.files.len());
                common.add_all();
                let mut one = Places::none(self.files.len());
                for (_, part) in parts {
                    one.words.fill(0);
                    self.add(part, &mut one)?;
                    if !common.keep(&one) {
                        return Ok(());
                    }
                }
                places.add_from(&common);
            }
        }
        Ok(())
    }

    /// About how many bytes of lists a formula reads; zero where no file can satisfy it.
    fn cost(&self, formula: &Expression) -> usize {
        match formula {
            Expression::All => self.files.len(),
            Expression::Never => 0,
            Expression::Has(trigram) => self.list(*trigram).map_or(0, |(list, _)| list.len()),
            Expression::Any(parts) => parts.iter().map(|part| self.cost(part)).sum(),
            Expression::Every(parts) => parts.iter().map(|part| self.cost(part)).min().unwrap_or(0),
        }
    }

    /// The list of a trigram, and whether it consists of bits.
    fn list(&self, trigram: Trigram) -> Option<(&'a [u8], bool)> {
        let number = trigram.number();
        let index = self
            .trigrams
            .binary_search_by_key(&number, |one| u32::from_le_bytes(*one))
            .ok()?;
        let end = u32::from_le_bytes(*self.ends.get(index)?);
        let start = match index.checked_sub(1) {
            Some(before) => u32::from_le_bytes(self.ends[before]) & !DENSE,
            None => 0,
        };
        let list = self.lists.get(start as usize..(end & !DENSE) as usize)?;
        Some((list, end & DENSE != 0))
    }

    fn add_list(&self, trigram: Trigram, places: &mut Places) -> Result<(), ShardError> {
        let Some((list, dense)) = self.list(trigram) else {
            return Ok(());
        };
        if dense {
            return places.add_bits(list);
        }
        let (mut rest, mut place) = (list, 0_usize);
        while !rest.is_empty() {
            let (step, others) = take_varint(rest).ok_or(ShardError::Damaged)?;
            place += step as usize;
            places.add(place, self.files.len())?;
            rest = others;
        }
        Ok(())
    }
}

fn take_numbers(bytes: &[u8], count: [u8; 4]) -> Result<(&[[u8; 4]], &[u8]), ShardError> {
    let (numbers, rest) = usize::try_from(u32::from_le_bytes(count))
        .ok()
        .and_then(|count| count.checked_mul(4))
        .and_then(|length| bytes.split_at_checked(length))
        .ok_or(ShardError::Damaged)?;
    Ok((numbers.as_chunks().0, rest))
}

/// A set of places of files in their segment.
struct Places {
    words: Vec<u64>,
    /// The bits of the last word that stand for files.
    last_word: u64,
}

impl Places {
    fn none(files: usize) -> Self {
        Self {
            words: vec![0; files.div_ceil(64)],
            last_word: match files % 64 {
                0 => u64::MAX,
                used => (1 << used) - 1,
            },
        }
    }

    fn add_all(&mut self) {
        self.words.fill(u64::MAX);
        self.mask();
    }

    fn add(&mut self, place: usize, files: usize) -> Result<(), ShardError> {
        if place >= files {
            return Err(ShardError::Damaged);
        }
        self.words[place / 64] |= 1 << (place % 64);
        Ok(())
    }

    fn add_bits(&mut self, bytes: &[u8]) -> Result<(), ShardError> {
        if bytes.len().div_ceil(8) != self.words.len() {
            return Err(ShardError::Damaged);
        }
        for (word, bytes) in self.words.iter_mut().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word |= u64::from_le_bytes(whole);
        }
        self.mask();
        Ok(())
    }

    fn add_from(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Keeps what the other has as well; whether anything is left.
    fn keep(&mut self, other: &Self) -> bool {
        let mut left = 0;
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
            left |= *word;
        }
        left != 0
    }

    fn mask(&mut self) {
        if let Some(last) = self.words.last_mut() {
            *last &= self.last_word;
        }
    }
}
