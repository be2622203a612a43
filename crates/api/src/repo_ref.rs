//! How a request names a repository: its id, its name, or its URL.
//!
//! Unlike the command line, the API never registers a repository on first use: a misspelt URL in
//! an automated request must be a 404, not a new repository. `POST /v1/repos` registers.

use leasectl_core::ids::RepoId;
use leasectl_core::repository::{self, RepoRef};
use leasectl_remote::{Locality, RemoteUrl, RepoName};

use crate::problem::{Code, Problem};
use crate::service::Service;

/// Reads an id, a name or a URL.
///
/// # Errors
/// When the text is none of them.
pub(crate) fn parse(text: &str, locality: Locality) -> Result<RepoRef, Problem> {
    if let Ok(id) = text.parse::<RepoId>() {
        return Ok(RepoRef::Id(id));
    }
    if text.contains(':') || text.starts_with('/') {
        let url = RemoteUrl::parse(text, locality)
            .map_err(|error| Problem::invalid(format!("repo: {error}")))?;
        return Ok(RepoRef::Url(url));
    }
    RepoName::parse(text).map(RepoRef::Name).map_err(|error| {
        Problem::invalid(format!(
            "repo is an id, a name or a registered URL: {error}"
        ))
    })
}

/// The id of a registered repository. An id is taken as it is: what uses it reports an unknown one.
///
/// # Errors
/// 404 when no such repository is registered, 503 when the database is away.
pub(crate) async fn resolve(service: &Service, repo: &RepoRef) -> Result<RepoId, Problem> {
    if let RepoRef::Id(id) = repo {
        return Ok(*id);
    }
    match repository::find(&service.database, repo).await? {
        Some(repository) => Ok(repository.id),
        None => Err(unknown()),
    }
}

/// No such repository.
pub(crate) fn unknown() -> Problem {
    Problem::new(
        Code::RepoNotFound,
        "no repository of that id, name or URL is registered; register it with POST /v1/repos",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> &'static str {
        match parse(text, Locality::PublicOnly) {
            Ok(RepoRef::Id(_)) => "id",
            Ok(RepoRef::Name(_)) => "name",
            Ok(RepoRef::Url(_)) => "url",
            Err(_) => "refused",
        }
    }

    #[test]
    fn ids_names_and_urls_are_told_apart() {
        for (text, kind) in [
            ("0190f8a0-0000-7000-8000-000000000001", "id"),
            ("owner/name", "name"),
            ("group~sub/name", "name"),
            ("https://example.com/owner/name.git", "url"),
            ("git@example.com:owner/name.git", "url"),
            ("/srv/git/name.git", "refused"),
            ("file:///srv/git/name.git", "refused"),
            ("name", "refused"),
            ("", "refused"),
            ("a/b/c", "refused"),
            ("--upload-pack=x", "refused"),
            ("owner/na\u{0}me", "refused"),
        ] {
            assert_eq!(read(text), kind, "{text:?}");
        }
    }
}
