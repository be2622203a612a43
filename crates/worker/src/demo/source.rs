//! The repository that the demo works on, found on this machine.
//!
//! It must work wherever somebody types `worker demo`: in a subfolder, in a linked worktree, in a
//! submodule, in a bare repository, and in the shallow clone with a detached head that CI systems
//! make.

use std::fs;
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
type Ref = (String, String);

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
    refs: Vec<Ref>,
    head: Option<String>,
    branch: Option<String>,
}

impl Refs {
    /// Whether there is any branch; a detached checkout of a CI system has none.
    pub(crate) fn has_branches(&self) -> bool {
        self.refs
            .iter()
            .any(|(name, _)| name.starts_with("refs/heads/"))
    }

    /// The branch that is the default, and all refs; a detached head becomes the branch `main`.
    fn offered(&self) -> (String, Vec<Ref>) {
        const FALLBACK: &str = "refs/heads/main";
        let mut refs = self.refs.clone();
        let known = |name: &str| self.refs.iter().any(|(known, _)| known == name);
        if let Some(branch) = &self.branch
            && known(branch)
        {
            return (branch.clone(), refs);
        }
        if let Some(head) = &self.head
            && !known(FALLBACK)
        {
            refs.push((FALLBACK.to_owned(), head.clone()));
        }
        refs.sort();
        (FALLBACK.to_owned(), refs)
    }
}

/// A bare repository that offers a source's branches and tags and borrows its objects: nothing
/// else of the source can be reached through it, and it belongs to this user.
#[derive(Debug)]
pub(crate) struct Facade {
    /// The bare repository.
    pub(crate) git_dir: PathBuf,
}

impl Facade {
    /// Makes it at `git_dir`, which does not exist yet.
    pub(crate) fn make(
        source: &Source,
        refs: &Refs,
        git_dir: PathBuf,
    ) -> Result<Self, SourceError> {
        let (head, offered) = refs.offered();
        let sha256 = offered.iter().any(|(_, object)| object.len() == 64);
        let config = if sha256 {
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
        } else {
            "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
        };
        let packed: String = offered
            .iter()
            .map(|(name, object)| format!("{object} {name}\n"))
            .collect();
        let objects = source.common_dir.join("objects");
        for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
            let path = git_dir.join(folder);
            fs::create_dir_all(&path).map_err(|source| SourceError::Io { path, source })?;
        }
        write(&git_dir.join("config"), config)?;
        write(&git_dir.join("HEAD"), &format!("ref: {head}\n"))?;
        write(&git_dir.join("packed-refs"), &packed)?;
        write(
            &git_dir.join("objects/info/alternates"),
            &format!("{}\n", objects.display()),
        )?;
        if let Ok(shallow) = fs::read_to_string(source.common_dir.join("shallow")) {
            write(&git_dir.join("shallow"), &shallow)?;
        }
        Ok(Self { git_dir })
    }

    /// Bytes that its objects take on disk, which is about what a clone receives.
    pub(crate) async fn bytes(&self) -> Result<u64, SourceError> {
        let size = git(
            &self.git_dir,
            &["rev-list", "--disk-usage", "--objects", "--all"],
        )
        .await?;
        Ok(size.trim().parse().unwrap_or(0))
    }
}

fn write(path: &Path, text: &str) -> Result<(), SourceError> {
    fs::write(path, text).map_err(|source| SourceError::Io {
        path: path.to_path_buf(),
        source,
    })
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

    #[test]
    fn a_detached_head_is_offered_as_a_branch() {
        let refs = Refs {
            refs: Vec::new(),
            head: Some("1".repeat(40)),
            branch: None,
        };
        assert!(!refs.has_branches());
        let (head, offered) = refs.offered();
        assert_eq!(head, "refs/heads/main");
        assert_eq!(offered, [("refs/heads/main".to_owned(), "1".repeat(40))]);
    }

    #[test]
    fn the_checked_out_branch_stays_the_default() {
        let refs = Refs {
            refs: vec![("refs/heads/dev".to_owned(), "1".repeat(40))],
            head: Some("1".repeat(40)),
            branch: Some("refs/heads/dev".to_owned()),
        };
        assert_eq!(
            refs.offered(),
            ("refs/heads/dev".to_owned(), refs.refs.clone())
        );
    }
}
