//! What came of the changes of one batch.

use std::num::NonZeroUsize;

use leasectl_core::changes::{Due, Known, Outcome, Studied};
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::index::ObjectId;
use leasectl_repo::{ChangeFacts, ChangeRef, Changes, RepoError, StudyError};
use tokio_util::sync::CancellationToken;

use super::super::clone::job_error;
use super::facts::{change_ref, object, snapshot};

/// Why a pass did not get on.
#[derive(Debug)]
pub(super) enum Failure {
    /// The clone is damaged, and was put aside.
    Corrupt(RepoError),
    /// The job fails.
    Job(JobError),
}

impl Failure {
    /// The job was asked to stop.
    pub(super) fn stopped() -> Self {
        Self::Job(JobError::retryable(
            ErrorCode::Cancelled,
            "the job was asked to stop",
        ))
    }

    /// A thread that reads ended early.
    pub(super) fn broke() -> Self {
        Self::Job(JobError::retryable(
            ErrorCode::HandlerPanicked,
            "a thread that studies changes ended early; see the worker's log",
        ))
    }

    /// The failure of the job, when it is not tried again at once.
    pub(super) fn into_job_error(self) -> JobError {
        match self {
            Self::Corrupt(error) => job_error(&error),
            Self::Job(error) => error,
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        match error {
            StudyError::Cancelled => Self::stopped(),
            StudyError::Clone(error) => Self::Job(job_error(&error)),
            StudyError::Missing { .. } => Self::Job(JobError::retryable(
                ErrorCode::RefNotFound,
                "a commit of the default branch is gone; a fetch will tell what came in its place",
            )),
            StudyError::Change { message, .. } => {
                Self::Job(JobError::permanent(ErrorCode::InvalidArgument, message))
            }
        }
    }
}

/// Studies a batch. A change that cannot be studied fails alone; an error is one of the clone, or the wish to stop.
pub(super) fn studied(
    changes: &Changes,
    due: Vec<Due>,
    threads: NonZeroUsize,
    cancel: &CancellationToken,
) -> Result<Vec<Studied>, StudyError> {
    let mut refs = Vec::with_capacity(due.len());
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(due.len());
    for due in &due {
        match change_ref(due) {
            Ok(change) => {
                refs.push(change);
                outcomes.push(None);
            }
            Err(error) => outcomes.push(Some(Outcome::Failed(error))),
        }
    }
    let mut found = refs.iter().zip(changes.study_all(&refs, threads, cancel));
    let mut batch = Vec::with_capacity(due.len());
    for (mut due, outcome) in due.into_iter().zip(outcomes) {
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => match found.next() {
                Some((change, facts)) if lacks_test_merge(change, &facts) => {
                    without_test_merge(changes, change, &mut due, cancel)?
                }
                Some((_, facts)) => outcome_of(&due, facts)?,
                None => continue,
            },
        };
        batch.push(Studied { due, outcome });
    }
    Ok(batch)
}

/// A test merge is made anew whenever its target moves, so the recorded one may be gone.
fn lacks_test_merge(change: &ChangeRef, facts: &Result<ChangeFacts, StudyError>) -> bool {
    matches!(facts, Err(StudyError::Missing { id }) if change.test_merge == Some(*id))
}

/// What was found with an earlier test merge of the same head is nearer to the truth than a comparison with the
/// default branch, and is kept. Else the change is studied and recorded as one that has none. Either way it stays
/// due, since the inventory says otherwise.
fn without_test_merge(
    changes: &Changes,
    change: &ChangeRef,
    due: &mut Due,
    cancel: &CancellationToken,
) -> Result<Outcome, StudyError> {
    let kept = due
        .known
        .filter(|known| is_kept(known, due.head, due.test_merge));
    due.test_merge = kept.and_then(|known| known.test_merge);
    if let Some(known) = kept {
        return Ok(Outcome::Unchanged { base: known.base });
    }
    let alone = ChangeRef {
        test_merge: None,
        ..change.clone()
    };
    outcome_of(due, changes.study(&alone, cancel))
}

/// Whether what is known is of this head and another test merge than the recorded one. What is known from that one
/// itself would pass for current, though the default branch has moved since: whether the change is open was not
/// looked at.
fn is_kept(known: &Known, head: ObjectId, recorded: Option<ObjectId>) -> bool {
    known.head == head && known.test_merge.is_some() && known.test_merge != recorded
}

fn outcome_of(due: &Due, facts: Result<ChangeFacts, StudyError>) -> Result<Outcome, StudyError> {
    let failed = |code, message: String| Ok(Outcome::Failed(JobError::retryable(code, message)));
    let facts = match facts {
        Ok(facts) => facts,
        Err(StudyError::Missing { .. }) => {
            return failed(
                ErrorCode::RefNotFound,
                "its head is gone from the remote; the next fetch tells what came in its place"
                    .to_owned(),
            );
        }
        Err(StudyError::Change { message, .. }) => {
            return failed(ErrorCode::InvalidArgument, message);
        }
        Err(error @ (StudyError::Clone(_) | StudyError::Cancelled)) => return Err(error),
    };
    if let Some(known) = &due.known
        && is_unchanged(due.head, known, &facts)
    {
        return Ok(match facts.base.map(object).transpose() {
            Ok(base) => Outcome::Unchanged { base },
            Err(error) => Outcome::Failed(error),
        });
    }
    Ok(match snapshot(facts) {
        Ok(snapshot) => Outcome::Snapshot(Box::new(snapshot)),
        Err(error) => Outcome::Failed(error),
    })
}

/// Whether what is stored of the change is still what Git says: its files hang on head and merge base alone. Its
/// commits do not where there are several merge bases, of which one is as good as before; those of a head only
/// become fewer, while the default branch goes on.
fn is_unchanged(head: ObjectId, known: &Known, facts: &ChangeFacts) -> bool {
    let merge_base = facts.merge_base.map(object).transpose();
    head == known.head
        && facts.open() == known.open
        && i64::try_from(facts.totals.commits) == Ok(known.commit_count)
        && merge_base.is_ok_and(|merge_base| merge_base == known.merge_base)
}

#[cfg(test)]
mod tests {
    use leasectl_repo::ChangeTotals;

    use super::super::facts::git_id;
    use super::*;

    #[test]
    fn what_the_recorded_test_merge_showed_is_not_kept_without_it() {
        let [head, other, recorded] = [1, 2, 3].map(|n| ObjectId::from_bytes(&[n; 20]).unwrap());
        let known = |head, test_merge| Known {
            head,
            test_merge,
            base: None,
            merge_base: None,
            open: true,
            commit_count: 1,
            default_head: None,
        };
        let is_kept = |known: Known| is_kept(&known, head, Some(recorded));
        assert!(is_kept(known(head, Some(other))));
        assert!(!is_kept(known(head, Some(recorded))));
        assert!(!is_kept(known(head, None)));
        assert!(!is_kept(known(other, Some(other))));
    }

    #[test]
    fn a_change_of_fewer_commits_than_before_is_another_one() {
        let head = ObjectId::from_bytes(&[7; 20]).unwrap();
        let known = Known {
            head,
            test_merge: None,
            base: None,
            merge_base: Some(head),
            open: true,
            commit_count: 3,
            default_head: None,
        };
        let of = |commits| ChangeFacts {
            head: git_id(head).unwrap(),
            base: None,
            merge_base: Some(git_id(head).unwrap()),
            merged_as: None,
            commits: Vec::new(),
            files: Vec::new(),
            hunks: Vec::new(),
            totals: ChangeTotals {
                commits,
                ..ChangeTotals::default()
            },
            limits: Vec::new(),
        };
        assert!(is_unchanged(head, &known, &of(3)));
        assert!(!is_unchanged(head, &known, &of(2)));
    }
}
