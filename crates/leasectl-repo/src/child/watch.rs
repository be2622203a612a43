//! Reports progress to the parent ten times a second, and stops a remote that sends too much.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use gix::progress::tree;

use super::{link::Link, meter::Meter};
use crate::{
    error::SizeLimit,
    progress::{Phase, Progress},
    wire::{Failure, Message},
};

/// How often progress is reported.
const INTERVAL: Duration = Duration::from_millis(100);
/// gix's names for "objects received" and "deltas resolved".
const RECEIVED: [u8; 4] = *b"IWIO";
const RESOLVED: [u8; 4] = *b"IWRO";

/// What the main thread and the reporter share.
pub(crate) struct Watch {
    shared: Arc<Shared>,
}

struct Shared {
    tree: Arc<tree::Root>,
    phase: Mutex<Phase>,
    interrupt: AtomicBool,
    meter: Arc<Meter>,
}

impl Watch {
    /// Starts to report. The reporter ends with the process.
    pub(crate) fn start(meter: Arc<Meter>, link: Arc<Link>) -> Self {
        let shared = Arc::new(Shared {
            tree: tree::Root::new(),
            phase: Mutex::new(Phase::Connecting),
            interrupt: AtomicBool::new(false),
            meter,
        });
        let reporter = Arc::clone(&shared);
        thread::spawn(move || {
            let mut last = None;
            loop {
                thread::park_timeout(INTERVAL);
                let progress = reporter.progress();
                if last != Some(progress) {
                    link.send(&Message::Progress(progress));
                    last = Some(progress);
                }
            }
        });
        Self { shared }
    }

    /// A new branch of the progress tree.
    pub(crate) fn progress(&self, name: &str) -> tree::Item {
        self.shared.tree.add_child(name)
    }

    /// Set when the remote sends too many objects.
    pub(crate) fn interrupt(&self) -> &AtomicBool {
        &self.shared.interrupt
    }

    /// Says what is being done now.
    pub(crate) fn enter(&self, phase: Phase) {
        *self
            .shared
            .phase
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

impl Shared {
    fn progress(&self) -> Progress {
        let mut phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut done, mut total) = (0, None);
        if phase == Phase::Receiving {
            let mut tasks = Vec::new();
            self.tree.sorted_snapshot(&mut tasks);
            for (_, task) in tasks {
                let Some(value) = task.progress else { continue };
                let step = value.step.load(Ordering::Relaxed) as u64;
                if task.id == RECEIVED && phase == Phase::Receiving {
                    (done, total) = (step, value.done_at.map(|all| all as u64));
                    self.check_objects(total);
                } else if task.id == RESOLVED && step > 0 {
                    phase = Phase::Resolving;
                    (done, total) = (step, value.done_at.map(|all| all as u64));
                }
            }
        }
        Progress {
            phase,
            done,
            total,
            bytes_received: self.meter.received(),
        }
    }

    fn check_objects(&self, total: Option<u64>) {
        let most = self.meter.limits().max_objects;
        if total.is_some_and(|total| total > most) {
            let _ = self.meter.note(Failure::TooLarge(SizeLimit::Objects(most)));
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
}
