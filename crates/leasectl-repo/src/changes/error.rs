//! Why a change could not be studied, told apart by what the caller should do about it.

use gix::ObjectId;
use gix::error::{Class, ResourceExhaustionKind};

use crate::content::of_git;
use crate::error::{Cause, RepoError};

/// Why a change could not be studied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StudyError {
    /// The clone lacks a commit by which the change or the default branch was named.
    #[error("the clone does not have {id}: fetch and try again")]
    Missing {
        /// The commit.
        id: ObjectId,
    },
    /// The clone cannot be read.
    #[error("the clone cannot be read")]
    Clone(#[source] RepoError),
    /// What the change is made of cannot be compared, in any clone.
    #[error("{message}")]
    Change {
        /// A word for it.
        code: &'static str,
        /// A sentence for it.
        message: String,
    },
    /// The caller asked to stop.
    #[error("the study was cancelled")]
    Cancelled,
}

impl StudyError {
    /// An object that some other object of the clone names is not there, or is of another kind.
    pub(super) fn damaged(what: &'static str) -> Self {
        let cause = Cause::new(std::io::Error::other(what));
        Self::Clone(RepoError::Corrupt { cause })
    }

    pub(super) fn not_a_commit(id: ObjectId) -> Self {
        Self::Change {
            code: "head_not_a_commit",
            message: format!("{id} is not a commit: a change is studied from a commit"),
        }
    }

    pub(super) fn history_too_long(most: usize) -> Self {
        Self::Change {
            code: "history_too_long",
            message: format!("more than {most} commits are not in the default branch"),
        }
    }

    /// There are more entries of trees than are looked at.
    pub(super) fn tree_too_large(most: usize) -> Self {
        Self::Change {
            code: "tree_too_large",
            message: format!("more than {most} entries of trees are to be compared"),
        }
    }

    /// A path is longer than any that is read.
    pub(super) fn path_too_long(most: usize) -> Self {
        Self::Change {
            code: "path_too_long",
            message: format!("the tree has a path of more than {most} bytes"),
        }
    }

    /// The study panicked.
    pub(super) fn broke() -> Self {
        Self::Change {
            code: "study_broke",
            message: "studying it ended early; see the worker's log".to_owned(),
        }
    }

    /// The object is what its id says, but not what Git makes of such an object.
    pub(super) fn invalid(id: &gix::oid) -> Self {
        Self::Change {
            code: "content_invalid",
            message: format!("the object {id} is malformed"),
        }
    }

    /// An error while an object was read.
    pub(super) fn reading(id: &gix::oid, error: gix::Error) -> Self {
        let too_large = error.classify().any(|found| {
            found.class() == Class::ResourceExhaustion(ResourceExhaustionKind::AllocationLimit)
        });
        if too_large {
            return Self::Change {
                code: "object_too_large",
                message: format!("the object {id} is larger than this worker reads"),
            };
        }
        Self::Clone(of_git(error))
    }
}
