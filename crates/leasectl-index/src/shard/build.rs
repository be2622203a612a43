//! Makes a shard from vectors.
//!
//! Pairs of a trigram and a file are collected file by file and sorted by trigram in two passes over
//! twelve bits each. The sort keeps the order of the files, so each list comes out ascending.

use std::io::{self, Write};

use super::layout::FrameWriter;
use super::{MAX_SEGMENT_FILES, MAX_SEGMENT_POSTINGS, segment};
use crate::TrigramVector;

/// How many bits of a trigram one pass sorts by, and the number of their values.
const PASS_BITS: u32 = 12;
const PASS_VALUES: usize = 1 << PASS_BITS;

/// Why a shard was not built.
#[derive(Debug, thiserror::Error)]
pub enum ShardBuilderError {
    /// A file was pushed after one with the same or a higher number.
    #[error("files must be pushed in ascending order")]
    Order,
    /// The shard could not be written.
    #[error("the search shard could not be written")]
    Write(#[from] io::Error),
}

/// Collects files and writes them out segment by segment.
#[derive(Debug)]
#[must_use]
pub struct ShardBuilder<W> {
    frame: FrameWriter<W>,
    files: Vec<u32>,
    /// Trigram above, place in `files` below.
    postings: Vec<u64>,
    last: Option<u32>,
}

impl<W: Write> ShardBuilder<W> {
    /// Starts a shard that is written to `output`, which should be buffered.
    pub fn new(output: W) -> Self {
        Self {
            frame: FrameWriter::new(output),
            files: Vec::new(),
            postings: Vec::new(),
            last: None,
        }
    }

    /// Adds one file. A file too short for a trigram has to be added as well: a pattern that says
    /// nothing about trigrams finds it.
    ///
    /// # Errors
    /// When files come out of order, or the output fails.
    pub fn push(&mut self, file: u32, vector: &TrigramVector) -> Result<(), ShardBuilderError> {
        if self.last.is_some_and(|last| last >= file) {
            return Err(ShardBuilderError::Order);
        }
        let trigrams = vector.as_slice();
        if self.files.len() == MAX_SEGMENT_FILES
            || self.postings.len() + trigrams.len() > MAX_SEGMENT_POSTINGS
        {
            self.flush()?;
        }
        let place = self.files.len() as u64;
        self.postings.extend(
            trigrams
                .iter()
                .map(|one| u64::from(one.number()) << 32 | place),
        );
        self.files.push(file);
        self.last = Some(file);
        Ok(())
    }

    /// Writes what is left, and gives the output back.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> Result<W, ShardBuilderError> {
        self.flush()?;
        Ok(self.frame.finish()?)
    }

    fn flush(&mut self) -> Result<(), ShardBuilderError> {
        if self.files.is_empty() {
            return Ok(());
        }
        sort_by_trigram(&mut self.postings);
        let parts = segment::encode(&self.files, &self.postings);
        self.frame.segment(&parts.each_ref().map(Vec::as_slice))?;
        self.files.clear();
        self.postings.clear();
        Ok(())
    }
}

fn sort_by_trigram(postings: &mut [u64]) {
    let mut other = vec![0; postings.len()];
    sort_by_bits(postings, &mut other, 32);
    sort_by_bits(&other, postings, 32 + PASS_BITS);
}

/// Copies `from` into `into`, sorted by the bits from `shift` on; equal ones keep their order.
fn sort_by_bits(from: &[u64], into: &mut [u64], shift: u32) {
    let mut places = [0_usize; PASS_VALUES];
    for posting in from {
        places[digit(*posting, shift)] += 1;
    }
    let mut next = 0;
    for place in &mut places {
        next += std::mem::replace(place, next);
    }
    for posting in from {
        let place = &mut places[digit(*posting, shift)];
        into[*place] = *posting;
        *place += 1;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "only the low bits are meant"
)]
const fn digit(posting: u64, shift: u32) -> usize {
    (posting >> shift) as usize & (PASS_VALUES - 1)
}
