//! Repositories: register them, show them and their branches. Registering needs no network.

#![expect(
    unused_qualifications,
    reason = "the OpenAPI macro qualifies the query types"
)]

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use leasectl_core::ids::RepoId;
use leasectl_core::job::{LookupError, Page};
use leasectl_core::repository::{self, Branch, FETCH_EVERY, NewRepository, RepoRef, Repository};
use leasectl_remote::{Locality, RefName, RemoteUrl, RepoName};
use leasectl_service::parse_duration;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::body::{JsonBody, PathOf, QueryOf};
use crate::openapi::Problems;
use crate::paging::limit_of;
use crate::problem::Problem;
use crate::repo_ref;
use crate::service::Service;

/// A repository to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRepo {
    /// Where it is: `https` or `ssh`, without credentials.
    #[schema(example = "https://example.com/owner/name.git")]
    git_url: String,
    /// Its name `owner/name`; made from the URL unless given.
    #[schema(example = "owner/name")]
    name: Option<String>,
    /// The branch to treat as default; the remote's own unless given.
    default_branch: Option<String>,
    /// Fetch it this often, such as `6h`; never by itself unless given.
    #[schema(example = "6h")]
    fetch_every: Option<String>,
}

impl NewRepo {
    fn check(self, locality: Locality) -> Result<NewRepository, Problem> {
        let git_url = RemoteUrl::parse(&self.git_url, locality)
            .map_err(|error| Problem::invalid(format!("git_url: {error}")))?;
        let name = self
            .name
            .map(|name| RepoName::parse(&name))
            .transpose()
            .map_err(|error| Problem::invalid(format!("name: {error}")))?;
        let default_branch = self
            .default_branch
            .map(|branch| RefName::parse(&branch).map(|branch| branch.as_str().to_owned()))
            .transpose()
            .map_err(|error| Problem::invalid(format!("default_branch: {error}")))?;
        let fetch_every = self.fetch_every.as_deref().map(fetch_every).transpose()?;
        Ok(NewRepository {
            git_url,
            name,
            default_branch,
            fetch_every,
        })
    }
}

fn fetch_every(text: &str) -> Result<Duration, Problem> {
    parse_duration(text)
        .ok()
        .filter(|every| FETCH_EVERY.contains(every))
        .ok_or_else(|| {
            Problem::invalid("fetch_every is a duration from 1s to 366d, such as 15m, 6h or 7d")
        })
}

/// Register a repository. One whose URL is registered already takes over `fetch_every`, if it is given, and is left as
/// it is otherwise.
#[utoipa::path(
    operation_id = "register_repository",
    post, path = "/v1/repos", tag = "repositories", request_body = NewRepo,
    responses(
        (status = 201, description = "Registered", body = Repository),
        (status = 200, description = "That URL is registered already", body = Repository),
        Problems,
    )
)]
pub(crate) async fn create(
    State(service): State<Service>,
    JsonBody(repo): JsonBody<NewRepo>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Repository>), Problem> {
    let new = repo.check(service.locality)?;
    let registered = repository::register(&service.database, &new).await?;
    let status = if registered.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = format!("/v1/repos/{}", registered.repository.id);
    Ok((status, [(LOCATION, location)], Json(registered.repository)))
}

/// Which repositories to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// At most this many, from 1 to 200; 50 unless given.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List repositories.
#[utoipa::path(
    operation_id = "list_repositories",
    get, path = "/v1/repos", tag = "repositories", params(ListQuery),
    responses((status = 200, description = "One page", body = Page<Repository>), Problems)
)]
pub(crate) async fn list(
    State(service): State<Service>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Page<Repository>>, Problem> {
    let limit = limit_of(query.limit)?;
    let cursor = query.cursor.map(|name| RepoName::parse(&name)).transpose();
    let cursor = cursor.map_err(|_no_name| LookupError::BadCursor)?;
    let after = cursor.as_ref().map(RepoName::as_str);
    Ok(Json(
        repository::list(&service.database, limit, after).await?,
    ))
}

/// Show a repository by its id.
#[utoipa::path(
    operation_id = "show_repository",
    get, path = "/v1/repos/{id}", tag = "repositories",
    params(("id" = RepoId, Path, description = "The repository")),
    responses((status = 200, description = "The repository", body = Repository), Problems)
)]
pub(crate) async fn show(
    State(service): State<Service>,
    PathOf(id): PathOf<String>,
) -> Result<Json<Repository>, Problem> {
    find(&service, &RepoRef::Id(repo_id(&id)?)).await
}

/// Show a repository by its name.
#[utoipa::path(
    operation_id = "show_repository_by_name",
    get, path = "/v1/repos/{owner}/{name}", tag = "repositories",
    params(
        ("owner" = String, Path, description = "The owner; groups are joined with ~"),
        ("name" = String, Path, description = "The name"),
    ),
    responses((status = 200, description = "The repository", body = Repository), Problems)
)]
pub(crate) async fn show_by_name(
    State(service): State<Service>,
    PathOf((owner, name)): PathOf<(String, String)>,
) -> Result<Json<Repository>, Problem> {
    find(&service, &by_name(&owner, &name)?).await
}

/// The branches of a repository.
#[derive(Serialize, ToSchema)]
pub(crate) struct Branches {
    /// All branches, by name.
    items: Vec<Branch>,
    /// Always null.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// Show the branch projection of a repository.
#[utoipa::path(
    operation_id = "list_branches",
    get, path = "/v1/repos/{id}/branches", tag = "repositories",
    params(("id" = RepoId, Path, description = "The repository")),
    responses((status = 200, description = "All branches", body = Branches), Problems)
)]
pub(crate) async fn branches(
    State(service): State<Service>,
    PathOf(id): PathOf<String>,
) -> Result<Response, Problem> {
    let Ok(id) = id.parse::<RepoId>() else {
        // No owner looks like an id, so this is the repository `{owner}/branches`.
        return Ok(find(&service, &by_name(&id, "branches")?)
            .await?
            .into_response());
    };
    if repository::find(&service.database, &RepoRef::Id(id))
        .await?
        .is_none()
    {
        return Err(repo_ref::unknown());
    }
    let items = repository::branches(&service.database, id).await?;
    Ok(Json(Branches {
        items,
        next_cursor: None,
    })
    .into_response())
}

async fn find(service: &Service, repo: &RepoRef) -> Result<Json<Repository>, Problem> {
    match repository::find(&service.database, repo).await? {
        Some(repository) => Ok(Json(repository)),
        None => Err(repo_ref::unknown()),
    }
}

fn repo_id(text: &str) -> Result<RepoId, Problem> {
    text.parse().map_err(|_not_a_uuid| {
        Problem::invalid("a repository's id is a UUID; for a name use /v1/repos/{owner}/{name}")
    })
}

fn by_name(owner: &str, name: &str) -> Result<RepoRef, Problem> {
    RepoName::parse(&format!("{owner}/{name}"))
        .map(RepoRef::Name)
        .map_err(|error| Problem::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetch_intervals_have_bounds() {
        assert_eq!(fetch_every("6h"), Ok(Duration::from_secs(21_600)));
        for refused in [
            "",
            "0s",
            "500ms",
            "6",
            "six hours",
            "367d",
            "-1h",
            "99999999999999d",
        ] {
            assert!(fetch_every(refused).is_err(), "{refused:?}");
        }
    }
}
