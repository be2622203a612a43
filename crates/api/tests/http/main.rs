//! The service's router against a real PostgreSQL.

mod accepting;
mod access;
mod batch;
mod describing;
mod events;
mod fixture;
mod garbage;
mod listing;
mod outage;
mod repositories;
mod sockets;
