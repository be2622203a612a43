//! The trigrams of a blob: which three bytes stand beside each other in its lines.
//!
//! They say which files can match a pattern without reading one of them. A match never crosses a line
//! break, so a trigram that holds one would never be asked for and is left out.
//!
//! **Invariants**
//! - A vector is sorted, without duplicates, and has at most [`MAX_TRIGRAMS`] entries.
//! - Extraction needs about 2 MiB, kept and used again, plus four bytes per entry, whatever it is given.

mod bits;
mod codec;
mod extract;

pub use codec::TrigramVectorError;
pub use extract::{TrigramExtractor, TrigramExtractorError};

/// The name under which payloads of trigrams are stored.
pub const TRIGRAM_EXTRACTOR: &str = "trigram";

/// Goes up whenever the same bytes would give another vector or another encoding of it; payloads of
/// other versions are extracted anew.
pub const TRIGRAM_EXTRACTOR_VERSION: u32 = 1;

/// The most entries of one vector: as many as a file of [`crate::MAX_FILE_BYTES`] can have.
pub const MAX_TRIGRAMS: usize = 1024 * 1024;

/// Three bytes that stand beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trigram(u32);

impl Trigram {
    /// The trigram of these bytes, in this order.
    #[must_use]
    pub const fn new(bytes: [u8; 3]) -> Self {
        Self(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]))
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 3] {
        let [_, first, second, third] = self.0.to_be_bytes();
        [first, second, third]
    }

    /// The bytes read as one big-endian number, below 2²⁴; it orders as the bytes do.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The trigrams of one blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrigramVector {
    trigrams: Vec<Trigram>,
}

impl TrigramVector {
    /// Reads what [`TrigramVector::encode`] wrote.
    ///
    /// # Errors
    /// When `payload` is anything else. It needs no more memory than four bytes for each of at most
    /// [`MAX_TRIGRAMS`] entries before it says so.
    pub fn decode(payload: &[u8]) -> Result<Self, TrigramVectorError> {
        codec::decode(payload).map(|trigrams| Self { trigrams })
    }

    /// The form in which a vector is stored, about 8 % of a source file's size.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&self.trigrams)
    }

    /// The trigrams in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[Trigram] {
        &self.trigrams
    }

    /// Whether the blob has this trigram.
    #[must_use]
    pub fn contains(&self, trigram: Trigram) -> bool {
        self.trigrams.binary_search(&trigram).is_ok()
    }
}
