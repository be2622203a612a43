//! Resource limits that the child sets on itself before it reads anything from a remote.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::settings::Limits;

/// What a process is likeliest to be killed for when a machine has no memory left.
const LIKELIEST: &str = "1000";

/// Limits memory, file size and processor time, and forbids core dumps (they would hold secrets).
pub(crate) fn apply(limits: &Limits) -> io::Result<()> {
    /// Work on all processors of a large machine, for the whole wall-clock time.
    const PROCESSORS: u64 = 64;
    lower(Resource::Core, 0)?;
    // What is written to; packs that are mapped to be read may be larger than memory.
    lower(Resource::Data, limits.max_memory_bytes)?;
    // The machine may have less than that. Then this process is the one to go, and not the worker, which has
    // leases, or a database on the same machine. Where that cannot be said, the system chooses.
    let _ = std::fs::write("/proc/self/oom_score_adj", LIKELIEST);
    // A pack's index and the completed form of a thin pack add to what was received.
    lower(Resource::Fsize, limits.max_bytes.saturating_mul(2))?;
    lower(
        Resource::Cpu,
        limits
            .wall_clock
            .as_secs()
            .saturating_add(1)
            .saturating_mul(PROCESSORS),
    )
}

/// Sets a limit, unless a lower one holds already.
fn lower(resource: Resource, value: u64) -> io::Result<()> {
    let current = getrlimit(resource);
    let maximum = current.maximum.map_or(value, |maximum| maximum.min(value));
    let wanted = current
        .current
        .map_or(maximum, |current| current.min(maximum));
    Ok(setrlimit(
        resource,
        Rlimit {
            current: Some(wanted),
            maximum: Some(maximum),
        },
    )?)
}
