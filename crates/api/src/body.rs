//! Reading a request: JSON bodies, query strings and path segments, each refused as a problem.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::problem::{Code, Problem};

/// The largest body that is accepted, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The largest body of a webhook that is accepted, in bytes: what forges send at most.
pub const MAX_WEBHOOK_BYTES: usize = 25 * 1024 * 1024;

/// How much more than is accepted is read and thrown away, in bytes, so that the client reads the refusal instead
/// of seeing its connection cut in the middle of sending.
const DRAINED_BYTES: usize = 15 * 1024 * 1024;

/// The time in which a body must have arrived.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// A JSON body of at most [`MAX_BODY_BYTES`].
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let (bytes, _no_place) = read(&parts.headers, body, MAX_BODY_BYTES, None).await?;
        if !is_json(&parts.headers) {
            let detail = "send the body as application/json (header Content-Type)";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| invalid_json(&error))
    }
}

/// The raw body of a webhook, of at most [`MAX_WEBHOOK_BYTES`].
///
/// Nothing is known of its sender before it is there, so large ones have places, or many of them at once would fill
/// the memory.
pub(crate) struct WebhookBody<'a> {
    bytes: Bytes,
    _place: Option<SemaphorePermit<'a>>,
}

impl<'a> WebhookBody<'a> {
    /// Reads a body; what is larger than [`MAX_BODY_BYTES`] takes one of the `large` places.
    pub(crate) async fn read(
        headers: &HeaderMap,
        body: Body,
        large: &'a Semaphore,
    ) -> Result<Self, Problem> {
        let (bytes, place) = read(headers, body, MAX_WEBHOOK_BYTES, Some(large)).await?;
        Ok(Self {
            bytes,
            _place: place,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

async fn read<'a>(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    large: Option<&'a Semaphore>,
) -> Result<(Bytes, Option<SemaphorePermit<'a>>), Problem> {
    let declared = declared_length(headers);
    if declared.is_some_and(|length| length > most + DRAINED_BYTES) {
        return Err(too_large(most));
    }
    match tokio::time::timeout(BODY_DEADLINE, collect(body, most, large)).await {
        Ok(read) => read,
        Err(_elapsed) => {
            let detail = format!(
                "the body did not arrive within {} s",
                BODY_DEADLINE.as_secs()
            );
            Err(Problem::new(Code::RequestTimeout, detail))
        }
    }
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect<'a>(
    body: Body,
    most: usize,
    large: Option<&'a Semaphore>,
) -> Result<(Bytes, Option<SemaphorePermit<'a>>), Problem> {
    let mut chunks = body.into_data_stream();
    let mut kept = Vec::new();
    let mut place = None;
    let mut seen_bytes = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_cut| {
            Problem::new(Code::BadRequest, "the body ended before it was complete")
        })?;
        seen_bytes = seen_bytes.saturating_add(chunk.len());
        if seen_bytes > most + DRAINED_BYTES {
            return Err(too_large(most));
        }
        if seen_bytes > most {
            kept = Vec::new();
            continue;
        }
        if seen_bytes > MAX_BODY_BYTES
            && place.is_none()
            && let Some(large) = large
        {
            place = large.acquire().await.ok();
        }
        kept.extend_from_slice(&chunk);
    }
    if seen_bytes > most {
        Err(too_large(most))
    } else {
        Ok((kept.into(), place))
    }
}

fn too_large(most: usize) -> Problem {
    Problem::new(
        Code::PayloadTooLarge,
        format!("the body is larger than {most} bytes, which is the most that is accepted here"),
    )
}

/// `application/json` or `application/…+json`, whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn invalid_json(error: &serde_json::Error) -> Problem {
    Problem::new(
        Code::InvalidJson,
        format!("the body is not accepted: {}", without_values(error)),
    )
}

/// The parser's message without the caller's values, which may hold a credential.
fn without_values(error: &serde_json::Error) -> String {
    let message: String = error
        .to_string()
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}string{}", &message[..start], &message[end + 1..])
        }
        _ => shortened(&message),
    }
}

fn shortened(message: &str) -> String {
    const MAX_CHARS: usize = 300;
    if message.chars().count() <= MAX_CHARS {
        return message.to_owned();
    }
    message.chars().take(MAX_CHARS).chain(['…']).collect()
}

/// The query string.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::invalid(shortened(&rejection.body_text()))),
        }
    }
}

/// The variable segments of the path.
pub(crate) struct PathOf<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_rejection) => Err(Problem::invalid("the path is not valid UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only read by the parser")]
        number: u8,
    }

    async fn parse(content_type: &str, body: impl Into<Body>) -> Result<Sample, Problem> {
        let request = Request::builder()
            .header(CONTENT_TYPE, content_type)
            .body(body.into())
            .unwrap();
        JsonBody::<Sample>::from_request(request, &())
            .await
            .map(|JsonBody(sample)| sample)
    }

    #[tokio::test]
    async fn json_is_accepted_under_its_media_types_only() {
        for media in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/x+json",
        ] {
            parse(media, r#"{"number": 1}"#).await.unwrap();
        }
        for media in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "json",
            "application/json5",
        ] {
            let problem = parse(media, r#"{"number": 1}"#).await.unwrap_err();
            assert!(
                format!("{problem:?}").contains("UnsupportedMediaType"),
                "{media}"
            );
        }
    }

    #[tokio::test]
    async fn a_refusal_never_repeats_the_callers_values() {
        for body in [
            r#""https://user:hunter2@host""#,
            r#"{"number": "hunter2"}"#,
            r#"{"number": "hunter2\", expected nothing"}"#,
        ] {
            let problem = parse("application/json", body).await.unwrap_err();
            assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
        }
    }

    #[tokio::test]
    async fn the_size_limit_is_exact() {
        let fitting = format!("{{\"number\": 1{}}}", " ".repeat(MAX_BODY_BYTES - 13));
        assert_eq!(fitting.len(), MAX_BODY_BYTES);
        parse("application/json", fitting.clone()).await.unwrap();
        let problem = parse("application/json", fitting + " ").await.unwrap_err();
        assert!(format!("{problem:?}").contains("PayloadTooLarge"));
    }

    #[tokio::test]
    async fn a_body_of_no_declared_length_is_cut_off_too() {
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65_536]));
        let problem = parse("application/json", Body::from_stream(endless))
            .await
            .unwrap_err();
        assert!(format!("{problem:?}").contains("PayloadTooLarge"));
    }

    #[test]
    fn a_declared_length_that_is_no_number_is_no_length() {
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("-1"))]);
        assert_eq!(declared_length(&headers), None);
    }
}
