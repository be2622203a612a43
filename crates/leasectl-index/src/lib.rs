//! What is known of a file's content, and how it is found again: pure functions over bytes.
//!
//! This crate reads no file, no repository and no database. Whoever has bytes gets payloads; whoever
//! has payloads gets a shard and answers.

mod language;

pub use language::{Detection, Grammar, Headers, Language, by_first_line, detect};
