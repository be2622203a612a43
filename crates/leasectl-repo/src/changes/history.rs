//! The default branch's commits with the files that each of them changed.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;

use gix::ObjectId;
use tokio_util::sync::CancellationToken;

use super::Changes;
use super::commits;
use super::compare::Listing;
use super::error::StudyError;
use super::facts::{CommitFacts, FileFacts, StudyLimit};
use super::lines::Asked;
use super::objects::Objects;
use super::study::guarded;

/// A commit of the default branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryCommit {
    /// The commit itself.
    pub commit: CommitFacts,
    /// What it changed in its only parent, by path. A merge has none, as in `git log`.
    pub files: Vec<FileFacts>,
    /// What was left out, without repetition; nothing if everything is there.
    pub limits: Vec<StudyLimit>,
}

/// Commits that are still to be read, ancestors first: whatever was read is closed under parents, so that
/// whoever stops half-way finds the rest by asking which commits are known.
pub struct History {
    changes: Changes,
    commits: VecDeque<ObjectId>,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("History").field(&self.commits.len()).finish()
    }
}

impl Changes {
    /// The default branch's commits that are not known. Ancestors of known ones are not asked for.
    ///
    /// # Errors
    /// [`StudyError::Missing`] if the clone lacks the default branch's head, [`StudyError::Clone`] if it cannot
    /// be read.
    pub fn history(
        &self,
        is_known: &dyn Fn(&ObjectId) -> bool,
        cancel: &CancellationToken,
    ) -> Result<History, StudyError> {
        let default = self.default_branch(cancel)?;
        let graph = default.ancestry.graph();
        let mut todo: Vec<u32> = default.ancestry.head().into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(number) = todo.pop() {
            if !seen.contains(&number) && !is_known(&graph.id(number)) {
                seen.insert(number);
                todo.extend(graph.parents(number));
            }
        }
        Ok(History {
            changes: self.clone(),
            commits: seen.into_iter().map(|number| graph.id(number)).collect(),
        })
    }
}

impl History {
    /// How many commits are still to be read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.commits.len()
    }

    /// Reads the next commits, at most so many, on so many threads. None are left when none come.
    ///
    /// # Errors
    /// [`StudyError::Clone`] if the clone cannot be read, [`StudyError::Cancelled`]; the same commits are next
    /// again.
    pub fn read(
        &mut self,
        most: usize,
        threads: NonZeroUsize,
        cancel: &CancellationToken,
    ) -> Result<Vec<HistoryCommit>, StudyError> {
        let most = most.min(self.commits.len());
        let next: Vec<ObjectId> = self.commits.range(..most).copied().collect();
        let read = self
            .changes
            .each(&next, threads, |objects, id| one(objects, *id, cancel));
        let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.commits.drain(..most);
        Ok(read)
    }
}

fn one(
    objects: &Objects,
    id: ObjectId,
    cancel: &CancellationToken,
) -> Result<HistoryCommit, StudyError> {
    let mut buffer = Vec::new();
    let commit = commits::facts(objects, id, &mut buffer)?;
    let listing = match guarded(|| listing(objects, &commit, cancel)) {
        Ok(listing) => listing,
        // One odd commit must not hide all that came after it.
        Err(StudyError::Change { .. }) => Listing {
            limits: vec![StudyLimit::Invalid],
            ..Listing::default()
        },
        Err(error) => return Err(error),
    };
    Ok(HistoryCommit {
        commit,
        files: listing.files,
        limits: listing.limits,
    })
}

fn listing(
    objects: &Objects,
    commit: &CommitFacts,
    cancel: &CancellationToken,
) -> Result<Listing, StudyError> {
    let old = match commit.parents[..] {
        [] => None,
        [parent] => Some(objects.node(&parent, &mut Vec::new())?.tree),
        _ => return Ok(Listing::default()),
    };
    Listing::of(objects, old, Some(commit.tree), Asked::Counts, cancel)
}
