//! Changes: what was proposed to a repository, found out from its Git objects alone.
//!
//! **Invariants**
//! - No network and no forge: what the references lead to is all there is to see.
//! - Every answer is bounded, and says what it left out.
//! - What differs is what `git diff` shows with its default settings: renames, lines and counts. Attributes
//!   are not looked at: a file is binary if there is a NUL byte at its beginning.

mod ancestry;
mod base;
mod commits;
mod compare;
mod error;
mod facts;
mod graph;
mod history;
mod inventory;
mod lines;
mod objects;
mod patch;
mod renames;
mod similarity;
mod study;
mod trees;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::ObjectId;
use tokio_util::sync::CancellationToken;

use self::ancestry::Ancestry;
pub use self::base::ChangeBase;
pub use self::error::StudyError;
pub use self::facts::{
    ChangeFacts, ChangeTotals, CommitFacts, FileFacts, FileStatus, HunkFacts, MergedAs, Person,
    StudyLimit,
};
pub use self::history::{History, HistoryCommit};
pub(crate) use self::inventory::changes as inventory;
pub use self::inventory::{ChangeFamily, ChangeRef};
use self::objects::Objects;
use self::patch::Patches;
use crate::content::Content;

/// The most items that a thread takes at once.
const MOST_AT_ONCE: usize = 16;

/// Studies the changes of one clone against one head of its default branch. What all of them need is found
/// out once, when it is first needed; share it between threads.
#[derive(Clone)]
pub struct Changes(Arc<Shared>);

struct Shared {
    content: Content,
    default_head: Option<ObjectId>,
    default_branch: Mutex<Option<Arc<DefaultBranch>>>,
    /// Of threads that are done with them: what they keep in memory is worth keeping.
    idle: Mutex<Vec<Objects>>,
}

/// What is known of the default branch.
struct DefaultBranch {
    ancestry: Ancestry,
    patches: Patches,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Changes");
        shown.field("default_head", &self.0.default_head);
        shown.finish_non_exhaustive()
    }
}

impl Changes {
    /// Nothing is read yet. Without a default head nothing is merged, and changes have no base.
    #[must_use]
    pub fn open(content: &Content, default_head: Option<ObjectId>) -> Self {
        Self(Arc::new(Shared {
            content: content.clone(),
            default_head,
            default_branch: Mutex::default(),
            idle: Mutex::default(),
        }))
    }

    /// The same changes in a clone that may have more objects by now, or be another one. What was found out of the
    /// default branch is kept: it would be the same, and reading all of its history anew costs more than a study.
    #[must_use]
    pub fn in_clone(&self, content: &Content) -> Self {
        Self(Arc::new(Shared {
            content: content.clone(),
            default_head: self.0.default_head,
            default_branch: Mutex::new(locked(&self.0.default_branch).clone()),
            idle: Mutex::default(),
        }))
    }

    /// The head of the default branch with which they are compared.
    #[must_use]
    pub fn default_head(&self) -> Option<ObjectId> {
        self.0.default_head
    }

    /// The default branch, which is read the first time; whoever else wants it waits for that.
    fn default_branch(&self, cancel: &CancellationToken) -> Result<Arc<DefaultBranch>, StudyError> {
        let mut known = locked(&self.0.default_branch);
        if let Some(known) = &*known {
            return Ok(Arc::clone(known));
        }
        let read = |objects: &Objects| Ancestry::read(objects, self.0.default_head, cancel);
        let ancestry = self.with_objects(read)?;
        let patches = Patches::new(ancestry.graph().len());
        let branch = Arc::new(DefaultBranch { ancestry, patches });
        Ok(Arc::clone(known.insert(branch)))
    }

    fn with_objects<R>(&self, work: impl FnOnce(&Objects) -> R) -> R {
        let idle = locked(&self.0.idle).pop();
        let objects = idle.unwrap_or_else(|| Objects::new(&self.0.content));
        let done = work(&objects);
        locked(&self.0.idle).push(objects);
        done
    }

    /// Does the work for each item on so many threads; results are in the order of the items.
    fn each<T: Sync, R: Send>(
        &self,
        items: &[T],
        threads: NonZeroUsize,
        work: impl Fn(&Objects, &T) -> R + Sync,
    ) -> Vec<R> {
        let at_once = (items.len() / (threads.get() * 4)).clamp(1, MOST_AT_ONCE);
        let next = AtomicUsize::new(0);
        let run = || {
            self.with_objects(|objects| {
                let mut done = Vec::new();
                loop {
                    let from = next.fetch_add(at_once, Ordering::Relaxed);
                    let Some(some) = items.get(from..items.len().min(from + at_once)) else {
                        return done;
                    };
                    if some.is_empty() {
                        return done;
                    }
                    let some = some.iter().enumerate();
                    done.extend(some.map(|(at, item)| (from + at, work(objects, item))));
                }
            })
        };
        let mut done = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads.get().min(items.len()))
                .map(|_| scope.spawn(run))
                .collect();
            let mut done = run();
            for other in others {
                match other.join() {
                    Ok(more) => done.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_unstable_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
