//! A repository's synchronisation diagnostics.

use axum::Json;
use axum::extract::State;
use leasectl_core::repository::{self, ChangeStatus};
use leasectl_remote::RepoName;

use crate::body::PathOf;
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::repo_ref;
use crate::service::Service;

/// Show how far a repository is synchronised; what is not known is null.
#[utoipa::path(
    operation_id = "show_change_status",
    get, path = "/v1/changes/repos/{owner}/{name}/status", tag = "changes",
    params(
        ("owner" = String, Path, description = "The owner; groups are joined with ~"),
        ("name" = String, Path, description = "The name"),
    ),
    responses((status = 200, description = "The diagnostics", body = ChangeStatus), Problems)
)]
pub(crate) async fn status(
    State(service): State<Service>,
    PathOf((owner, name)): PathOf<(String, String)>,
) -> Result<Json<ChangeStatus>, Problem> {
    let name = RepoName::parse(&format!("{owner}/{name}"))
        .map_err(|error| Problem::invalid(error.to_string()))?;
    match repository::change_status(&service.database, &name).await? {
        Some(status) => Ok(Json(status)),
        None => Err(repo_ref::unknown()),
    }
}
