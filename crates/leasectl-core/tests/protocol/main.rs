//! The protocol against a real PostgreSQL: one server for the run, one database for each test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that cannot be taken fails its test"
)]

mod bad_input;
mod batches;
mod chaos;
mod claiming;
mod death_pooler;
mod death_signal;
mod enqueueing;
mod fencing;
mod fixture;
mod follow_ups;
mod heartbeats;
mod history;
mod interleavings;
mod lanes;
mod limits;
mod plans;
mod repositories;
mod schedules;
mod schema;
mod session_ends;
mod settling;
mod sql_function;
mod store;
mod takeover;
mod unheard;
mod wakeups;
mod webhooks;
