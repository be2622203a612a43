//! A real `worker run` process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::process::{Invocation, Running, Signal};
use crate::stage::Stage;
use crate::wait::{PATIENCE, wait_until};

/// The line that says that a worker can claim.
const READY: &str = "worker ready owner=";
/// How long a worker that was told to stop may take, its drain included.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A worker about to be started.
#[derive(Debug)]
pub struct WorkerBuilder<'a> {
    stage: &'a Stage,
    flags: BTreeMap<String, String>,
    invocation: Invocation,
}

impl<'a> WorkerBuilder<'a> {
    /// Times are those of production divided by about twenty, in the same proportions.
    pub(crate) fn new(stage: &'a Stage, invocation: Invocation) -> Self {
        let flags = [
            ("--heartbeat-interval", "300ms"),
            ("--stale-after", "1500ms"),
            ("--lease-ttl", "60s"),
            ("--poll-interval", "100ms"),
            ("--drain-timeout", "5s"),
            ("--death-grace", "off"),
            ("--log-format", "text"),
        ];
        Self {
            stage,
            flags: flags
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            invocation,
        }
    }

    /// Sets a flag, or replaces one that tests set.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.invocation = self.invocation.env(name, value);
        self
    }

    /// Starts it and waits until it can claim.
    ///
    /// # Panics
    /// When it does not get that far.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Worker {
        let mut worker = self.start_unready();
        worker.wait_ready();
        worker
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start_unready(self) -> Worker {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = self
            .stage
            .log(&format!("worker-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let words = self
            .flags
            .into_iter()
            .flat_map(|(name, value)| [name, value]);
        let running = self.invocation.args(words).start(&log);
        Worker {
            running,
            owner: String::new(),
            log,
        }
    }
}

/// A running worker; it is killed when this is dropped.
#[derive(Debug)]
pub struct Worker {
    running: Running,
    owner: String,
    log: PathBuf,
}

impl Worker {
    /// Its name in leases.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.log()
    }

    /// Where it logs.
    #[must_use]
    pub fn log_path(&self) -> &std::path::Path {
        &self.log
    }

    /// Waits until it says that it can claim.
    ///
    /// # Panics
    /// When it ends or is silent.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        self.owner = wait_until(PATIENCE, "a worker that is ready", || {
            let log = self.log();
            if let Some(ended) = self.running.ended() {
                panic!("the worker ended ({ended}) before it was ready:\n{log}");
            }
            ready_owner(&log)
        });
    }

    /// Its name in leases, once it has said that it can claim.
    #[must_use]
    pub fn owner_in_log(&self) -> Option<String> {
        ready_owner(&self.log())
    }

    /// Waits until its log holds that text.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        wait_until(PATIENCE, &format!("{text:?} in a worker's log"), || {
            self.log().contains(text).then_some(())
        });
    }

    /// Whether the process has ended.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.running.ended().is_some()
    }

    /// Ends it by SIGKILL.
    ///
    /// # Panics
    /// When it stays.
    #[track_caller]
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Stops its clock: SIGSTOP.
    pub fn freeze(&self) {
        self.running.signal(Signal::STOP);
    }

    /// Lets it go on: SIGCONT.
    pub fn thaw(&self) {
        self.running.signal(Signal::CONT);
    }

    /// Asks it to drain: SIGTERM.
    pub fn terminate(&self) {
        self.running.signal(Signal::TERM);
    }

    /// Waits for its end; the exit code, negative for a signal.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        self.running.wait(STOP_LIMIT)
    }
}

fn ready_owner(log: &str) -> Option<String> {
    let (_, after) = log.split_once(READY)?;
    let owner = after.split([' ', '"', '\n', '\u{1b}']).next()?;
    after.contains('\n').then(|| owner.to_owned())
}
