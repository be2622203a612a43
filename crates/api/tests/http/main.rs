//! The service's router against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod accepting;
mod access;
mod batch;
mod describing;
mod events;
mod fixture;
mod garbage;
mod hostile;
mod listing;
mod outage;
mod repositories;
mod sockets;
mod webhooks;
