//! A few open repositories, so that asking a warm clone for a commit need not open it each time.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Mutex,
};

use gix::ObjectId;

use super::slot::locked;
use crate::{
    lost_pages::{Since, lacks},
    repository,
    stamp::{self, Print},
};

/// How many repositories stay open.
const MOST: usize = 16;

/// Open repositories, the most recently used last.
#[derive(Default)]
pub(crate) struct Handles(Mutex<VecDeque<Handle>>);

struct Handle {
    path: PathBuf,
    print: Print,
    opened: Since,
    repo: gix::ThreadSafeRepository,
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handles")
            .field(&locked(&self.0).len())
            .finish()
    }
}

impl Handles {
    /// The first of `commits` that the clone in `dir` lacks, or an error if one cannot be read.
    pub(crate) fn first_missing(
        &self,
        dir: &Path,
        commits: &[ObjectId],
        max_read_bytes: u64,
    ) -> gix::Result<Option<ObjectId>> {
        let repo = self.open(dir, max_read_bytes)?;
        for id in commits {
            match repo.try_find_object(*id)? {
                Some(object) if object.kind == gix::objs::Kind::Commit => {
                    object.try_to_commit_ref()?;
                }
                Some(_) => {}
                None if lacks(&repo, id)? => return Ok(Some(*id)),
                None => {}
            }
        }
        Ok(None)
    }

    /// Closes the clone in `dir`: as long as its packs are mapped, deleting them frees no space.
    pub(crate) fn forget(&self, dir: &Path) {
        locked(&self.0).retain(|handle| handle.path != dir);
    }

    fn open(&self, dir: &Path, max_read_bytes: u64) -> gix::Result<gix::Repository> {
        let print = Print::of(&stamp::path(dir)).map_err(gix::Error::from_error)?;
        {
            let mut handles = locked(&self.0);
            if let Some(at) = handles.iter().position(|handle| handle.path == dir)
                && let Some(handle) = handles.remove(at)
                && handle.print == print
                && !handle.opened.has_lost()
            {
                let repo = handle.repo.to_thread_local();
                handles.push_back(handle);
                return Ok(repo);
            }
        }
        let opened = Since::now();
        let repo = repository::open(dir, max_read_bytes)?.into_sync();
        let local = repo.to_thread_local();
        let mut handles = locked(&self.0);
        handles.push_back(Handle {
            path: dir.to_owned(),
            print,
            opened,
            repo,
        });
        if handles.len() > MOST {
            handles.pop_front();
        }
        Ok(local)
    }
}
