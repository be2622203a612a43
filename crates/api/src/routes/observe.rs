//! What `worker status` shows, in its three parts.

use axum::Json;
use axum::extract::State;
use leasectl_core::status::{self, LeaseStatus, QueueStatus, WorkerStatus};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::Problems;
use crate::problem::Problem;
use crate::service::Service;

/// A list that always fits one answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Whole<T> {
    /// The items.
    items: Vec<T>,
    /// Always null.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

fn whole<T>(items: Vec<T>) -> Json<Whole<T>> {
    Json(Whole {
        items,
        next_cursor: None,
    })
}

/// The leases that are held now.
#[utoipa::path(
    operation_id = "list_leases",
    get, path = "/v1/leases", tag = "status",
    responses((status = 200, description = "All leases", body = Whole<LeaseStatus>), Problems)
)]
pub(crate) async fn leases(
    State(service): State<Service>,
) -> Result<Json<Whole<LeaseStatus>>, Problem> {
    Ok(whole(
        status::leases(&service.database.client().await?).await?,
    ))
}

/// The workers, those that died lately included.
#[utoipa::path(
    operation_id = "list_workers",
    get, path = "/v1/workers", tag = "status",
    responses((status = 200, description = "All workers", body = Whole<WorkerStatus>), Problems)
)]
pub(crate) async fn workers(
    State(service): State<Service>,
) -> Result<Json<Whole<WorkerStatus>>, Problem> {
    Ok(whole(
        status::workers(&service.database.client().await?).await?,
    ))
}

/// How many jobs of each kind are in which state.
#[utoipa::path(
    operation_id = "show_queue",
    get, path = "/v1/queue", tag = "status",
    responses((status = 200, description = "One row per kind", body = Whole<QueueStatus>), Problems)
)]
pub(crate) async fn queue(
    State(service): State<Service>,
) -> Result<Json<Whole<QueueStatus>>, Problem> {
    Ok(whole(
        status::queue(&service.database.client().await?).await?,
    ))
}
