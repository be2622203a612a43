//! The repository that is indexed: real source files, as many as make up the wanted size.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use leasectl_index::{Detection, detect};

use crate::error::BenchError;
use crate::process::{git, git_import};

/// Bytes of one package at most, so that none of them is all that is measured.
const PACKAGE_BYTES: usize = 500_000;
/// Larger files are mostly generated, and left out of the symbols.
const FILE_BYTES: usize = 256 * 1024;

/// A file of the corpus.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) content: Vec<u8>,
}

/// Source files beneath `dir`, in the order of their paths, until there are so many bytes.
pub(super) fn collect(dir: &Path, bytes: usize) -> Result<Vec<SourceFile>, BenchError> {
    let mut files = Vec::new();
    let mut left = bytes;
    for package in entries(dir)? {
        let mut of_package = PACKAGE_BYTES.min(left);
        add(dir, &package, &mut of_package, &mut files)?;
        left = bytes.saturating_sub(total(&files));
        if left == 0 {
            return Ok(files);
        }
    }
    Err(BenchError::Unexpected(format!(
        "{} has only {} bytes of source files, {} are needed",
        dir.display(),
        bytes - left,
        bytes
    )))
}

/// The bytes of all files.
pub(super) fn total(files: &[SourceFile]) -> usize {
    files.iter().map(|file| file.content.len()).sum()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let read = std::fs::read_dir(dir)?;
    let paths = read.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<Result<Vec<_>, BenchError>>()?;
    paths.sort_unstable();
    Ok(paths)
}

fn add(
    root: &Path,
    path: &Path,
    left: &mut usize,
    files: &mut Vec<SourceFile>,
) -> Result<(), BenchError> {
    let kind = std::fs::symlink_metadata(path)?;
    if kind.is_dir() {
        for entry in entries(path)? {
            add(root, &entry, left, files)?;
        }
        return Ok(());
    }
    let inside = path.strip_prefix(root).ok().and_then(Path::to_str);
    let Some(inside) = inside.filter(|_| kind.is_file()) else {
        return Ok(());
    };
    if !matches!(detect(inside, None), Detection::Known(_)) {
        return Ok(());
    }
    let content = std::fs::read(path)?;
    if content.len() > FILE_BYTES.min(*left) || content.contains(&0) {
        return Ok(());
    }
    *left -= content.len();
    files.push(SourceFile {
        path: inside.to_owned(),
        content,
    });
    Ok(())
}

/// A bare repository that grows by what `git fast-import` is told.
#[derive(Debug)]
pub(super) struct Remote {
    path: PathBuf,
}

/// Commits for one `git fast-import`.
#[derive(Debug, Default)]
pub(super) struct Commits {
    stream: Vec<u8>,
    /// The last commit of each branch of this stream.
    tips: HashMap<String, usize>,
    marks: usize,
}

impl Commits {
    /// Adds a commit to a branch, which begins at `from` if it is new.
    pub(super) fn add(&mut self, branch: &str, from: Option<&str>, files: &[SourceFile]) {
        self.marks += 1;
        let mark = self.marks;
        let mut text = format!(
            "commit refs/heads/{branch}\nmark :{mark}\n\
             committer Bench <bench@bench.example> {} +0000\ndata 6\nchange\n",
            1_700_000_000 + mark
        );
        if let (None, Some(from)) = (self.tips.get(branch), from) {
            text.push_str(&format!("from refs/heads/{from}^0\n"));
        }
        self.stream.extend_from_slice(text.as_bytes());
        for file in files {
            let head = format!(
                "M 100644 inline {}\ndata {}\n",
                file.path,
                file.content.len()
            );
            self.stream.extend_from_slice(head.as_bytes());
            self.stream.extend_from_slice(&file.content);
            self.stream.push(b'\n');
        }
        self.tips.insert(branch.to_owned(), mark);
    }
}

impl Remote {
    /// An empty one.
    pub(super) async fn new(path: PathBuf) -> Result<Self, BenchError> {
        let place = path.display().to_string();
        git(["init", "-q", "--bare", "--initial-branch=main", &place]).await?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, as a remote.
    pub(super) fn url(&self) -> String {
        self.path.display().to_string()
    }

    /// Takes the commits.
    pub(super) async fn import(&self, commits: Commits) -> Result<(), BenchError> {
        let mut stream = tempfile::tempfile()?;
        stream.write_all(&commits.stream)?;
        std::io::Seek::rewind(&mut stream)?;
        git_import(&self.path, stream).await
    }
}
