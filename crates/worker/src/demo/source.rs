//! The repository that the demo works on, found on this machine.
//!
//! It must work wherever somebody types `worker demo`: in a subfolder, in a linked worktree, in a
//! submodule, in a bare repository, and in the shallow clone with a detached head that CI systems
//! make.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::process::{ProcessError, git};

/// A repository on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    /// What is registered as the remote: the working folder, or the bare repository itself.
    pub(crate) folder: PathBuf,
    /// Where its objects and refs are.
    pub(crate) common_dir: PathBuf,
    /// Where its `HEAD` is; differs from `common_dir` in a linked worktree.
    pub(crate) git_dir: PathBuf,
}

/// There is nothing to work on.
#[derive(Debug, Error)]
pub(crate) enum SourceError {
    /// Not inside a repository.
    #[error("{} is not inside a Git repository", .0.display())]
    NotARepository(PathBuf),
    /// A `.git` file that leads nowhere.
    #[error("{} does not lead to a Git repository", .0.display())]
    BrokenLink(PathBuf),
    /// No commit yet.
    #[error("the repository in {} has no commits yet", .0.display())]
    Empty(PathBuf),
    /// Something could not be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// `git` failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// One ref: its full name and its object.
pub(crate) type Ref = (String, String);

impl Source {
    /// The repository that `start` lies in, found by walking up.
    pub(crate) fn around(start: &Path) -> Result<Self, SourceError> {
        let real = start.canonicalize().map_err(|source| SourceError::Io {
            path: start.to_path_buf(),
            source,
        })?;
        for folder in real.ancestors() {
            if let Some(found) = Self::at(folder)? {
                return Ok(found);
            }
        }
        Err(SourceError::NotARepository(real))
    }

    /// The repository whose top folder is `folder`, if it is one.
    fn at(folder: &Path) -> Result<Option<Self>, SourceError> {
        let dot_git = folder.join(".git");
        let git_dir = if dot_git.is_file() {
            linked(&dot_git)?
        } else if is_git_dir(&dot_git) {
            dot_git
        } else if is_git_dir(folder) {
            folder.to_path_buf()
        } else {
            return Ok(None);
        };
        let common_dir = match fs::read_to_string(git_dir.join("commondir")) {
            Ok(relative) => real(&git_dir.join(relative.trim_end()))?,
            Err(_none) => git_dir.clone(),
        };
        let folder = match (common_dir.file_name(), common_dir.parent()) {
            (Some(name), Some(parent)) if name == ".git" => parent.to_path_buf(),
            _ => common_dir.clone(),
        };
        Ok(Some(Self {
            folder,
            common_dir,
            git_dir,
        }))
    }

    /// Whether the history of it is cut off, as in most clones of CI systems.
    pub(crate) fn is_shallow(&self) -> bool {
        self.common_dir.join("shallow").is_file()
    }

    /// Whether it belongs to somebody else, as in containers of CI systems; git refuses to serve
    /// such a repository.
    pub(crate) fn is_foreign(&self) -> bool {
        let me = rustix::process::geteuid().as_raw();
        [&self.folder, &self.common_dir]
            .iter()
            .any(|folder| fs::metadata(folder).is_ok_and(|found| found.uid() != me))
    }

    /// A short name for it, from its folder.
    pub(crate) fn name(&self) -> String {
        let folder = self
            .folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name: String = folder
            .unwrap_or_default()
            .trim_end_matches(".git")
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let name = name.trim_matches('-');
        if name.is_empty() {
            "repository".to_owned()
        } else {
            name.to_owned()
        }
    }

    /// Its branches and tags, and the commit of its head.
    pub(crate) async fn refs(&self) -> Result<Refs, SourceError> {
        let listed = git(
            &self.common_dir,
            &[
                "for-each-ref",
                "--format=%(objectname) %(refname)",
                "refs/heads",
                "refs/tags",
            ],
        )
        .await?;
        let refs: Vec<Ref> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(object, name)| (name.to_owned(), object.to_owned()))
            .collect();
        let head = git(
            &self.git_dir,
            &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
        )
        .await;
        let head = head
            .ok()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty());
        let branch = git(&self.git_dir, &["symbolic-ref", "--quiet", "HEAD"]).await;
        let branch = branch.ok().map(|line| line.trim().to_owned());
        if refs.is_empty() && head.is_none() {
            return Err(SourceError::Empty(self.folder.clone()));
        }
        Ok(Refs { refs, head, branch })
    }
}

/// What a [`Source`] offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refs {
    /// Branches and tags.
    pub(crate) refs: Vec<Ref>,
    /// The commit that is checked out.
    pub(crate) head: Option<String>,
    /// The branch that is checked out, by its full name.
    pub(crate) branch: Option<String>,
}

impl Refs {
    /// Whether there is any branch; a detached checkout of a CI system has none.
    pub(crate) fn has_branches(&self) -> bool {
        self.refs
            .iter()
            .any(|(name, _)| name.starts_with("refs/heads/"))
    }
}

fn is_git_dir(folder: &Path) -> bool {
    folder.join("HEAD").is_file() && folder.join("objects").is_dir() && folder.join("refs").is_dir()
}

/// Where a `.git` file leads.
fn linked(file: &Path) -> Result<PathBuf, SourceError> {
    let broken = || SourceError::BrokenLink(file.to_path_buf());
    let text = fs::read_to_string(file).map_err(|_| broken())?;
    let target = text
        .trim_end()
        .strip_prefix("gitdir: ")
        .ok_or_else(broken)?;
    let folder = file.parent().ok_or_else(broken)?;
    folder.join(target).canonicalize().map_err(|_| broken())
}

fn real(path: &Path) -> Result<PathBuf, SourceError> {
    path.canonicalize().map_err(|source| SourceError::Io {
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository made by hand; only its layout matters here.
    fn bare(folder: &Path) {
        fs::create_dir_all(folder.join("objects")).unwrap();
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::write(folder.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    }

    #[test]
    fn a_subfolder_belongs_to_the_repository_around_it() {
        let home = tempfile::tempdir().unwrap();
        let top = home.path().canonicalize().unwrap().join("proj");
        bare(&top.join(".git"));
        fs::create_dir_all(top.join("src/deep")).unwrap();
        let found = Source::around(&top.join("src/deep")).unwrap();
        assert_eq!(found.folder, top);
        assert_eq!(found.common_dir, top.join(".git"));
        assert_eq!(found.name(), "proj");
    }

    #[test]
    fn a_linked_worktree_leads_to_its_main_repository() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let main = home.join("proj");
        bare(&main.join(".git"));
        let private = main.join(".git/worktrees/side");
        fs::create_dir_all(&private).unwrap();
        fs::write(private.join("HEAD"), "ref: refs/heads/side\n").unwrap();
        fs::write(private.join("commondir"), "../..\n").unwrap();
        let side = home.join("side");
        fs::create_dir_all(&side).unwrap();
        fs::write(
            side.join(".git"),
            format!("gitdir: {}\n", private.display()),
        )
        .unwrap();
        let found = Source::around(&side).unwrap();
        assert_eq!(found.folder, main);
        assert_eq!(found.common_dir, main.join(".git"));
        assert_eq!(found.git_dir, private);
    }

    #[test]
    fn a_bare_repository_is_its_own_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().canonicalize().unwrap().join("proj.git");
        bare(&folder);
        let found = Source::around(&folder.join("refs")).unwrap();
        assert_eq!(found.folder, folder);
        assert_eq!(found.name(), "proj");
    }

    #[test]
    fn outside_a_repository_the_folder_is_named() {
        let home = tempfile::tempdir().unwrap();
        let error = Source::around(home.path()).unwrap_err();
        assert!(matches!(error, SourceError::NotARepository(_)), "{error}");
        fs::write(home.path().join(".git"), "gitdir: /no/such/folder\n").unwrap();
        let error = Source::around(home.path()).unwrap_err();
        assert!(matches!(error, SourceError::BrokenLink(_)), "{error}");
    }
}
