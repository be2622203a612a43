//! Webhooks as forges send them: proof that a delivery is theirs, and what it says.
//!
//! **Invariant.** Nothing of a body is believed before its proof holds.

mod payload;
mod secrets;

use axum::http::HeaderMap;
use leasectl_core::webhook::{DeliveryId, Forge};

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

/// Headers that hold the delivery's id, best first.
///
/// A GitLab of before 17.4 has only the event's id, which several hooks for one event may share: they tell the
/// same. `X-Gitlab-Webhook-UUID` is the hook's, not the delivery's.
fn delivery_headers(forge: Forge) -> &'static [&'static str] {
    match forge {
        Forge::GitHub => &["x-github-delivery"],
        Forge::GitLab => &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"],
        Forge::Gitea => &["x-forgejo-delivery", "x-gitea-delivery"],
    }
}

/// The event's name.
pub(crate) fn event(forge: Forge, headers: &HeaderMap) -> Result<&str, Problem> {
    first(headers, event_headers(forge))
        .ok_or_else(|| missing("the name of the event", event_headers(forge)))
}

/// The delivery's id.
pub(crate) fn delivery_id(forge: Forge, headers: &HeaderMap) -> Result<DeliveryId, Problem> {
    let text = first(headers, delivery_headers(forge))
        .ok_or_else(|| missing("the id of the delivery", delivery_headers(forge)))?;
    DeliveryId::parse(text).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))
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
