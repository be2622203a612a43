//! Refs of worktrees: which tree a folder on some machine held when it was last indexed.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::author::{LocalRun, begin_local};
use super::error::IndexError;
use super::ids::LinksId;
use super::publish::{NewRef, RefState, publish_root, ref_state_in};
use crate::database::{Client, DatabaseError};
use crate::ids::RepoId;

/// Where they are; no branch, tag or commit is published there.
const NAMESPACE: &str = "refs/worktrees/";

/// The most bytes of a folder's name in a ref.
const NAME_BYTES: usize = 80;

/// The ref of a worktree, such as `refs/worktrees/project-0f3a5c771e02`: the folder's name, and a digest of the
/// host and the whole path.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WorktreeRef(String);

impl WorktreeRef {
    /// Of the worktree at `root`, a path without links, on the host of that name.
    #[must_use]
    pub fn of(host: &str, root: &Path) -> Self {
        let name = root.file_name().unwrap_or_default();
        let mut safe = String::new();
        for byte in name.as_bytes().iter().take(NAME_BYTES) {
            let c = char::from(*byte);
            let is_plain = c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            // No part of a ref begins with a dot or has two in a row.
            let is_dot = c == '.' && !safe.is_empty() && !safe.ends_with('.');
            safe.push(if is_plain || is_dot { c } else { '-' });
        }
        let mut digest = Sha256::new();
        digest.update(host.as_bytes());
        digest.update([0]);
        digest.update(root.as_os_str().as_bytes());
        let digest = digest.finalize();
        let short: String = digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let joint = if safe.is_empty() { "" } else { "-" };
        Self(format!("{NAMESPACE}{safe}{joint}{short}"))
    }

    /// Whether a ref of that name is a worktree's.
    #[must_use]
    pub fn is_one(name: &str) -> bool {
        name.starts_with(NAMESPACE)
    }

    /// The ref.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What came of publishing a worktree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Published {
    /// The ref leads to the tree.
    Here(RefState),
    /// A run that began later has published it before; this is what it found.
    Later(RefState),
    /// The repository is gone, or has moved to another trust domain than that of the tree.
    Nowhere,
}

/// Has the ref of the run's worktree lead to a tree that is stored completely; `new.name` is not looked at.
///
/// # Errors
/// [`IndexError::Gone`] when the tree or its links were collected; also when the database is away.
pub async fn publish_worktree(
    client: &mut Client,
    run: &LocalRun,
    new: &NewRef<'_>,
) -> Result<Published, IndexError> {
    let name = run.worktree().as_str();
    let transaction = begin_local(client).await?;
    publish_root(&transaction, new.root, new.links.map(LinksId::get)).await?;
    let statement = transaction
        .prepare_cached(include_str!("publish_worktree.sql"))
        .await?;
    let row = transaction
        .query_one(
            &statement,
            &[
                &new.repo_id.as_uuid(),
                &name,
                &new.commit.as_bytes(),
                &new.root.get(),
                &run.token().get(),
            ],
        )
        .await?;
    if !row.get::<_, bool>("is_there") {
        return Ok(Published::Nowhere);
    }
    let state = ref_state_in(&transaction, new.repo_id, name).await?;
    transaction.commit().await?;
    let is_published: bool = row.get("is_published");
    Ok(match state {
        Some(state) if is_published => Published::Here(state),
        Some(state) => Published::Later(state),
        None => Published::Nowhere,
    })
}

/// The repository of which a worktree was last indexed; nothing when it never was.
///
/// # Errors
/// When the database is away.
pub async fn repository_of_worktree(
    client: &Client,
    name: &WorktreeRef,
) -> Result<Option<RepoId>, IndexError> {
    let statement = client
        .prepare_cached(include_str!("worktree_repository.sql"))
        .await?;
    let row = client.query_opt(&statement, &[&name.as_str()]).await?;
    Ok(row.map(|row| row.get::<_, Uuid>("repo_id").into()))
}

/// Forgets the ref of a worktree; answers whether there was one. What only it led to is collected later.
///
/// # Errors
/// When the database is away.
pub async fn forget_worktree(
    client: &Client,
    repo_id: RepoId,
    name: &WorktreeRef,
) -> Result<bool, IndexError> {
    let statement = client.prepare_cached(include_str!("unpublish.sql")).await?;
    let names = [name.as_str()];
    let gone = client
        .execute(&statement, &[&repo_id.as_uuid(), &&names[..]])
        .await?;
    Ok(gone > 0)
}

/// Forgets refs of worktrees that were not indexed for so many seconds; answers how many.
pub(super) async fn forget_old(
    client: &Client,
    seconds: f64,
    most: i64,
) -> Result<u64, DatabaseError> {
    let statement = client
        .prepare_cached(include_str!("forget_worktrees.sql"))
        .await?;
    let row = client.query_one(&statement, &[&seconds, &most]).await?;
    Ok(u64::from(row.get::<_, i32>("deleted").unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_ref_says_which_folder_it_is_of_and_no_two_folders_have_the_same() {
        let of = |host, root: &str| WorktreeRef::of(host, Path::new(root));
        let one = of("host", "/srv/project");
        assert!(
            one.as_str().starts_with("refs/worktrees/project-"),
            "{one:?}"
        );
        assert_eq!(one, of("host", "/srv/project"));
        assert_ne!(one, of("host", "/tmp/project"));
        assert_ne!(one, of("other", "/srv/project"));
        assert!(WorktreeRef::is_one(one.as_str()));
        assert!(!WorktreeRef::is_one("refs/heads/refs/worktrees/x"));
    }

    #[test]
    fn whatever_a_folder_is_called_its_ref_is_one_that_git_would_accept() {
        let long = "x".repeat(300);
        for name in [
            "a b",
            "..",
            ".hidden",
            "a..b",
            "a.lock",
            "ü~^:?*[\\",
            "-x",
            "@{1}",
            &long,
        ] {
            let named = WorktreeRef::of("host", &Path::new("/srv").join(name));
            let last = named.as_str().strip_prefix(NAMESPACE).unwrap();
            assert!(last.len() <= 100 && !last.starts_with('.') && !last.contains(".."));
            assert!(!last.ends_with(".lock") && !last.ends_with('.'), "{last}");
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            assert!(last.chars().all(is_safe), "{last}");
        }
        let bytes = PathBuf::from(OsStr::from_bytes(b"/srv/caf\xe9"));
        assert!(WorktreeRef::of("host", &bytes).as_str().contains("/caf--"));
        assert_eq!(WorktreeRef::of("host", Path::new("/")).as_str().len(), 27);
    }
}
