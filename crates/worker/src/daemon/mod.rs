//! The supervisor: claims jobs, keeps their leases alive, runs their handlers, settles, drains.
//!
//! Each loop has a file: `claimer` takes leases, `attempt` runs one handler, `settler` ends leases,
//! `heartbeat` and `liveness` prove life on threads of their own, `listener` and `maintenance` find work that
//! nobody announced. What they share is in `shared`; what they decide is decided by code without
//! I/O in `pacing`, `trust`, `verdict`, `slots` and `backoff`.

mod attempt;
mod backoff;
mod claimer;
mod collector;
mod handler;
mod handler_threads;
mod heartbeat;
mod hints;
mod listener;
mod liveness;
mod lookout;
mod maintenance;
pub(crate) mod metrics;
pub(crate) mod outage;
mod own_thread;
mod pacing;
mod per_lane;
mod progress;
mod rhythm;
mod running;
mod seniority;
mod settings;
mod settler;
mod shared;
mod shutdown;
mod slots;
mod supervisor;
mod systemd;
mod trust;
mod unheard;
mod verdict;
mod vigil;

pub use self::handler::{Handler, Handlers, JobContext};
pub(crate) use self::progress::ProgressCell;
pub use self::progress::ProgressReporter;
pub use self::settings::{Concurrency, Pipeline, WorkerSettings};
pub use self::shutdown::Shutdown;
pub use self::supervisor::{DaemonError, run};
