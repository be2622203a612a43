//! How the last attempt to clone ended, for the other processes that waited for it.
//!
//! Times are those of the kernel's boot clock, which all processes of a machine share; a note from
//! another boot, or from before the wait began, says nothing.

use std::{fs, io};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::{
    layout::{self, Layout},
    wire::Failure,
};

/// A moment on the boot clock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment {
    boot: String,
    seconds: i64,
    nanoseconds: i64,
}

impl Moment {
    /// Now; `None` where the kernel does not say which boot this is.
    pub(crate) fn now() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let now = clock_gettime(ClockId::Boottime);
        Some(Self {
            boot: boot.trim().to_owned(),
            seconds: now.tv_sec,
            nanoseconds: now.tv_nsec,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    at: Moment,
    url: String,
    failure: Failure,
}

/// Leaves a note. Needs the lock.
pub(crate) fn leave(layout: &Layout, url: &str, failure: &Failure) -> io::Result<()> {
    let Some(at) = Moment::now() else {
        return Ok(());
    };
    let note = Note {
        at,
        url: url.to_owned(),
        failure: failure.clone(),
    };
    let text = serde_json::to_vec(&note).map_err(io::Error::other)?;
    let next = layout.fresh();
    fs::write(&next, text)?;
    fs::rename(next, layout.failure())
}

/// Removes the note. Needs the lock.
pub(crate) fn clear(layout: &Layout) -> io::Result<()> {
    layout::remove_all(&layout.failure())
}

/// The failure of an attempt that ended after `since`. Needs the lock.
pub(crate) fn after(layout: &Layout, url: &str, since: &Moment) -> Option<Failure> {
    let note: Note = serde_json::from_slice(&fs::read(layout.failure()).ok()?).ok()?;
    let counts = note.at.boot == since.boot && note.at > *since && note.url == url;
    counts.then_some(note.failure)
}
