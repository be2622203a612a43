//! What Git says of a change, in the words of the database.

use leasectl_core::changes as stored;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::index::ObjectId;
use leasectl_repo::bstr::BString;
use leasectl_repo::{
    ChangeFacts, ChangeFamily, ChangeRef, CommitFacts, FileFacts, FileStatus, HistoryCommit,
    HunkFacts, ObjectId as GitId, StudyLimit,
};

/// An object's id.
pub(in crate::kinds) fn object(id: GitId) -> Result<ObjectId, JobError> {
    ObjectId::from_bytes(id.as_slice())
        .map_err(|error| JobError::permanent(ErrorCode::InvalidArgument, error.to_string()))
}

/// An object's id as Git knows it.
pub(super) fn git_id(id: ObjectId) -> Result<GitId, JobError> {
    GitId::try_from(id.as_bytes())
        .map_err(|error| JobError::permanent(ErrorCode::InvalidArgument, error.to_string()))
}

/// The family of a change.
fn family(family: ChangeFamily) -> stored::Family {
    match family {
        ChangeFamily::Pull => stored::Family::Pull,
        ChangeFamily::MergeRequest => stored::Family::MergeRequest,
        ChangeFamily::Gerrit => stored::Family::Gerrit,
    }
}

/// The change that is due, as Git knows it.
pub(super) fn change_ref(due: &stored::Due) -> Result<ChangeRef, JobError> {
    Ok(ChangeRef {
        family: match due.key.family {
            stored::Family::Pull => ChangeFamily::Pull,
            stored::Family::MergeRequest => ChangeFamily::MergeRequest,
            stored::Family::Gerrit => ChangeFamily::Gerrit,
        },
        number: due.key.number.unsigned_abs(),
        reference: due.reference.clone(),
        head: git_id(due.head)?,
        test_merge: due.test_merge.map(git_id).transpose()?,
    })
}

/// An entry of the inventory.
pub(in crate::kinds) fn inventory_entry(
    change: &ChangeRef,
) -> Result<stored::InventoryEntry, JobError> {
    Ok(stored::InventoryEntry {
        key: stored::ChangeKey {
            family: family(change.family),
            number: i64::try_from(change.number).unwrap_or(i64::MAX),
        },
        reference: change.reference.clone(),
        head: object(change.head)?,
        test_merge: change.test_merge.map(object).transpose()?,
    })
}

/// What is stored of a change.
pub(super) fn snapshot(facts: ChangeFacts) -> Result<stored::Snapshot, JobError> {
    let open = facts.open();
    let commits = facts.commits.into_iter().map(commit);
    let mut files = facts
        .files
        .into_iter()
        .map(|facts| file(facts, Vec::new()))
        .collect::<Result<Vec<_>, _>>()?;
    for facts in &facts.hunks {
        let place = usize::try_from(facts.file).unwrap_or(usize::MAX);
        if let Some(file) = files.get_mut(place) {
            file.hunks.push(hunk(facts));
        }
    }
    Ok(stored::Snapshot {
        base: facts.base.map(object).transpose()?,
        merge_base: facts.merge_base.map(object).transpose()?,
        open,
        digest: None,
        commits: commits.collect::<Result<_, _>>()?,
        commit_count: facts.totals.commits,
        files,
        file_count: facts.totals.files,
        additions: facts.totals.additions,
        deletions: facts.totals.deletions,
        limits: limits(&facts.limits),
    })
}

/// What is stored of a commit of the default branch.
pub(super) fn history_commit(facts: HistoryCommit) -> Result<stored::HistoryCommit, JobError> {
    let files = facts.files.into_iter().map(|facts| {
        let file = file(facts, Vec::new())?;
        Ok(stored::HistoryFile {
            path: file.path,
            old_path: file.old_path,
            status: file.status,
            additions: file.additions,
            deletions: file.deletions,
        })
    });
    Ok(stored::HistoryCommit {
        files: files.collect::<Result<_, JobError>>()?,
        limits: limits(&facts.limits),
        commit: commit(facts.commit)?,
    })
}

fn commit(facts: CommitFacts) -> Result<stored::Commit, JobError> {
    let parents = facts.parents.into_iter().map(object);
    Ok(stored::Commit {
        id: object(facts.id)?,
        parents: parents.collect::<Result<_, _>>()?,
        author_name: facts.author.name,
        author_email: facts.author.email,
        authored_at_s: facts.author.at,
        committed_at_s: facts.committer.at,
        summary: facts.summary,
    })
}

fn file(facts: FileFacts, hunks: Vec<stored::Hunk>) -> Result<stored::File, JobError> {
    Ok(stored::File {
        path: text(&facts.path),
        old_path: facts.old_path.as_ref().map(text),
        status: match facts.status {
            FileStatus::Added => stored::FileStatus::Added,
            FileStatus::Modified => stored::FileStatus::Modified,
            FileStatus::Deleted => stored::FileStatus::Deleted,
            FileStatus::Renamed => stored::FileStatus::Renamed,
            FileStatus::TypeChanged => stored::FileStatus::TypeChanged,
        },
        additions: facts.additions,
        deletions: facts.deletions,
        blob: Some(object(facts.blob)?),
        hunks,
    })
}

fn hunk(facts: &HunkFacts) -> stored::Hunk {
    stored::Hunk {
        old_start: facts.old_start,
        old_lines: facts.old_lines,
        new_start: facts.new_start,
        new_lines: facts.new_lines,
    }
}

fn limits(limits: &[StudyLimit]) -> Vec<&'static str> {
    limits.iter().map(|limit| limit.as_str()).collect()
}

/// A path as text: what is no UTF-8 in it is replaced, as everywhere else.
fn text(path: &BString) -> String {
    path.to_string()
}
