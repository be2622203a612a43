//! What the machine did besides: processor time that its host gave to somebody else, and what the
//! processes of a server used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use procfs::process::all_processes;
use procfs::{CpuTime, CurrentSI, KernelStats, ProcError};

/// A moment to measure the host's share from.
#[derive(Debug)]
pub(crate) struct Host {
    before: CpuTime,
}

impl Host {
    /// From now on.
    pub(crate) fn watch() -> Result<Self, ProcError> {
        Ok(Self {
            before: KernelStats::current()?.total,
        })
    }

    /// Of the processor time that the machine wanted since then, what its host did not give, in percent.
    pub(crate) fn stolen(&self) -> Result<f64, ProcError> {
        Ok(share(&self.before, &KernelStats::current()?.total))
    }
}

fn share(before: &CpuTime, after: &CpuTime) -> f64 {
    let stolen = after.steal_ms().unwrap_or(0) - before.steal_ms().unwrap_or(0);
    let used = busy(after) - busy(before);
    let wanted = f64_of(stolen + used);
    if wanted > 0.0 {
        f64_of(stolen) / wanted * 100.0
    } else {
        0.0
    }
}

fn busy(time: &CpuTime) -> u64 {
    time.user_ms()
        + time.nice_ms()
        + time.system_ms()
        + time.irq_ms().unwrap_or(0)
        + time.softirq_ms().unwrap_or(0)
}

/// Milliseconds of processor that a process and its children have used. What ends meanwhile is not
/// counted, which leaves out the rare helpers of a server and nothing that lasts.
pub(crate) fn cpu_ms_of_family(parent: u32) -> Result<f64, ProcError> {
    let mut nanos = 0;
    for process in all_processes()? {
        let Ok(process) = process else { continue };
        let (Ok(stat), Ok(used)) = (process.stat(), process.schedstat()) else {
            continue;
        };
        if [stat.pid, stat.ppid]
            .map(u32::try_from)
            .contains(&Ok(parent))
        {
            // The clock ticks of the other counters are longer than what an idle session uses in a minute.
            nanos += used.sum_exec_runtime;
        }
    }
    Ok(f64_of(nanos / 1_000) / 1_000.0)
}

/// Between two looks at child processes.
const LOOK: Duration = Duration::from_millis(20);

/// How much memory the child processes of a process take, looked at again and again until it is dropped.
#[derive(Debug)]
pub(crate) struct ChildWatch {
    most_bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl ChildWatch {
    /// From now on.
    pub(crate) fn start(parent: u32) -> Self {
        let watch = Self {
            most_bytes: Arc::default(),
            stop: Arc::default(),
        };
        let (most, stop) = (Arc::clone(&watch.most_bytes), Arc::clone(&watch.stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(peak_of_children(parent), Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        });
        watch
    }

    /// The most that one of them had at once, in bytes: the kernel keeps count between two looks.
    pub(crate) fn most_bytes(&self) -> f64 {
        let kib = self.most_bytes.load(Ordering::Relaxed) / 1024;
        f64_of(kib) * 1024.0
    }
}

impl Drop for ChildWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn peak_of_children(parent: u32) -> u64 {
    let processes = all_processes().into_iter().flatten().flatten();
    let children = processes.filter(|process| {
        let stat = process.stat().map(|stat| u32::try_from(stat.ppid));
        matches!(stat, Ok(Ok(ppid)) if ppid == parent)
    });
    let peaks = children.filter_map(|child| child.status().ok()?.vmhwm);
    peaks.max().unwrap_or_default() * 1024
}

fn f64_of(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
