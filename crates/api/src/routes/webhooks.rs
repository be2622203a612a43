//! Webhooks: a forge says that a repository changed, and a fetch is asked for before it is answered.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use leasectl_core::ids::{JobId, RepoId};
use leasectl_core::kind::FETCH;
use leasectl_core::webhook::{AskedFetch, Delivery, Forge, Received};
use serde::Serialize;
use utoipa::ToSchema;

use crate::body::{PathOf, WebhookBody};
use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::service::Service;
use crate::webhook::{self, Said};

/// What came of a delivery.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookAnswer {
    outcome: Outcome,
    /// The fetches that will see what was delivered; one for each URL under which the repository is registered.
    jobs: Vec<AskedJob>,
}

/// What came of a delivery, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// A fetch was asked for, or one that is queued will do.
    Accepted,
    /// It was received before.
    Duplicate,
    /// Nobody registered the repository. It is no error, which would make the forge switch its hook off.
    UnknownRepository,
    /// The event changes nothing that a fetch would show.
    Ignored,
}

/// A fetch that a delivery asked for.
#[derive(Serialize, ToSchema)]
struct AskedJob {
    /// The job.
    job_id: JobId,
    /// The repository.
    repo_id: RepoId,
    /// Whether it was queued already.
    deduplicated: bool,
}

impl Outcome {
    const ALL: [Self; 4] = [
        Self::Accepted,
        Self::Duplicate,
        Self::UnknownRepository,
        Self::Ignored,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::UnknownRepository => "unknown_repository",
            Self::Ignored => "ignored",
        }
    }

    fn without_jobs(self) -> WebhookAnswer {
        WebhookAnswer {
            outcome: self,
            jobs: Vec::new(),
        }
    }
}

/// What is counted when a delivery was not answered with 202.
const REFUSED: &str = "refused";

/// Makes the series of `leasectl_webhooks_total` exist.
pub(crate) fn expect_deliveries() {
    metrics::describe_counter!(
        "leasectl_webhooks_total",
        "Deliveries of webhooks that this process answered, by outcome."
    );
    for forge in Forge::ALL {
        for outcome in Outcome::ALL
            .map(Outcome::as_str)
            .into_iter()
            .chain([REFUSED])
        {
            count(forge, outcome, 0);
        }
    }
}

fn count(forge: Forge, outcome: &'static str, by: u64) {
    metrics::counter!("leasectl_webhooks_total", "forge" => forge.as_str(), "outcome" => outcome)
        .increment(by);
}

/// Receive a webhook of a forge, authenticated by its signature or token alone.
///
/// A delivery that was received before, of an event that changes no ref, or for a repository that nobody
/// registered is answered 202 too and has no effect.
#[utoipa::path(
    operation_id = "receive_webhook",
    post, path = "/v1/webhooks/{forge}", tag = "webhooks", security(()),
    params(("forge" = String, Path, description = "github, gitlab, or gitea (also for Forgejo)")),
    request_body(content = String, content_type = "application/json", description = "What the forge sends, at most 25 MiB"),
    responses((status = 202, description = "Received; what it asks for is committed", body = WebhookAnswer), Problems)
)]
pub(crate) async fn receive(
    State(service): State<Service>,
    PathOf(forge): PathOf<String>,
    request: Request,
) -> Result<(StatusCode, Json<WebhookAnswer>), Problem> {
    let forge = Forge::ALL.into_iter().find(|known| known.as_str() == forge);
    let forge = forge.filter(|forge| service.webhooks.are_set(*forge));
    let forge = forge.ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            "webhooks of this forge are not received here; see LEASECTL_WEBHOOK_SECRET_*",
        )
    })?;
    let answer = answer(&service, forge, request).await;
    count(
        forge,
        answer
            .as_ref()
            .map_or(REFUSED, |answer| answer.outcome.as_str()),
        1,
    );
    Ok((StatusCode::ACCEPTED, Json(answer?)))
}

async fn answer(
    service: &Service,
    forge: Forge,
    request: Request,
) -> Result<WebhookAnswer, Problem> {
    let (parts, body) = request.into_parts();
    let proof = service.webhooks.proof(forge, &parts.headers)?;
    let body = WebhookBody::read(&parts.headers, body, &service.large_bodies).await?;
    let json = webhook::unwrapped(&parts.headers, body.bytes());
    // Gitea signs the JSON, wherever it puts it; the others sign the body.
    let signed = match (&json, forge) {
        (Some(json), Forge::Gitea) => json,
        (Some(_) | None, _) => body.bytes(),
    };
    service.webhooks.check(forge, &proof, signed)?;
    let delivery = match said(service, forge, &parts.headers, json)? {
        Some(delivery) => delivery,
        None => return Ok(Outcome::Ignored.without_jobs()),
    };
    // Its place is for others.
    drop(body);
    Ok(match service.deliveries.receive(&delivery).await? {
        Received::Accepted(fetches) => accepted(service, &fetches),
        Received::Duplicate => Outcome::Duplicate.without_jobs(),
        Received::UnknownRepository => Outcome::UnknownRepository.without_jobs(),
    })
}

/// The delivery; nothing when it asks for nothing.
fn said(
    service: &Service,
    forge: Forge,
    headers: &HeaderMap,
    json: Option<Cow<'_, [u8]>>,
) -> Result<Option<Delivery>, Problem> {
    let event = webhook::event(forge, headers)?;
    let content = json.as_deref().unwrap_or_default();
    let id = webhook::delivery_id(forge, headers, content)?;
    let json =
        json.ok_or_else(|| Problem::new(Code::BadRequest, "the form has no field \"payload\""))?;
    Ok(match Said::read(forge, event, &json, service.locality)? {
        Said::Changed(remotes) => Some(Delivery { forge, id, remotes }),
        Said::Nothing => None,
    })
}

fn accepted(service: &Service, fetches: &[AskedFetch]) -> WebhookAnswer {
    // Also when each is an equal one that was there before: it may be due earlier now, or could not be claimed while the
    // delivery held it.
    if !fetches.is_empty() {
        service.notifier.notify([FETCH.lane]);
    }
    for _ in fetches.iter().filter(|fetch| !fetch.deduplicated) {
        metrics::counter!("leasectl_jobs_enqueued_total", "kind" => FETCH.name).increment(1);
    }
    let jobs = fetches.iter().map(|fetch| AskedJob {
        job_id: fetch.job_id,
        repo_id: fetch.repo_id,
        deduplicated: fetch.deduplicated,
    });
    WebhookAnswer {
        outcome: Outcome::Accepted,
        jobs: jobs.collect(),
    }
}
