//! Jobs and owner-scoped **leases** with heartbeat, expiry and fencing token, in PostgreSQL.
//!
//! PostgreSQL is the only durable thing. A job is a row; a lease is a claim on that row by one
//! process incarnation (the owner), made unique per lane by the schema and fenced by a token that
//! only grows. Everything that a claim leads to is written under that token, so a worker that lost
//! its lease can change nothing.
//!
//! **Invariant.** Time that decides a lease is the database's clock, in SQL. The process only
//! decides when to stop trusting itself, on [`time::BootInstant`].

pub mod changes;
pub mod database;
pub mod failure;
pub mod ids;
pub mod index;
pub mod job;
pub mod kind;
pub mod lease;
pub mod liveness;
pub mod migrations;
pub mod repository;
pub mod status;
pub mod time;
pub mod wakeup;
pub mod webhook;
pub mod worker;
