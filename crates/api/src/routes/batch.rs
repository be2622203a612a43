//! Many jobs in one request: all of them are accepted, or none.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use leasectl_core::job::{EnqueueError, EnqueueRequest};
use leasectl_core::kind::KindSpec;
use leasectl_core::repository::RepoRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accept::{CheckedJob, NewJob};
use crate::body::JsonBody;
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::repo_ref;
use crate::routes::jobs::Accepted;
use crate::service::Service;

/// The most jobs of one batch.
const MAX_JOBS: usize = 1_000;

/// Jobs to accept together.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBatch {
    /// From 1 to 1,000 jobs.
    #[schema(min_items = 1, max_items = 1000)]
    jobs: Vec<NewJob>,
}

/// The jobs that were accepted, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(crate) struct AcceptedBatch {
    /// One for each job of the request.
    jobs: Vec<Accepted>,
}

/// Accept up to 1,000 jobs, all or none.
#[utoipa::path(
    operation_id = "create_jobs",
    post, path = "/v1/jobs/batch", tag = "jobs", request_body = NewBatch,
    responses((status = 202, description = "All jobs are committed", body = AcceptedBatch), Problems)
)]
pub(crate) async fn create(
    State(service): State<Service>,
    JsonBody(batch): JsonBody<NewBatch>,
) -> Result<(StatusCode, Json<AcceptedBatch>), Problem> {
    if !(1..=MAX_JOBS).contains(&batch.jobs.len()) {
        return Err(Problem::invalid(format!(
            "a batch holds from 1 to {MAX_JOBS} jobs"
        )));
    }
    let mut checked = Vec::with_capacity(batch.jobs.len());
    for (position, job) in batch.jobs.into_iter().enumerate() {
        let job = job
            .check(&service.kinds, service.locality)
            .map_err(|problem| problem.at(format_args!("jobs[{position}]")))?;
        checked.push(job);
    }
    let jobs = with_repositories(&service, checked).await?;
    let accepted = service.accept(jobs).await.map_err(|error| match error {
        EnqueueError::UnknownRepository { index, .. } => {
            repo_ref::unknown().at(format_args!("jobs[{index}]"))
        }
        EnqueueError::TooFarAway | EnqueueError::Database(_) => error.into(),
    })?;
    let jobs = accepted.into_iter().map(Accepted::from).collect();
    Ok((StatusCode::ACCEPTED, Json(AcceptedBatch { jobs })))
}

/// Finds each repository once, however many jobs name it.
async fn with_repositories(
    service: &Service,
    jobs: Vec<CheckedJob>,
) -> Result<Vec<(KindSpec, EnqueueRequest)>, Problem> {
    let mut known = HashMap::new();
    let mut found = Vec::with_capacity(jobs.len());
    for (position, job) in jobs.into_iter().enumerate() {
        let name = match &job.repo {
            RepoRef::Id(id) => id.to_string(),
            RepoRef::Name(name) => name.to_string(),
            RepoRef::Url(url) => url.to_string(),
        };
        let repo_id = match known.get(&name) {
            Some(id) => *id,
            None => {
                let id = repo_ref::resolve(service, &job.repo)
                    .await
                    .map_err(|problem| problem.at(format_args!("jobs[{position}]")))?;
                known.insert(name, id);
                id
            }
        };
        found.push(job.found(repo_id));
    }
    Ok(found)
}
