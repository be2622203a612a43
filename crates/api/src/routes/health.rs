//! Probes, measurements and the API's own description.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::Problems;
use crate::problem::{Code, Problem};
use crate::service::Service;

/// The answer to a probe.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Say that the process answers.
#[utoipa::path(
    operation_id = "healthz",
    get, path = "/healthz", tag = "service", security(()),
    responses((status = 200, description = "The process answers", body = Health))
)]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Say whether requests can be served: the database answers and its schema fits.
#[utoipa::path(
    operation_id = "readyz",
    get, path = "/readyz", tag = "service", security(()),
    responses((status = 200, description = "Requests can be served", body = Health), Problems)
)]
pub(crate) async fn readyz(State(service): State<Service>) -> Result<Json<Health>, Problem> {
    if service.stopping.is_cancelled() {
        return Err(Problem::new(
            Code::Overloaded,
            "this process is shutting down",
        ));
    }
    service.readiness.of(&service.database).await?;
    Ok(Json(Health { status: "ok" }))
}

/// Measurements in Prometheus text.
#[utoipa::path(
    operation_id = "metrics",
    get, path = "/metrics", tag = "service",
    responses(
        (status = 200, description = "Prometheus text", content_type = "text/plain", body = String),
        Problems,
    )
)]
pub(crate) async fn metrics(State(service): State<Service>) -> impl IntoResponse {
    let text = service.metrics.render(&service.database).await;
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
}
