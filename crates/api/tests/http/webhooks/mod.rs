//! Webhooks as forges send them.

use axum::body::Body;
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use leasectl_api::WebhookSecrets;
use leasectl_core::repository::{self, NewRepository};
use leasectl_core::webhook::Forge;
use leasectl_remote::{Locality, RemoteUrl};
use serde_json::json;
use sha2::Sha256;

use crate::fixture::{Answer, Api};

mod content;
mod proof;

const OLD: &str = "old-secret-0123456789";

const NEW: &str = "new-secret-0123456789";

const KEY: &[u8; 24] = b"a-key-of-gitlab-for-test";

async fn start() -> Api {
    let mut secrets = WebhookSecrets::default();
    for forge in Forge::ALL {
        secrets = secrets.with(forge, &format!("{OLD}, {NEW}")).unwrap();
    }
    let signing = format!("whsec_{}", STANDARD.encode(KEY));
    secrets = secrets.with(Forge::GitLab, &signing).unwrap();
    Api::with_webhooks(secrets).await
}

/// Registers `acme/anvil` without the API's token.
async fn register(api: &Api) {
    let git_url = "https://git.example.com/acme/anvil";
    let new = NewRepository {
        git_url: RemoteUrl::parse(git_url, Locality::PublicOnly).unwrap(),
        name: None,
        default_branch: None,
        fetch_every: None,
    };
    repository::register(&api.database, &new).await.unwrap();
}

fn tag(secret: &[u8], signed: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed);
    mac.finalize().into_bytes().to_vec()
}

fn hexadecimal(tag: &[u8]) -> String {
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a forge says when somebody pushed.
fn pushed(forge: Forge) -> String {
    let url = "https://git.example.com/acme/anvil.git";
    match forge {
        Forge::GitHub | Forge::Gitea => json!({
            "ref": "refs/heads/main", "repository": {"full_name": "acme/anvil", "clone_url": url}
        }),
        Forge::GitLab => json!({"object_kind": "push", "project": {"git_http_url": url}}),
    }
    .to_string()
}

/// A delivery as the forge would send it.
#[derive(Clone)]
struct Delivery {
    forge: Forge,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Delivery {
    fn new(forge: Forge, id: &str, secret: &str, body: String) -> Self {
        let signature = || hexadecimal(&tag(secret.as_bytes(), body.as_bytes()));
        let (event, delivery, proof) = match forge {
            Forge::GitHub => (
                ("x-github-event", "push"),
                "x-github-delivery",
                ("x-hub-signature-256", format!("sha256={}", signature())),
            ),
            Forge::GitLab => (
                ("x-gitlab-event", "Push Hook"),
                "x-gitlab-event-uuid",
                ("x-gitlab-token", secret.to_owned()),
            ),
            Forge::Gitea => (
                ("x-gitea-event", "push"),
                "x-gitea-delivery",
                ("x-gitea-signature", signature()),
            ),
        };
        Self {
            forge,
            headers: vec![
                (event.0, event.1.to_owned()),
                (delivery, id.to_owned()),
                proof,
            ],
            body,
        }
    }

    fn push(forge: Forge, id: &str) -> Self {
        Self::new(forge, id, NEW, pushed(forge))
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    /// The name of the header that holds its proof, and so on.
    fn name(&self, which: usize) -> &'static str {
        self.headers[which].0
    }

    async fn send(&self, api: &Api) -> Answer {
        let path = format!("/v1/webhooks/{}", self.forge);
        let headers: Vec<_> = self.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        api.send(Method::POST, &path, &headers, Body::from(self.body.clone()))
            .await
    }
}

fn outcome(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["outcome"].as_str().unwrap().to_owned()
}
