//! The supervisor against a real PostgreSQL, in this process, with handlers made for the tests.

#![expect(
    clippy::expect_used,
    reason = "a test fails by panicking, helpers included"
)]

mod blocking;
mod cancelling;
mod cut_off;
mod death;
mod draining;
mod for_others;
mod granted_time;
mod handlers;
mod leases;
mod metrics;
mod outages;
mod reached;
mod running;
mod seniority;
mod settling;
mod silence;
mod world;
