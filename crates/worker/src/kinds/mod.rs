//! One handler per kind of job.

pub mod fetch;
