//! REPO on the command line: an id, a name, or a Git URL or local path.
//!
//! What it means is decided from its spelling alone, so that the same word never means a
//! repository's name today and a folder tomorrow.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use leasectl_core::ids::RepoId;
use leasectl_remote::{Locality, RemoteUrl, RemoteUrlError, RepoName};
use thiserror::Error;

/// A repository as the user named it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RepoArg {
    /// By its id.
    Id(RepoId),
    /// By its name.
    Name(RepoName),
    /// By the URL of its remote.
    Url(String),
    /// By a folder on this machine.
    Path(PathBuf),
}

/// The word names no repository.
#[derive(Debug, Error)]
pub enum RepoArgError {
    /// Nothing was given.
    #[error("REPO is empty; write an id (UUID), owner/name, a Git URL or a path such as ./folder")]
    Empty,
    /// Neither id, name, URL nor path.
    #[error(
        "this is no REPO; write an id (UUID), owner/name, a Git URL or a path such as ./folder"
    )]
    Unclear,
    /// There is no such folder.
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    /// The folder's name cannot be a remote.
    #[error("the folder's path is not valid UTF-8; rename it")]
    NotText,
    /// The remote is refused.
    #[error(transparent)]
    Url(#[from] RemoteUrlError),
}

impl FromStr for RepoArg {
    type Err = RepoArgError;

    fn from_str(text: &str) -> Result<Self, RepoArgError> {
        if text.is_empty() {
            return Err(RepoArgError::Empty);
        }
        if let Ok(id) = text.parse::<RepoId>() {
            return Ok(Self::Id(id));
        }
        if is_path(text) {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        if text.contains(':') {
            return Ok(Self::Url(text.to_owned()));
        }
        RepoName::parse(text)
            .map(Self::Name)
            .map_err(|_| RepoArgError::Unclear)
    }
}

impl RepoArg {
    /// The remote that a URL or a path means; `None` for an id or a name. Needs no network.
    ///
    /// # Errors
    /// When the folder does not exist or the remote is refused.
    pub fn remote(&self, locality: Locality) -> Result<Option<RemoteUrl>, RepoArgError> {
        match self {
            Self::Id(_) | Self::Name(_) => Ok(None),
            Self::Url(text) => Ok(Some(RemoteUrl::parse(text, locality)?)),
            Self::Path(path) => Ok(Some(RemoteUrl::parse(&absolute(path)?, locality)?)),
        }
    }
}

impl fmt::Display for RepoArg {
    /// A URL is not repeated: it may hold a credential that made it refused.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => write!(f, "{name}"),
            Self::Url(_) => f.write_str("with this URL"),
            Self::Path(path) => write!(f, "with the path {}", path.display()),
        }
    }
}

fn is_path(text: &str) -> bool {
    matches!(text, "." | "..")
        || ["/", "./", "../"]
            .iter()
            .any(|start| text.starts_with(start))
}

/// The folder without links and dots, so that one repository has one identity.
fn absolute(path: &Path) -> Result<String, RepoArgError> {
    let real = path
        .canonicalize()
        .map_err(|_| RepoArgError::NoFolder(path.to_path_buf()))?;
    real.into_os_string()
        .into_string()
        .map_err(|_| RepoArgError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_repository_is_told_apart_by_its_spelling() {
        let parse = |text: &str| text.parse::<RepoArg>().unwrap();
        let id = "0193e0a0-0000-7000-8000-000000000000";
        assert!(matches!(parse(id), RepoArg::Id(_)));
        assert!(matches!(parse("owner/name"), RepoArg::Name(_)));
        assert!(matches!(parse("group~sub/name"), RepoArg::Name(_)));
        for url in [
            "https://host/a/b",
            "ssh://git@host/a",
            "git@host:a/b",
            "file:///srv/a",
        ] {
            assert!(matches!(parse(url), RepoArg::Url(_)), "{url}");
        }
        for path in [".", "..", "./a", "../a", "/srv/a"] {
            assert!(matches!(parse(path), RepoArg::Path(_)), "{path}");
        }
    }

    #[test]
    fn a_bare_word_is_refused() {
        for text in ["", "word", "a/b/c", "-x/y", "--upload-pack=x"] {
            assert!(text.parse::<RepoArg>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_path_is_one_identity_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("repo")).unwrap();
        let plain = RepoArg::Path(folder.path().join("repo"));
        let winding = RepoArg::Path(folder.path().join("repo/../repo/."));
        let remote = |arg: &RepoArg| arg.remote(Locality::AllowLocal).unwrap().unwrap();
        assert_eq!(remote(&plain), remote(&winding));
        assert!(plain.remote(Locality::PublicOnly).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_by_name() {
        let missing = RepoArg::Path("/no/such/folder".into());
        let error = missing.remote(Locality::AllowLocal).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    }
}
