//! All facts of one change.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gix::ObjectId;
use tokio_util::sync::CancellationToken;

use super::base::{self, ChangeBase, Extent};
use super::commits;
use super::compare::Listing;
use super::error::StudyError;
use super::facts::{ChangeFacts, ChangeTotals, MergedAs, StudyLimit};
use super::inventory::ChangeRef;
use super::lines::Asked;
use super::objects::Objects;
use super::patch::{Found, Patch, Search};
use super::{Changes, DefaultBranch};

/// The most commits of a change that are listed.
const MOST_COMMITS: usize = 10_000;

impl Changes {
    /// Whether the commit is the head of the default branch or an ancestor of it.
    ///
    /// # Errors
    /// [`StudyError`], but never [`StudyError::Change`].
    pub fn is_in_default(
        &self,
        commit: ObjectId,
        cancel: &CancellationToken,
    ) -> Result<bool, StudyError> {
        let default = self.default_branch(cancel)?;
        Ok(default.ancestry.graph().number(&commit).is_some())
    }

    /// Where a change starts, without a look at what it changes.
    ///
    /// # Errors
    /// [`StudyError`], as for [`study`](Self::study).
    pub fn base_of(
        &self,
        change: &ChangeRef,
        cancel: &CancellationToken,
    ) -> Result<ChangeBase, StudyError> {
        let branch = self.default_branch(cancel)?;
        let find = |objects: &Objects| base::extent(objects, &branch.ancestry, change, cancel);
        Ok(self.with_objects(find)?.base)
    }

    /// Everything about a change.
    ///
    /// # Errors
    /// [`StudyError::Missing`] if the clone lacks what the change is named by, [`StudyError::Change`] if it is
    /// the change's own fault, [`StudyError::Clone`] if the clone cannot be read.
    pub fn study(
        &self,
        change: &ChangeRef,
        cancel: &CancellationToken,
    ) -> Result<ChangeFacts, StudyError> {
        let branch = self.default_branch(cancel)?;
        self.with_objects(|objects| guarded(|| study(objects, &branch, change, cancel)))
    }

    /// The same for many, on so many threads; the answers are in the order of the changes.
    pub fn study_all(
        &self,
        changes: &[ChangeRef],
        threads: NonZeroUsize,
        cancel: &CancellationToken,
    ) -> Vec<Result<ChangeFacts, StudyError>> {
        match self.default_branch(cancel) {
            Ok(branch) => self.each(changes, threads, |objects, change| {
                guarded(|| study(objects, &branch, change, cancel))
            }),
            Err(error) => changes.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

/// A study that fails alone whatever it meets: content that breaks the reading of one change must not keep the
/// others from being studied.
pub(super) fn guarded<T>(study: impl FnOnce() -> Result<T, StudyError>) -> Result<T, StudyError> {
    catch_unwind(AssertUnwindSafe(study)).unwrap_or_else(|_| Err(StudyError::broke()))
}

fn study(
    objects: &Objects,
    branch: &DefaultBranch,
    change: &ChangeRef,
    cancel: &CancellationToken,
) -> Result<ChangeFacts, StudyError> {
    let extent = base::extent(objects, &branch.ancestry, change, cancel)?;
    let mut buffer = Vec::new();
    let mut tree = |id: &ObjectId| objects.node(id, &mut buffer).map(|node| node.tree);
    let patch = Patch {
        old: extent.base.merge_base.as_ref().map(&mut tree).transpose()?,
        new: tree(&extent.head)?,
    };
    let listing = Listing::of(objects, patch.old, Some(patch.new), Asked::Places, cancel)?;
    let mut limits = listing.limits;
    let merged_as = match merged_as(objects, branch, &extent, patch, cancel)? {
        Found::Merged(merged_as) => Some(merged_as),
        Found::Nowhere => None,
        Found::Unknown => {
            limits.push(StudyLimit::PatchSearch);
            None
        }
    };
    if extent.commits.len() > MOST_COMMITS {
        limits.push(StudyLimit::Commits);
    }
    limits.sort_unstable();
    let listed = extent.commits.iter().take(MOST_COMMITS);
    let commits = listed
        .map(|id| commits::facts(objects, *id, &mut buffer))
        .collect::<Result<_, _>>()?;
    Ok(ChangeFacts {
        head: change.head,
        base: extent.base.base,
        merge_base: extent.base.merge_base,
        merged_as,
        commits,
        totals: ChangeTotals {
            commits: extent.commits.len() as u64,
            files: listing.found,
            additions: listing.additions,
            deletions: listing.deletions,
        },
        files: listing.files,
        hunks: listing.hunks,
        limits,
    })
}

/// Whether the default branch has the change, and as what.
fn merged_as(
    objects: &Objects,
    branch: &DefaultBranch,
    extent: &Extent,
    patch: Patch,
    cancel: &CancellationToken,
) -> Result<Found, StudyError> {
    if extent.base.is_ancestor {
        return Ok(Found::Merged(MergedAs::Ancestor));
    }
    let ancestry = &branch.ancestry;
    let is_landed = |id: &ObjectId| ancestry.landed(id).is_some();
    let log = base::log(objects, ancestry, extent.head, cancel, is_landed)?;
    let graph = ancestry.graph();
    let tips: Vec<u32> = log
        .reached
        .iter()
        .filter_map(|id| graph.number(id))
        .collect();
    let search = Search {
        objects,
        ancestry,
        patches: &branch.patches,
        landed: ancestry.beyond(&tips),
        cancel,
    };
    search.find(patch, &extent.commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_that_breaks_is_an_error_of_its_change() {
        let broken: Result<(), _> = guarded(|| panic!("odd content"));
        assert!(matches!(broken, Err(StudyError::Change { .. })));
        assert_eq!(guarded(|| Ok(7)).unwrap(), 7);
    }
}
