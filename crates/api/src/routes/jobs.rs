//! Jobs: accept one, show them, ask one to stop, run a finished one again.
//!
//! **Invariant.** A 202 is sent after the commit.

#![expect(
    unused_qualifications,
    reason = "the OpenAPI macro qualifies the query types"
)]

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use leasectl_core::ids::{JobId, RepoId};
use leasectl_core::job::{
    self, CancelOutcome, Enqueued, JobFilter, JobView, Page, PublicState, RetryOutcome,
};
use leasectl_core::repository;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::{IntoParams, ToSchema};

use crate::accept::NewJob;
use crate::body::{JsonBody, PathOf, QueryOf};
use crate::openapi::Problems;
use crate::paging::limit_of;
use crate::problem::{Code, Problem};
use crate::repo_ref;
use crate::service::Service;

/// A job that was accepted: it is committed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The job.
    job_id: JobId,
    /// `queued`, or `waiting` while its lane is busy.
    state: PublicState,
    /// Whether an equal job was there already, never yet claimed, and is the one named here.
    deduplicated: bool,
    /// Where to look at it.
    status_url: String,
}

impl From<Enqueued> for Accepted {
    fn from(job: Enqueued) -> Self {
        Self {
            job_id: job.job_id,
            state: job.state,
            deduplicated: job.deduplicated,
            status_url: status_url(job.job_id),
        }
    }
}

/// What became of the wish to stop a job, or to run it again.
#[derive(Serialize, ToSchema)]
pub(crate) struct Asked {
    /// The job.
    job_id: JobId,
    /// Its state now; a running job that was asked to stop is still `running`.
    state: PublicState,
    /// Where to look at it.
    status_url: String,
}

fn status_url(id: JobId) -> String {
    format!("/v1/jobs/{id}")
}

/// The queue answered for more or fewer jobs than it was asked.
#[derive(Debug, Error)]
#[error("the queue did not answer for exactly one job")]
struct WrongCount;

/// Accept a job.
#[utoipa::path(
    operation_id = "create_job",
    post, path = "/v1/jobs", tag = "jobs", request_body = NewJob,
    responses((status = 202, description = "The job is committed", body = Accepted), Problems)
)]
pub(crate) async fn create(
    State(service): State<Service>,
    JsonBody(new): JsonBody<NewJob>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let checked = new.check(&service.kinds, service.locality)?;
    let repo_id = repo_ref::resolve(&service, &checked.repo).await?;
    let accepted = service.accept(vec![checked.found(repo_id)]).await?;
    let [accepted] = accepted[..] else {
        return Err(Problem::internal(&WrongCount));
    };
    Ok((StatusCode::ACCEPTED, Json(accepted.into())))
}

/// Which jobs to list, newest first.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only of this repository: its id, name or registered URL.
    repo: Option<String>,
    /// Only of this kind.
    kind: Option<String>,
    /// Only in this state.
    #[param(value_type = Option<PublicState>)]
    state: Option<String>,
    /// At most this many, from 1 to 200; 50 unless given.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List jobs, newest first.
#[utoipa::path(
    operation_id = "list_jobs",
    get, path = "/v1/jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, description = "One page", body = Page<JobView>), Problems)
)]
pub(crate) async fn list(
    State(service): State<Service>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Page<JobView>>, Problem> {
    let limit = limit_of(query.limit)?;
    let state = query.state.as_deref().map(state_of).transpose()?;
    let kind = query.kind.map(kind_of).transpose()?;
    let repo_id = match query.repo {
        Some(text) => Some(find_repo(&service, &text).await?),
        None => None,
    };
    let filter = JobFilter {
        repo_id,
        kind,
        state,
    };
    Ok(Json(
        job::list(&service.database, &filter, limit, query.cursor.as_deref()).await?,
    ))
}

/// Show a job with its lease and its attempts.
#[utoipa::path(
    operation_id = "show_job",
    get, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = JobId, Path, description = "The job")),
    responses((status = 200, description = "The job", body = JobView), Problems)
)]
pub(crate) async fn show(
    State(service): State<Service>,
    PathOf(id): PathOf<String>,
) -> Result<Json<JobView>, Problem> {
    let id = job_id(&id)?;
    match job::find(&service.database, id).await? {
        Some(job) => Ok(Json(job)),
        None => Err(unknown_job()),
    }
}

/// Ask a job to stop: one that is not running ends at once.
#[utoipa::path(
    operation_id = "cancel_job",
    post, path = "/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = JobId, Path, description = "The job")),
    responses((status = 202, description = "Ended, or asked to stop", body = Asked), Problems)
)]
pub(crate) async fn cancel(
    State(service): State<Service>,
    PathOf(id): PathOf<String>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let job_id = job_id(&id)?;
    let state = match job::cancel(&service.database, job_id).await? {
        CancelOutcome::Cancelled => PublicState::Cancelled,
        CancelOutcome::Requested => PublicState::Running,
        CancelOutcome::AlreadyFinished(state) => {
            let detail = format!("the job ended already: {}", state.as_str());
            return Err(Problem::new(Code::JobFinished, detail));
        }
        CancelOutcome::NotFound => return Err(unknown_job()),
    };
    Ok((
        StatusCode::ACCEPTED,
        Json(Asked {
            job_id,
            state,
            status_url: status_url(job_id),
        }),
    ))
}

/// Run a finished job again.
#[utoipa::path(
    operation_id = "retry_job",
    post, path = "/v1/jobs/{id}/retry", tag = "jobs",
    params(("id" = JobId, Path, description = "The job")),
    responses((status = 202, description = "Queued again", body = Asked), Problems)
)]
pub(crate) async fn retry(
    State(service): State<Service>,
    PathOf(id): PathOf<String>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let job_id = job_id(&id)?;
    let state = match job::retry(&service.database, job_id).await? {
        // A worker may have taken it since, so its state is looked up rather than guessed.
        RetryOutcome::Accepted => job::find(&service.database, job_id)
            .await?
            .map_or(PublicState::Queued, |job| job.state),
        RetryOutcome::NotFinished(state) => {
            let detail = format!("the job has not ended: it is {}", state.as_str());
            return Err(Problem::new(Code::JobNotFinished, detail));
        }
        RetryOutcome::NotFound => return Err(unknown_job()),
    };
    Ok((
        StatusCode::ACCEPTED,
        Json(Asked {
            job_id,
            state,
            status_url: status_url(job_id),
        }),
    ))
}

/// Reads a job's id.
pub(crate) fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse()
        .map_err(|_not_a_uuid| Problem::invalid("a job's id is a UUID"))
}

/// No job of that id.
pub(crate) fn unknown_job() -> Problem {
    Problem::new(
        Code::JobNotFound,
        "there is no job of that id; finished jobs are forgotten after the retention time",
    )
}

/// The id of a repository that a filter names; an unknown one is a 404 rather than an empty list.
pub(crate) async fn find_repo(service: &Service, text: &str) -> Result<RepoId, Problem> {
    let repo = repo_ref::parse(text, service.locality)?;
    match repository::find(&service.database, &repo).await? {
        Some(repository) => Ok(repository.id),
        None => Err(repo_ref::unknown()),
    }
}

fn state_of(text: &str) -> Result<PublicState, Problem> {
    text.parse().map_err(|_unknown| {
        Problem::invalid("state is one of queued, waiting, running, completed, error, cancelled")
    })
}

/// A kind to filter by need not exist here: a newer release may know it. It must be a word, though.
fn kind_of(text: String) -> Result<String, Problem> {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(is_word) {
        Ok(text)
    } else {
        Err(Problem::invalid(
            "kind is the name of a kind of job, such as fetch",
        ))
    }
}
