//! Problem responses (RFC 9457): the one form in which this service says no.
//!
//! **Invariant.** A handler returns a [`Problem`]; only `Problem::render`, called by the
//! outermost layer, turns it into bytes, because only there the request's id is known. Nothing of
//! a cause (SQL, paths, addresses) is rendered: that layer logs it beside the request's id.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, by stable name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// The body is not the JSON that the route takes.
    InvalidJson,
    /// A value in the path, the query or the body cannot be accepted.
    InvalidArgument,
    /// The kind of job does not exist.
    UnknownKind,
    /// No valid bearer token.
    Unauthorized,
    /// No valid signature or token of a forge.
    BadSignature,
    /// Without tokens only requests for a loopback host are answered.
    HostNotAllowed,
    /// There is no such route.
    NotFound,
    /// No repository of that id, name or URL is registered.
    RepoNotFound,
    /// No job of that id exists, or it was forgotten after the retention time.
    JobNotFound,
    /// The route exists, the method does not.
    MethodNotAllowed,
    /// The client took too long to send its request.
    RequestTimeout,
    /// Another repository has that name.
    NameTaken,
    /// The job ended already.
    JobFinished,
    /// The job has not ended yet.
    JobNotFinished,
    /// The body is larger than is accepted.
    PayloadTooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// Any other refusal by the HTTP layers.
    BadRequest,
    /// Too many event streams are open.
    TooManyStreams,
    /// A fault of this service.
    Internal,
    /// The database is away or does not answer in time.
    DatabaseUnavailable,
    /// More requests are under way than this process takes.
    Overloaded,
    /// The answer was not ready in time.
    Timeout,
    /// Applied migrations and this program do not fit.
    MigrationsPending,
}

impl Code {
    /// The code as it is written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidArgument => "invalid_argument",
            Self::UnknownKind => "unknown_kind",
            Self::Unauthorized => "unauthorized",
            Self::BadSignature => "bad_signature",
            Self::HostNotAllowed => "host_not_allowed",
            Self::NotFound => "not_found",
            Self::RepoNotFound => "repo_not_found",
            Self::JobNotFound => "job_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::NameTaken => "name_taken",
            Self::JobFinished => "job_finished",
            Self::JobNotFinished => "job_not_finished",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BadRequest => "bad_request",
            Self::TooManyStreams => "too_many_streams",
            Self::Internal => "internal",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::MigrationsPending => "migrations_pending",
        }
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson | Self::InvalidArgument | Self::UnknownKind | Self::BadRequest => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized | Self::BadSignature => StatusCode::UNAUTHORIZED,
            Self::HostNotAllowed => StatusCode::FORBIDDEN,
            Self::NotFound | Self::RepoNotFound | Self::JobNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NameTaken | Self::JobFinished | Self::JobNotFinished => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DatabaseUnavailable
            | Self::Overloaded
            | Self::Timeout
            | Self::MigrationsPending => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// After how many seconds trying again makes sense, where it does.
    fn retry_after_seconds(self) -> Option<&'static str> {
        match self.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Some("1"),
            _ => None,
        }
    }
}

/// A refusal or a fault, before it is rendered.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    code: Code,
    status: StatusCode,
    detail: Cow<'static, str>,
    suggestion: Option<String>,
    cause: Option<String>,
}

/// The document that clients see, with media type `application/problem+json`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument<'a> {
    /// Always `about:blank`: `code` says what the problem is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Not Found")]
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// One sentence that says what to do.
    detail: &'a str,
    /// What went wrong, by stable name.
    #[schema(example = "repo_not_found")]
    code: &'static str,
    /// The request's id, as in the header `X-Request-Id` and in the log.
    request_id: &'a str,
    /// A value that would be accepted instead, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<&'a str>,
}

impl Problem {
    /// A problem with its code's own status.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status: code.status(),
            detail: detail.into(),
            suggestion: None,
            cause: None,
        }
    }

    /// A value in the path, the query or the body that cannot be accepted.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, detail)
    }

    /// Adds a value that would be accepted instead.
    #[must_use]
    pub fn suggesting(mut self, suggestion: String) -> Self {
        self.suggestion = Some(suggestion);
        self
    }

    /// Says which part of the request the problem is about.
    #[must_use]
    pub fn at(mut self, place: fmt::Arguments<'_>) -> Self {
        self.detail = format!("{place}: {}", self.detail).into();
        self
    }

    /// A fault of this service. The cause goes to the log only.
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        Self::new(
            Code::Internal,
            "something went wrong here; the log knows this request's id",
        )
        .caused_by(cause)
    }

    /// The database is away. The cause goes to the log only.
    pub fn unavailable(cause: &(dyn Error + 'static)) -> Self {
        Self::new(
            Code::DatabaseUnavailable,
            "the database does not answer; nothing was changed unless the request was already \
             under way, so asking again is safe",
        )
        .caused_by(cause)
    }

    fn caused_by(mut self, cause: &(dyn Error + 'static)) -> Self {
        self.cause = Some(chain(cause));
        self
    }

    /// The cause, for the log only.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What a layer that knows no problems answered, as a problem.
    fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => (Code::NotFound, "there is no such route; see /openapi.json"),
            StatusCode::METHOD_NOT_ALLOWED => (
                Code::MethodNotAllowed,
                "this route does not take that method; see the Allow header",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => (Code::PayloadTooLarge, "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                Code::UnsupportedMediaType,
                "send the body as application/json",
            ),
            StatusCode::REQUEST_TIMEOUT => (Code::RequestTimeout, "the request came too slowly"),
            StatusCode::SERVICE_UNAVAILABLE => (Code::Overloaded, "try again in a moment"),
            other if other.is_server_error() => (Code::Internal, "something went wrong here"),
            _ => (Code::BadRequest, "the request cannot be understood"),
        };
        Self {
            status,
            ..Self::new(code, detail)
        }
    }

    /// Turns a response that is an error into its problem document; leaves all others alone.
    pub(crate) fn render(mut response: Response, request_id: &str) -> Response {
        let problem = match response.extensions_mut().remove::<Self>() {
            Some(problem) => problem,
            None if response.status().is_client_error() || response.status().is_server_error() => {
                Self::of_status(response.status())
            }
            None => return response,
        };
        let allow = response.headers().get(ALLOW).cloned();
        problem.into_document(request_id, allow)
    }

    fn into_document(self, request_id: &str, allow: Option<HeaderValue>) -> Response {
        let document = ProblemDocument {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id,
            suggestion: self.suggestion.as_deref(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.code.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if self.code == Code::Unauthorized {
            let challenge = HeaderValue::from_static("Bearer realm=\"leasectl\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, allow);
        }
        // Serialising strings and a number cannot fail; an empty body would still be an error.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        (self.status, headers, Body::from(body)).into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// An error and its causes, outermost first.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn json(response: Response) -> serde_json::Value {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_carries_the_six_fields() {
        let problem = Problem::new(Code::RepoNotFound, "register it first");
        let response = Problem::render(problem.into_response(), "req-1");
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            json(response).await,
            serde_json::json!({
                "type": "about:blank", "title": "Not Found", "status": 404,
                "detail": "register it first", "code": "repo_not_found", "request_id": "req-1"
            })
        );
    }

    #[tokio::test]
    async fn an_error_of_another_layer_becomes_a_problem_and_keeps_its_allow_header() {
        let foreign = (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")], "plain").into_response();
        let response = Problem::render(foreign, "r");
        assert_eq!(response.headers()[ALLOW], "GET");
        assert_eq!(json(response).await["code"], "method_not_allowed");
        let teapot = StatusCode::IM_A_TEAPOT.into_response();
        assert_eq!(json(Problem::render(teapot, "r")).await["status"], 418);
    }

    #[tokio::test]
    async fn a_success_is_left_alone() {
        let response = Problem::render((StatusCode::CREATED, "made").into_response(), "r");
        assert_eq!(response.status(), 201);
        assert_eq!(
            axum::body::to_bytes(response.into_body(), 9).await.unwrap(),
            "made"
        );
    }

    #[tokio::test]
    async fn a_cause_is_kept_for_the_log_and_told_to_nobody() {
        let cause = std::io::Error::other("host 10.0.0.7 password=hunter2");
        for (problem, status) in [
            (Problem::unavailable(&cause), 503),
            (Problem::internal(&cause), 500),
        ] {
            assert!(
                problem
                    .cause()
                    .is_some_and(|cause| cause.contains("10.0.0.7"))
            );
            let response = Problem::render(problem.into_response(), "r");
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
            assert!(!json(response).await.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_missing_token_is_challenged() {
        let problem = Problem::new(Code::Unauthorized, "send a token");
        let response = Problem::render(problem.into_response(), "r");
        assert!(response.headers().contains_key(WWW_AUTHENTICATE));
    }
}
