//! Webhooks as forges send them: proof that a delivery is theirs, and what it says.
//!
//! **Invariant.** Nothing of a body is believed before its proof holds.

mod payload;
mod secrets;

use axum::http::HeaderMap;
use leasectl_core::webhook::{DeliveryId, Forge};
use sha2::{Digest as _, Sha256};

pub(crate) use self::payload::{Said, unwrapped};
pub use self::secrets::{BadWebhookSecret, WebhookSecrets};

use crate::problem::{Code, Problem};

/// Headers that name the event, most particular first.
fn event_headers(forge: Forge) -> &'static [&'static str] {
    match forge {
        Forge::GitHub => &["x-github-event"],
        Forge::GitLab => &["x-gitlab-event"],
        Forge::Gitea => &["x-forgejo-event", "x-gitea-event"],
    }
}

/// All that a GitLab of before 17.4 says: the event's id. Whatever an event sets off has the id of that event too,
/// such as the push of a pipeline that a hook started, so the id is no delivery's without its content.
const EVENT_UUID: &str = "x-gitlab-event-uuid";

/// Headers that hold the delivery's id, best first.
///
/// `X-Gitlab-Webhook-UUID` is the hook's, not the delivery's.
fn delivery_headers(forge: Forge) -> &'static [&'static str] {
    match forge {
        Forge::GitHub => &["x-github-delivery"],
        Forge::GitLab => &["webhook-id", "idempotency-key", EVENT_UUID],
        Forge::Gitea => &["x-forgejo-delivery", "x-gitea-delivery"],
    }
}

/// The event's name.
pub(crate) fn event(forge: Forge, headers: &HeaderMap) -> Result<&str, Problem> {
    first(headers, event_headers(forge))
        .ok_or_else(|| missing("the name of the event", event_headers(forge)))
}

/// The delivery's id.
pub(crate) fn delivery_id(
    forge: Forge,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<DeliveryId, Problem> {
    let names = delivery_headers(forge);
    let text = first(headers, names).ok_or_else(|| missing("the id of the delivery", names))?;
    let parsed = if names.iter().find(|name| headers.contains_key(**name)) == Some(&EVENT_UUID) {
        // Sent again it has the same body.
        let digest = Sha256::digest(body);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        DeliveryId::parse(text)
            .and_then(|id| DeliveryId::parse(&format!("{}:{digest}", id.as_str())))
    } else {
        DeliveryId::parse(text)
    };
    parsed.map_err(|error| Problem::new(Code::BadRequest, error.to_string()))
}

/// The first of these headers that is there.
fn first<'a>(headers: &'a HeaderMap, names: &[&str]) -> Option<&'a str> {
    let value = names.iter().find_map(|name| headers.get(*name))?;
    value.to_str().ok().filter(|value| !value.is_empty())
}

fn missing(what: &str, headers: &[&str]) -> Problem {
    let names = headers.join(" or ");
    Problem::new(
        Code::BadRequest,
        format!("{what} is missing (header {names})"),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn id(headers: &[(&'static str, &'static str)], body: &[u8]) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        let id = delivery_id(Forge::GitLab, &headers, body).unwrap();
        id.as_str().to_owned()
    }

    #[test]
    fn events_that_one_event_sets_off_are_deliveries_of_their_own() {
        let old = [(EVENT_UUID, "13792a34-cac6-4fda-95a8-c58e00a3954e")];
        assert_ne!(id(&old, b"{}"), id(&old, b"{\"ref\": 1}"));
        assert_eq!(id(&old, b"{}"), id(&old, b"{}"));
        let new = [old[0], ("idempotency-key", "f5e5f430-f57b")];
        assert_eq!(id(&new, b"{}"), "f5e5f430-f57b");
    }
}
