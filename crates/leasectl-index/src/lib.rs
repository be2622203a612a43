//! What is known of a file's content, and how it is found again: pure functions over bytes.
//!
//! This crate reads no file, no repository and no database. Whoever has bytes gets payloads; whoever
//! has payloads gets a shard and answers.

mod language;
mod stop;
mod tags;
mod trigram;
mod varint;
mod verdict;

pub use language::{Detection, Grammar, Headers, Language, by_first_line, detect};
pub use stop::{Stop, Stopped};
pub use tags::{
    BrokenLimit, CodecError, Extractor, GrammarError, Import, ImportKind, Limits, MAX_NAME_BYTES,
    Outcome, Symbol, SymbolKind, Tags, decode, encode, extractor_id,
};
pub use trigram::{
    MAX_TRIGRAMS, TRIGRAM_EXTRACTOR, TRIGRAM_EXTRACTOR_VERSION, Trigram, TrigramExtractor,
    TrigramExtractorError, TrigramVector, TrigramVectorError,
};
pub use verdict::{
    Attributes, MAX_FILE_BYTES, PREFIX_BYTES, SkipReason, Verdict, classify, classify_unread,
};
