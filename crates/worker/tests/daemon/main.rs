//! The supervisor against a real PostgreSQL, in this process, with handlers made for the tests.

mod cancelling;
mod draining;
mod handlers;
mod leases;
mod outages;
mod running;
mod world;
