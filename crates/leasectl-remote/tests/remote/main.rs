//! What is accepted and what is refused, held against corpora of hostile input, against other
//! programs that read the same texts, and against arbitrary input.

#![expect(
    clippy::expect_used,
    reason = "a broken corpus or helper must fail the test"
)]

mod addresses;
mod corpus;
mod fuzzed;
mod judge;
mod names_and_paths;
mod properties;
mod refs;
mod urls;
