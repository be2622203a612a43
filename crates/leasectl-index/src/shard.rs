//! Which files have which trigrams: the vectors of one tree, turned around.
//!
//! A shard is made from vectors alone and can be thrown away at any time. It is a sequence of
//! segments, each about a run of files, so that building one needs memory for one segment, whatever
//! the size of the tree.
//!
//! The layout, all numbers little-endian: the magic; the segments; a table with the offset and length of
//! each segment; a trailer with the number of segments, the checksum (CRC-32) of everything before it,
//! and the magic again.
//!
//! **Invariants**
//! - Opening checks the whole, so a file that was cut off or that rotted is an error, and its owner
//!   makes it anew. Even bytes that were forged together with their checksum cause an error or a wrong
//!   answer, never a panic or unbounded memory.
//! - Building needs at most 16 bytes for each of [`MAX_SEGMENT_POSTINGS`] entries, plus the vector that
//!   is pushed and what it writes of one segment: about 160 MiB at worst.

mod build;
mod layout;
mod segment;

pub use build::{ShardBuilder, ShardBuilderError};
pub use layout::ShardError;

use crate::Expression;
use layout::Extent;
use segment::Segment;

/// The most pairs of a file and a trigram in one segment, unless a single file has more.
const MAX_SEGMENT_POSTINGS: usize = 4 * 1024 * 1024;
/// The most files in one segment.
const MAX_SEGMENT_FILES: usize = 64 * 1024;

/// An open shard.
#[derive(Debug)]
pub struct Shard<B> {
    bytes: B,
    extents: Vec<Extent>,
}

impl<B: AsRef<[u8]>> Shard<B> {
    /// Opens what a [`ShardBuilder`] wrote, after reading all of it once.
    ///
    /// # Errors
    /// When the bytes are anything else; then the shard has to be made anew.
    pub fn open(bytes: B) -> Result<Self, ShardError> {
        let extents = layout::check(bytes.as_ref())?;
        let shard = Self { bytes, extents };
        for segment in shard.segments() {
            segment?.check()?;
        }
        Ok(shard)
    }

    /// How many files the shard knows.
    ///
    /// # Errors
    /// When the shard is damaged in a way that its checksum does not show.
    pub fn files(&self) -> Result<usize, ShardError> {
        self.segments()
            .map(|segment| segment.map(|segment| segment.files()))
            .sum()
    }

    /// The files that can match, in ascending order.
    ///
    /// # Errors
    /// When the shard is damaged in a way that its checksum does not show.
    pub fn candidates(&self, formula: &Expression) -> Result<Vec<u32>, ShardError> {
        let mut files = Vec::new();
        for segment in self.segments() {
            segment?.collect(formula, &mut files)?;
        }
        Ok(files)
    }

    fn segments(&self) -> impl Iterator<Item = Result<Segment<'_>, ShardError>> {
        self.extents
            .iter()
            .map(|extent| Segment::at(self.bytes.as_ref(), *extent))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::extract;
    use crate::{Case, Query, TrigramVector};

    fn shard_of(files: &[(u32, TrigramVector)]) -> Vec<u8> {
        let mut builder = ShardBuilder::new(Vec::new());
        for (file, vector) in files {
            builder.push(*file, vector).unwrap();
        }
        builder.finish().unwrap()
    }

    fn numbered(texts: &[String]) -> Vec<(u32, TrigramVector)> {
        (3..)
            .step_by(2)
            .zip(texts.iter().map(|text| extract(text.as_bytes())))
            .collect()
    }

    proptest! {
        #[test]
        fn candidates_are_the_files_whose_vectors_are_accepted(
            texts in prop::collection::vec("[abAB]{0,12}", 0..150),
            patterns in prop::collection::vec("[abAB]{1,6}(\\|[abAB]{3,4})?([.][*]abb)?", 1..5),
            ignored: bool,
        ) {
            let files = numbered(&texts);
            let shard = Shard::open(shard_of(&files)).unwrap();
            prop_assert_eq!(shard.files(), Ok(files.len()));
            for pattern in patterns {
                let case = if ignored { Case::Ignored } else { Case::Sensitive };
                let query = Query::regex(&pattern, case).unwrap();
                let formula = query.expression();
                let expected: Vec<u32> = files
                    .iter()
                    .filter(|(_, vector)| formula.accepts(&|one| vector.contains(one)))
                    .map(|(file, _)| *file)
                    .collect();
                prop_assert_eq!(shard.candidates(formula), Ok(expected), "{}", pattern);
            }
        }

        #[test]
        fn a_changed_bit_is_noticed(at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = shard_of(&numbered(&["abcdef".to_owned(), "bcdxyz".to_owned()]));
            *at.get_mut(&mut bytes) ^= 1 << bit;
            prop_assert!(Shard::open(bytes).is_err());
        }

        #[test]
        fn forged_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let texts: Vec<String> = (0..40).map(|number| format!("abcdef{number}")).collect();
            let mut bytes = shard_of(&numbered(&texts));
            let counted = bytes.len() - 12;
            for (at, byte) in changes {
                *at.get_mut(&mut bytes[8..counted]) = byte;
            }
            let checksum = crc32fast::hash(&bytes[..counted]);
            bytes[counted..counted + 4].copy_from_slice(&checksum.to_le_bytes());
            if let Ok(shard) = Shard::open(bytes) {
                for pattern in ["", "abcdef", "def3.*", "f12|f13"] {
                    let query = Query::regex(pattern, Case::Sensitive).unwrap();
                    let _ = shard.candidates(query.expression());
                }
            }
        }
    }

    #[test]
    fn a_shard_that_was_cut_off_or_is_none_is_an_error() {
        let bytes = shard_of(&numbered(&["abcdef".to_owned()]));
        for length in 0..bytes.len() {
            assert!(Shard::open(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(Shard::open(b"").err(), Some(ShardError::Format));
    }

    #[test]
    fn an_empty_tree_has_a_shard_without_candidates() {
        let shard = Shard::open(shard_of(&[])).unwrap();
        assert_eq!(shard.candidates(&Expression::All), Ok(Vec::new()));
    }

    #[test]
    fn files_out_of_order_are_refused() {
        let mut builder = ShardBuilder::new(Vec::new());
        builder.push(2, &TrigramVector::default()).unwrap();
        let refused = builder.push(2, &TrigramVector::default());
        assert!(matches!(refused, Err(ShardBuilderError::Order)));
    }

    #[test]
    fn a_tree_of_many_files_has_several_segments() {
        let (one, other) = (extract(b"abc"), extract(b"xyz"));
        let count = u32::try_from(MAX_SEGMENT_FILES).unwrap() * 2 + 10;
        let mut builder = ShardBuilder::new(Vec::new());
        for file in 0..count {
            builder
                .push(file, if file % 1_000 == 0 { &one } else { &other })
                .unwrap();
        }
        let shard = Shard::open(builder.finish().unwrap()).unwrap();
        assert_eq!(shard.extents.len(), 3);
        let query = Query::literal("abc", Case::Sensitive).unwrap();
        let expected: Vec<u32> = (0..count).step_by(1_000).collect();
        assert_eq!(shard.candidates(query.expression()), Ok(expected));
        assert_eq!(
            shard.candidates(&Expression::All).unwrap().len(),
            count as usize
        );
    }
}
