//! What is known of a file's content, and how it is found again: pure functions over bytes.
//!
//! This crate reads no file, no repository and no database. Whoever has bytes gets payloads; whoever
//! has payloads gets a shard and answers.

mod expression;
mod glob;
mod graph;
mod language;
mod query;
mod rank;
mod resolve;
mod scan;
mod search;
mod shard;
mod stop;
mod tags;
#[cfg(test)]
mod testing;
mod trigram;
mod varint;
mod verdict;

pub use expression::Expression;
pub use glob::{PathFilter, PathFilterError};
pub use graph::{Dependencies, Dependent, Graph, GraphBuilder, Reached, is_test};
pub use language::{Detection, Grammar, Language, by_first_line, detect, is_cpp_header};
pub use query::{Case, MAX_PATTERN_BYTES, Query, QueryError};
pub use rank::Place;
pub use resolve::{
    Coverage, FileId, MAX_MANIFEST_BYTES, PackageId, RESOLVER, RESOLVER_VERSION, Resolution,
    Resolver, is_manifest,
};
pub use scan::{Excerpt, Hit, Scan, readable};
pub use search::{SearchAnswer, SearchError, SearchFile, SearchHit, SearchLimits, search};
pub use shard::{Shard, ShardBuilder, ShardBuilderError, ShardError};
pub use stop::{Stop, Stopped};
pub use tags::{
    BrokenLimit, Extractor, GrammarError, Import, ImportKind, Limits, MAX_NAME_BYTES, Outcome,
    Symbol, SymbolKind, Tags, extractor_id,
};
pub use trigram::{
    MAX_TRIGRAMS, TRIGRAM_EXTRACTOR, TRIGRAM_EXTRACTOR_VERSION, Trigram, TrigramExtractor,
    TrigramExtractorError, TrigramVector, TrigramVectorError,
};
pub use verdict::{
    Attributes, MAX_FILE_BYTES, PREFIX_BYTES, SkipReason, Verdict, classify, classify_unread,
};
