//! One handler per kind of job.

pub mod backfill;
mod clone;
pub mod fetch;
mod follow_up;
pub mod index;
