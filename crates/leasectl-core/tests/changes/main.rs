//! Changes against a real PostgreSQL: one server for the run, one database for each test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that cannot be taken fails its test"
)]

mod diagnostics;
mod diagnostics_bounded;
mod failing;
#[path = "../protocol/fixture.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of the protocol, which need more of it"
)]
mod fixture;
mod history;
mod inventories;
mod modes;
mod overlaps;
mod passes;
mod plans;
mod reading;
mod together;
mod world;
