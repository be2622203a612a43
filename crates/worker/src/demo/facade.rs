//! A bare repository that stands in for the one on this machine.
//!
//! It offers the source's branches and tags and borrows its objects. Nothing else of the source can
//! be reached through it, it belongs to this user, and the source itself is never written to.

use std::fs;
use std::path::{Path, PathBuf};

use super::process::git;
use super::source::{Ref, Refs, Source, SourceError};

/// The branch that a detached head is offered as.
const FALLBACK: &str = "refs/heads/main";
/// The branch that makes a tiny repository large enough to die in the middle of.
pub(crate) const FILLER: &str = "demo-filler";
/// Files of the filler, each of [`FILLER_FILE_BYTES`]. Progress is counted in objects.
const FILLER_FILES: u8 = 48;
/// Less than what is sent in one go.
const FILLER_FILE_BYTES: usize = 8 * 1024;

/// A bare repository that stands in for another.
#[derive(Debug)]
pub(crate) struct Facade {
    /// The bare repository.
    pub(crate) git_dir: PathBuf,
    refs: Vec<Ref>,
}

impl Facade {
    /// Makes it at `git_dir`, which does not exist yet.
    ///
    /// A shallow clone cannot be cloned from, so it is offered as one commit without parents.
    pub(crate) async fn make(
        source: &Source,
        refs: &Refs,
        git_dir: PathBuf,
    ) -> Result<Self, SourceError> {
        let (head, offered) = offer(refs);
        layout(
            &git_dir,
            &head,
            &offered,
            &source.common_dir.join("objects"),
        )?;
        let mut facade = Self {
            git_dir,
            refs: offered,
        };
        if source.is_shallow() {
            let tip = facade.refs.iter().find(|(name, _)| *name == head);
            let tree = tip.map(|(_, commit)| format!("{commit}^{{tree}}"));
            let tree = tree.ok_or_else(|| SourceError::Empty(source.folder.clone()))?;
            let commit = facade
                .commit(&tree, "The newest state of a shallow clone")
                .await?;
            facade.refs = vec![(head, commit)];
            facade.write_refs()?;
        }
        Ok(facade)
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

    /// Adds a branch of random data. `scratch` is a folder that does not exist yet.
    pub(crate) async fn fill(&mut self, scratch: &Path) -> Result<(), SourceError> {
        fs::create_dir_all(scratch).map_err(failed(scratch))?;
        for number in 0..FILLER_FILES {
            let bytes: Vec<u8> = (0..FILLER_FILE_BYTES).map(|_| rand::random()).collect();
            let file = scratch.join(number.to_string());
            fs::write(&file, bytes).map_err(failed(&file))?;
        }
        let folder = scratch.to_string_lossy();
        git(
            &self.git_dir,
            &["--work-tree", &folder, "add", "--all", "."],
        )
        .await?;
        let tree = git(&self.git_dir, &["write-tree"]).await?;
        let commit = self
            .commit(tree.trim(), "Random data, to have something to send")
            .await?;
        self.refs.push((format!("refs/heads/{FILLER}"), commit));
        self.write_refs()
    }

    async fn commit(&self, tree: &str, message: &str) -> Result<String, SourceError> {
        let who = [
            "-c",
            "user.name=worker demo",
            "-c",
            "user.email=demo@localhost",
        ];
        let commit = ["commit-tree", "-m", message, tree];
        let made = git(&self.git_dir, &[who.as_slice(), &commit].concat()).await?;
        Ok(made.trim().to_owned())
    }

    fn write_refs(&self) -> Result<(), SourceError> {
        write(&self.git_dir.join("packed-refs"), &packed(&self.refs))
    }
}

/// The branch that is the default, and all refs; a detached head becomes the branch `main`.
fn offer(refs: &Refs) -> (String, Vec<Ref>) {
    let mut offered = refs.refs.clone();
    let known = |name: &str| refs.refs.iter().any(|(known, _)| known == name);
    if let Some(branch) = &refs.branch
        && known(branch)
    {
        return (branch.clone(), offered);
    }
    if let Some(head) = &refs.head
        && !known(FALLBACK)
    {
        offered.push((FALLBACK.to_owned(), head.clone()));
    }
    (FALLBACK.to_owned(), offered)
}

fn packed(refs: &[Ref]) -> String {
    let mut lines: Vec<String> = refs
        .iter()
        .map(|(name, object)| format!("{object} {name}\n"))
        .collect();
    lines.sort_by(|one, other| one.split_once(' ').cmp(&other.split_once(' ')));
    lines.concat()
}

/// Writes the files of a bare repository that borrows its objects.
fn layout(git_dir: &Path, head: &str, refs: &[Ref], objects: &Path) -> Result<(), SourceError> {
    let sha256 = refs.iter().any(|(_, object)| object.len() == 64);
    let config = if sha256 {
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\
         [extensions]\n\tobjectformat = sha256\n"
    } else {
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
    };
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        let path = git_dir.join(folder);
        fs::create_dir_all(&path).map_err(failed(&path))?;
    }
    write(&git_dir.join("config"), config)?;
    write(&git_dir.join("HEAD"), &format!("ref: {head}\n"))?;
    write(&git_dir.join("packed-refs"), &packed(refs))?;
    write(
        &git_dir.join("objects/info/alternates"),
        &format!("{}\n", objects.display()),
    )
}

fn write(path: &Path, text: &str) -> Result<(), SourceError> {
    fs::write(path, text).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> SourceError {
    let path = path.to_path_buf();
    move |source| SourceError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detached_head_is_offered_as_a_branch() {
        let refs = Refs {
            refs: Vec::new(),
            head: Some("1".repeat(40)),
            branch: None,
        };
        assert!(!refs.has_branches());
        let (head, offered) = offer(&refs);
        assert_eq!(head, FALLBACK);
        assert_eq!(offered, [(FALLBACK.to_owned(), "1".repeat(40))]);
    }

    #[test]
    fn the_checked_out_branch_stays_the_default() {
        let refs = Refs {
            refs: vec![("refs/heads/dev".to_owned(), "1".repeat(40))],
            head: Some("1".repeat(40)),
            branch: Some("refs/heads/dev".to_owned()),
        };
        assert_eq!(
            offer(&refs),
            ("refs/heads/dev".to_owned(), refs.refs.clone())
        );
    }

    /// A repository with one commit, made with the same `git` as the demo's own.
    async fn source(home: &Path) -> Source {
        let git_dir = home.join("proj/.git");
        let work_tree = home.join("proj").to_string_lossy().into_owned();
        fs::create_dir(home.join("proj")).unwrap();
        git(&git_dir, &["init", "--quiet", "--initial-branch", "dev"])
            .await
            .unwrap();
        fs::write(home.join("proj/file"), "text").unwrap();
        git(&git_dir, &["--work-tree", &work_tree, "add", "--all"])
            .await
            .unwrap();
        let who = ["-c", "user.name=a", "-c", "user.email=a@localhost"];
        let commit = ["--work-tree", &work_tree, "commit", "--quiet", "-m", "one"];
        git(&git_dir, &[who.as_slice(), &commit].concat())
            .await
            .unwrap();
        Source::around(&home.join("proj")).unwrap()
    }

    #[tokio::test]
    async fn a_tiny_repository_is_filled_and_its_own_branch_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let source = source(home.path()).await;
        let refs = source.refs().await.unwrap();
        let mut facade = Facade::make(&source, &refs, home.path().join("f.git"))
            .await
            .unwrap();
        let before = facade.bytes().await.unwrap();
        facade.fill(&home.path().join("scratch")).await.unwrap();
        let after = facade.bytes().await.unwrap();
        let added = usize::from(FILLER_FILES) * FILLER_FILE_BYTES;
        assert!(after - before >= added as u64, "{before} then {after}");
        let tip = git(&facade.git_dir, &["rev-parse", "HEAD"]).await.unwrap();
        assert_eq!(Some(tip.trim()), refs.head.as_deref());
        let listed = source.refs().await.unwrap();
        assert_eq!(listed, refs, "the source was written to");
    }

    #[tokio::test]
    async fn a_shallow_clone_is_offered_as_one_commit() {
        let home = tempfile::tempdir().unwrap();
        let source = source(home.path()).await;
        let refs = source.refs().await.unwrap();
        let tip = refs.head.clone().unwrap();
        fs::write(source.common_dir.join("shallow"), format!("{tip}\n")).unwrap();
        let facade = Facade::make(&source, &refs, home.path().join("f.git"))
            .await
            .unwrap();
        let count = git(&facade.git_dir, &["rev-list", "--count", "--all"])
            .await
            .unwrap();
        assert_eq!(count.trim(), "1");
        let tree =
            |dir: PathBuf| async move { git(&dir, &["rev-parse", "HEAD^{tree}"]).await.unwrap() };
        assert_eq!(
            tree(facade.git_dir.clone()).await,
            tree(source.common_dir.clone()).await
        );
        assert!(!facade.git_dir.join("shallow").exists());
    }
}
