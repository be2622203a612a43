//! One handler per kind of job.

mod clone;
pub mod fetch;
pub mod index;
