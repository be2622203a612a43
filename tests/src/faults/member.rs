//! One worker process after another, behind one proxy.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::clock::WrongClock;
use super::proxy::{Proxy, Sprung};
use super::record::FenceAsked;
use crate::stage::Stage;
use crate::worker::Worker;

/// Times are those of production divided by fifteen.
const HEARTBEAT: &str = "400ms";
/// Silence after which a worker's leases are over.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(2);
/// Between two looks for work.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// A place for a worker.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) proxy: Proxy,
    repos_dir: PathBuf,
    url: String,
    worker: Option<Worker>,
    owner: OnceCell<String>,
    /// Whether the process was made to end, or may break, by a fault.
    pub(super) is_doomed: bool,
    pub(super) is_frozen: bool,
    pub(super) is_cut_off: bool,
}

impl Member {
    /// Nobody is there yet.
    pub(super) fn new(number: usize, url: &str, repos_dir: &Path, sprung: Sender<Sprung>) -> Self {
        let (upstream, _) = port_of(url);
        let proxy = Proxy::start(number, upstream, sprung);
        Self {
            url: through(url, proxy.port()),
            proxy,
            repos_dir: repos_dir.to_owned(),
            worker: None,
            owner: OnceCell::new(),
            is_doomed: false,
            is_frozen: false,
            is_cut_off: false,
        }
    }

    /// Starts a worker, with a wall clock that is off by that much.
    pub(super) fn start(&mut self, stage: &Stage, clock: &WrongClock, offset_s: i64) {
        let mut builder = stage
            .worker()
            .env("DATABASE_URL", &self.url)
            .env("LEASECTL_GIT_TOKEN_DIR", &secrets(stage).to_string_lossy())
            .flag("--repos-dir", &self.repos_dir.to_string_lossy())
            .flag("--heartbeat-interval", HEARTBEAT)
            .flag("--stale-after", "2s")
            .flag("--lease-ttl", "6s")
            .flag("--poll-interval", "100ms")
            .flag("--drain-timeout", "300ms")
            .flag("--death-grace", "300ms")
            .flag("--git-silence", "3s");
        if offset_s != 0 {
            for (name, value) in clock.environment(offset_s) {
                builder = builder.env(name, &value);
            }
        }
        let worker = builder.start_unready();
        self.proxy.set_victim(Some(worker.pid()));
        self.worker = Some(worker);
        self.owner = OnceCell::new();
        (self.is_doomed, self.is_frozen) = (false, false);
    }

    /// Whether there was a worker that has ended. A zombie keeps its id, so that no trap strikes another.
    pub(super) fn has_ended(&self) -> bool {
        let Some(pid) = self.pid() else { return false };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which stands in brackets.
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.is_empty() || state.starts_with(" Z")
    }

    /// The worker, while it lives.
    fn alive(&self) -> Option<&Worker> {
        self.worker.as_ref().filter(|_| !self.has_ended())
    }

    /// Takes a worker that has ended; its exit code, and the end of its log.
    pub(super) fn reap(&mut self) -> Option<(i32, String)> {
        self.proxy.set_victim(None);
        let mut worker = self.worker.take()?;
        let code = worker.wait();
        let log = worker.log();
        let end: Vec<&str> = log.lines().rev().take(4).collect();
        Some((code, end.join(" | ")))
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.worker.as_ref().map(Worker::pid)
    }

    /// The owner's name, once the worker is ready.
    pub(super) fn owner(&self) -> Option<&str> {
        if self.owner.get().is_none() {
            // It is empty, so nothing is refused.
            drop(self.owner.set(self.worker.as_ref()?.owner_in_log()?));
        }
        self.owner.get().map(String::as_str)
    }

    pub(super) fn repos_dir(&self) -> &Path {
        &self.repos_dir
    }

    pub(super) fn kill(&mut self) -> bool {
        if self.alive().is_none() {
            return false;
        }
        self.is_doomed = true;
        self.proxy.set_victim(None);
        if let Some(worker) = &mut self.worker {
            worker.kill();
        }
        true
    }

    pub(super) fn freeze(&mut self) -> bool {
        if self.is_frozen {
            return false;
        }
        let Some(worker) = self.alive() else {
            return false;
        };
        worker.freeze();
        self.is_frozen = true;
        true
    }

    pub(super) fn thaw(&mut self) {
        if let Some(worker) = self.alive() {
            worker.thaw();
        }
        self.is_frozen = false;
    }

    pub(super) fn drain(&mut self) -> bool {
        let Some(worker) = self.alive() else {
            return false;
        };
        worker.terminate();
        self.is_doomed = true;
        true
    }

    /// Limits what the process may have more of; the limit ends with the process.
    pub(super) fn limit(&mut self, resource: Resource, most: u64) -> bool {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        let is_limited = pid.is_some() && prlimit(pid, resource, limit).is_ok();
        self.is_doomed |= is_limited;
        is_limited
    }

    pub(super) fn take_fences(&self) -> Vec<FenceAsked> {
        self.proxy.take_fences()
    }
}

/// The folder of the token files that workers may read.
pub(super) fn secrets(stage: &Stage) -> PathBuf {
    stage.folder().join("home").join("tokens")
}

/// The same URL with another port.
pub(super) fn through(url: &str, port: u16) -> String {
    let (_, at) = port_of(url);
    format!("{}{port}{}", &url[..at.start], &url[at.end..])
}

/// The port of a URL of 127.0.0.1, and where it stands.
fn port_of(url: &str) -> (u16, std::ops::Range<usize>) {
    let host = url.find("@127.0.0.1:").expect("a URL of this machine");
    let start = host + "@127.0.0.1:".len();
    let digits = url[start..].bytes().take_while(u8::is_ascii_digit).count();
    let place = start..start + digits;
    (url[place.clone()].parse().expect("a port"), place)
}
