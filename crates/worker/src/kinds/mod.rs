//! One handler per kind of job.

mod clone;
pub mod fetch;
mod follow_up;
pub mod index;
