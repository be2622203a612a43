//! The worker: daemon and operator's command line.
//!
//! [`daemon`] claims jobs and keeps their leases, [`kinds`] holds one handler per kind of job, [`search`] and
//! [`structure`] answer from the index, [`cli`] is what an operator types, and [`demo`] runs the main job with no
//! set-up.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod kinds;
pub mod search;
pub mod structure;
