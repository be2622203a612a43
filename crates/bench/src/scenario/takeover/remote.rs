//! A Git remote on loopback that sends the beginning of each pack and then drips.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasectl_repo::serve::{Fault, LocalRemote, ServeOptions};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::world::before;
use crate::error::BenchError;
use crate::process::git;
use crate::scenario::clone::commit_file;

/// What is sent of a pack before the dripping begins, in bytes.
const BEGINNING: u64 = 2_000;
/// What the repository's one file holds, in bytes of which a pack needs half: more than is sent before
/// the remote has noticed that the pack began, and dripped it would take hours.
const FILE_BYTES: usize = 1024 * 1024;
/// How long a pack may take to begin.
const LIMIT: Duration = Duration::from_secs(30);

/// The remote, and as many names for its one repository as are asked for.
#[derive(Debug)]
pub(super) struct Remote {
    served: LocalRemote,
    names: AtomicUsize,
    folder: TempDir,
}

impl Remote {
    /// Starts one that drips.
    pub(super) async fn start() -> Result<Self, BenchError> {
        let folder = tempfile::tempdir()?;
        let work = folder.path().join("work").display().to_string();
        git(["init", "-q", "--initial-branch=main", &work]).await?;
        commit_file(&work, noise().as_bytes()).await?;
        let bare = folder.path().join("bench/source.git").display().to_string();
        git(["clone", "-q", "--mirror", &work, &bare]).await?;
        let options = ServeOptions {
            bytes_per_second: None,
            fault: Fault::DripAfter(BEGINNING),
        };
        Ok(Self {
            served: LocalRemote::start(folder.path().to_owned(), options).await?,
            names: AtomicUsize::new(0),
            folder,
        })
    }

    /// The URL of the repository under a name that was not used before.
    pub(super) fn new_repository(&self) -> Result<String, BenchError> {
        let name = format!("bench/r{}.git", self.names.fetch_add(1, Ordering::Relaxed));
        std::os::unix::fs::symlink("source.git", self.folder.path().join(&name))?;
        Ok(self.served.url(&name))
    }

    /// Packs that were begun so far.
    pub(super) fn packs(&self) -> u64 {
        self.served.seen().packs
    }

    /// Waits until that many packs were begun.
    pub(super) async fn begun(&self, packs: u64) -> Result<(), BenchError> {
        let deadline = Instant::now() + LIMIT;
        while self.packs() < packs {
            before(deadline, "the middle of a fetch")?;
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Drips from now on.
    pub(super) fn drip(&self) {
        self.served.set_fault(Fault::DripAfter(BEGINNING));
    }

    /// Sends as fast as it can from now on, also what is under way.
    pub(super) fn hurry(&self) {
        self.served.set_fault(Fault::None);
    }
}

/// Text whose bytes repeat too late for a pack to be small.
fn noise() -> String {
    let mut text = String::with_capacity(FILE_BYTES + 16);
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    while text.len() < FILE_BYTES {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Writing to a string does not fail.
        let _ = write!(text, "{state:016x}");
    }
    text
}
