//! The index against a real PostgreSQL: one server for the run, one database for each test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that cannot be taken fails its test"
)]

mod answers;
mod collecting;
mod domains;
#[path = "../protocol/fixture.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of the protocol, which need more of it"
)]
mod fixture;
mod forgetting;
mod growth;
mod indexer;
mod plans;
mod runs;
mod structure;
mod tree;
mod worktrees;
