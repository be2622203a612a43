//! The supervisor against a real PostgreSQL, in this process, with handlers made for the tests.

#![expect(
    clippy::expect_used,
    reason = "a test fails by panicking, helpers included"
)]

mod blocking;
mod cancelling;
mod death;
mod draining;
mod handlers;
mod leases;
mod metrics;
mod outages;
mod running;
mod silence;
mod world;
