//! The router: every route, once, with the layers around them.

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Router, body::Bytes};
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{self, Access};
use crate::layers;
use crate::openapi;
use crate::routes::{batch, changes, events, health, jobs, observe, page, repos, webhooks};
use crate::service::Service;

/// How many requests are worked on at once. Each waits for the database most of its time.
const MAX_REQUESTS: usize = 256;

/// The whole service as one router.
pub fn router(service: Service, access: Access) -> Router {
    let (routes, document) = documented().split_for_parts();
    // Made once: the document does not change while the process lives.
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let places = Arc::new(Semaphore::new(MAX_REQUESTS));
    routes
        .route(
            "/openapi.json",
            get(async move || ([(CONTENT_TYPE, "application/json")], document)),
        )
        .with_state(service)
        .layer(from_fn_with_state(places, layers::limit))
        .layer(from_fn_with_state(access, access::require))
        .layer(from_fn(layers::deadline))
        .layer(from_fn(layers::finish))
}

/// The OpenAPI document of this release.
#[must_use]
pub fn document() -> OpenApi {
    documented().into_openapi()
}

fn documented() -> OpenApiRouter<Service> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(repos::create, repos::list))
        .routes(routes!(repos::show))
        .routes(routes!(repos::show_by_name))
        .routes(routes!(repos::branches))
        .routes(routes!(jobs::create, jobs::list))
        .routes(routes!(batch::create))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(observe::leases))
        .routes(routes!(observe::workers))
        .routes(routes!(observe::queue))
        .routes(routes!(changes::status))
        .routes(routes!(webhooks::receive))
        .routes(routes!(events::events))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(page::page))
}
