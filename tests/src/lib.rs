//! Starts the real programs, a real PostgreSQL and real Git remotes for the behaviour tests.
//!
//! A test sets a [`Stage`] (one database, one data directory), gives it [`Worker`] processes, an
//! [`Api`] and a [`Remote`], does something to them, and looks at what is left: through the
//! command line, over HTTP, and in the tables. [`wait_until`] is the only place that sleeps, and
//! [`History`] judges what the jobs of a run went through.

#![expect(
    clippy::expect_used,
    reason = "an expectation that does not hold is how a test fails"
)]

mod api;
mod config;
mod corpus;
mod damage;
mod dice;
pub mod faults;
mod git;
mod history;
mod mount;
mod process;
mod programs;
mod remote;
mod runtime;
mod shape;
mod skip;
mod sql;
mod stage;
mod wait;
mod worker;

pub use api::{Api, ApiBuilder, Reply, free_port};
pub use corpus::{hostile_names, hostile_refs, hostile_refspecs, hostile_urls};
pub use damage::{pack_of, rot, zero_the_middle};
pub use dice::{Dice, new_seed};
pub use git::{Origin, noise};
pub use history::History;
pub use leasectl_embedded::Mode;
pub use leasectl_repo::serve::Fault;
pub use mount::SmallDisk;
pub use process::{Finished, Invocation, Running, Signal, processes_naming};
pub use programs::{api_program, worker_program};
pub use remote::Remote;
pub use shape::{assert_error, assert_fields, assert_job_view, assert_owner, assert_time};
pub use skip::{is_root, skip};
pub use sql::{Held, Sql};
pub use stage::Stage;
pub use wait::{PATIENCE, wait_until};
pub use worker::{Worker, WorkerBuilder};
