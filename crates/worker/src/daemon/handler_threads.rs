//! The threads that handlers run on: a runtime of their own.
//!
//! A handler that blocks its thread, for ever perhaps, then takes it from other handlers only: the
//! loops that claim, settle, drain and listen for signals go on, and so do heartbeats.

use std::fmt;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// At least so many threads, so that one that is blocked leaves others even on a small machine.
const FEWEST: usize = 4;

/// The threads that handlers run on.
pub(crate) struct HandlerThreads {
    handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for HandlerThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerThreads")
    }
}

impl HandlerThreads {
    /// Starts them.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.max(FEWEST))
            .thread_name("handler")
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Where to spawn what runs a handler.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for HandlerThreads {
    /// Waits for nobody: a thread that a handler keeps ends with the process.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
