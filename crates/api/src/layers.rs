//! What happens around every request: its id, its time, its place in the queue, and the form of
//! its answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::sync::Semaphore;

use crate::problem::{Code, Problem};
use crate::request_id::{RequestId, X_REQUEST_ID};

/// The time in which an answer must begin.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long a request waits for a place when all are taken.
const PLACE_DEADLINE: Duration = Duration::from_secs(1);

/// Headers of every answer that does not set them itself.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// The outermost layer: gives the request its id, contains panics, renders problems, and logs and
/// measures the outcome.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = response.unwrap_or_else(|_panic| {
        tracing::error!(request_id = id.as_str(), "a handler panicked");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    });
    let status = response.status();
    let took = started.elapsed();
    tracing::debug!(request_id = id.as_str(), %method, path, %status, ?took, "answered");
    if let Some(cause) = response
        .extensions()
        .get::<Problem>()
        .and_then(Problem::cause)
    {
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(request_id = id.as_str(), %method, path, cause, "a request failed");
        } else {
            tracing::warn!(
                request_id = id.as_str(),
                cause,
                "the database is unavailable"
            );
        }
    }
    let status = status.as_str().to_owned();
    metrics::histogram!("leasectl_http_request_seconds", "route" => route, "status" => status)
        .record(took.as_secs_f64());
    let mut response = Problem::render(response, id.as_str());
    add_headers(response.headers_mut(), &id);
    response
}

fn add_headers(headers: &mut HeaderMap, id: &RequestId) {
    for (name, value) in SECURITY_HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if let Some(id) = id.as_header() {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// The layer that gives up on an answer that does not begin in time.
pub(crate) async fn deadline(request: Request, next: Next) -> Result<Response, Problem> {
    tokio::time::timeout(ANSWER_DEADLINE, next.run(request))
        .await
        .map_err(|_elapsed| {
            Problem::new(
                Code::Timeout,
                "the answer was not ready in time; whether the request took effect is not known, \
             asking again is safe",
            )
        })
}

/// The layer that bounds how many requests are worked on at once.
pub(crate) async fn limit(
    State(places): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.uri().path() == "/healthz" {
        return Ok(next.run(request).await);
    }
    match tokio::time::timeout(PLACE_DEADLINE, places.acquire()).await {
        Ok(Ok(_place)) => Ok(next.run(request).await),
        Ok(Err(_)) | Err(_) => Err(Problem::new(
            Code::Overloaded,
            "more requests are under way than this process takes; try again in a moment",
        )),
    }
}
