//! Webhooks of each forge: who is believed, what is understood, and what comes of it.

use axum::body::Body;
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use leasectl_api::{MAX_WEBHOOK_BYTES, WebhookSecrets};
use leasectl_core::repository::{self, NewRepository};
use leasectl_core::webhook::Forge;
use leasectl_remote::{Locality, RemoteUrl};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::fixture::{Answer, Api};

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

#[tokio::test]
async fn a_push_of_each_forge_asks_for_a_fetch_that_is_committed() {
    for forge in Forge::ALL {
        let api = start().await;
        register(&api).await;
        let answer = Delivery::push(forge, "1").send(&api).await;
        assert_eq!(outcome(&answer), "accepted", "{forge}");
        let job = &answer.json()["jobs"][0];
        assert_eq!(job["deduplicated"], false);
        let id = job["job_id"].as_str().unwrap().parse().unwrap();
        let view = leasectl_core::job::find(&api.database, id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((view.kind.as_str(), view.args), ("fetch", json!({})));

        let again = Delivery::push(forge, "1").send(&api).await;
        assert_eq!(outcome(&again), "duplicate", "{forge}");
        assert_eq!(again.json()["jobs"], json!([]));
        let other = Delivery::push(forge, "2").send(&api).await;
        assert_eq!(outcome(&other), "accepted", "{forge}");
        assert_eq!(other.json()["jobs"][0]["job_id"], job["job_id"]);
        assert_eq!(other.json()["jobs"][0]["deduplicated"], true);
        assert_eq!(api.rows().await, [1, 0, 1], "{forge}");
    }
}

#[tokio::test]
async fn each_of_several_secrets_is_valid_and_no_other() {
    let api = start().await;
    register(&api).await;
    for forge in Forge::ALL {
        for (number, secret) in [OLD, NEW].into_iter().enumerate() {
            let delivery = Delivery::new(forge, &number.to_string(), secret, pushed(forge));
            assert_eq!(outcome(&delivery.send(&api).await), "accepted", "{forge}");
        }
        let rows = api.rows().await;
        let both = format!("{OLD}, {NEW}");
        for wrong in ["wrong-secret-0123456789", &OLD[..20], "", both.as_str()] {
            let delivery = Delivery::new(forge, "x", "secret", pushed(forge));
            let proof = delivery.name(2);
            let refused = if forge == Forge::GitLab {
                delivery.with(proof, wrong)
            } else {
                Delivery::new(forge, "x", &format!("{wrong}?"), pushed(forge))
            };
            let answer = refused.send(&api).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (401, "bad_signature")
            );
        }
        let good = Delivery::push(forge, "x");
        let unproven = good.clone().without(good.name(2)).send(&api).await;
        assert_eq!(unproven.status, 401, "{forge}");
        assert!(!unproven.headers.contains_key("www-authenticate"));
        // Another body under the same signature.
        if forge != Forge::GitLab {
            let tampered = Delivery {
                body: good.body.replace("main", "next"),
                ..good.clone()
            };
            assert_eq!(tampered.send(&api).await.status, 401, "{forge}");
        }
        assert_eq!(api.rows().await, rows, "{forge}");
    }
}

#[tokio::test]
async fn a_forge_without_a_secret_and_an_unknown_one_are_not_found() {
    let secrets = WebhookSecrets::default().with(Forge::GitHub, NEW).unwrap();
    let api = Api::with_webhooks(secrets).await;
    for forge in [Forge::GitLab, Forge::Gitea] {
        let answer = Delivery::push(forge, "1").send(&api).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "not_found")
        );
    }
    let answer = api
        .send(Method::POST, "/v1/webhooks/bitbucket", &[], Body::empty())
        .await;
    assert_eq!(answer.status, 401, "only what proves itself needs no token");
    let answer = api
        .send(Method::GET, "/v1/webhooks/github", &[], Body::empty())
        .await;
    assert_eq!(answer.status, 405);
    assert_eq!(
        Delivery::push(Forge::GitHub, "1").send(&api).await.status,
        202
    );
}

#[tokio::test]
async fn headers_that_are_missing_are_named() {
    let api = start().await;
    register(&api).await;
    for forge in Forge::ALL {
        let good = Delivery::push(forge, "1");
        for which in [0, 1] {
            let name = good.name(which);
            for bad in [good.clone().without(name), good.clone().with(name, "")] {
                let answer = bad.send(&api).await;
                assert_eq!(
                    (answer.status.as_u16(), answer.code().as_str()),
                    (400, "bad_request")
                );
                assert!(
                    answer.json()["detail"].as_str().unwrap().contains(name),
                    "{name}"
                );
            }
        }
        let long = good.clone().with(good.name(1), &"x".repeat(300));
        assert_eq!(long.send(&api).await.status, 400, "{forge}");
    }
    assert_eq!(api.rows().await, [0, 0, 1]);
}

#[tokio::test]
async fn a_body_that_is_not_what_the_event_says_is_refused() {
    let api = start().await;
    register(&api).await;
    for forge in Forge::ALL {
        for body in [
            "",
            "{",
            "null",
            "[1]",
            "{}",
            "\u{0}",
            r#"{"repository": 7, "ref": "x"}"#,
        ] {
            let answer = Delivery::new(forge, "1", NEW, body.to_owned())
                .send(&api)
                .await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (400, "invalid_json"),
                "{forge} {body:?}"
            );
        }
    }
    // It is refused whoever sends it again; nothing was noted.
    assert_eq!(api.rows().await, [0, 0, 1]);
    assert_eq!(
        outcome(&Delivery::push(Forge::GitHub, "1").send(&api).await),
        "accepted"
    );
}

#[tokio::test]
async fn changes_of_changes_count_and_other_events_do_not() {
    let api = start().await;
    register(&api).await;
    let url = "https://git.example.com/acme/anvil.git";
    let github = json!({"action": "synchronize", "number": 7, "pull_request": {"number": 7},
                        "repository": {"clone_url": url}});
    let gitlab = json!({"object_kind": "merge_request", "project": {"git_http_url": url},
                        "object_attributes": {"iid": 7}});
    let tags = json!({"object_kind": "tag_push", "project": {"git_http_url": url}});
    let create = json!({"ref": "v1", "ref_type": "tag", "repository": {"clone_url": url}});
    let nothing = json!({"zen": "Keep it logically awesome.", "hook_id": 1});
    for (number, (forge, event, body, expected)) in [
        (Forge::GitHub, "pull_request", &github, "accepted"),
        (Forge::GitHub, "create", &create, "accepted"),
        (Forge::GitHub, "delete", &create, "accepted"),
        (Forge::GitHub, "ping", &nothing, "ignored"),
        (Forge::GitHub, "issues", &nothing, "ignored"),
        (Forge::GitLab, "Merge Request Hook", &gitlab, "accepted"),
        (Forge::GitLab, "Tag Push Hook", &tags, "accepted"),
        (Forge::GitLab, "System Hook", &tags, "accepted"),
        (Forge::GitLab, "Note Hook", &nothing, "ignored"),
        (Forge::Gitea, "pull_request", &github, "accepted"),
        (Forge::Gitea, "issue_comment", &nothing, "ignored"),
    ]
    .into_iter()
    .enumerate()
    {
        let delivery = Delivery::new(forge, &number.to_string(), NEW, body.to_string());
        let name = delivery.name(0);
        let answer = delivery.with(name, event).send(&api).await;
        assert_eq!(outcome(&answer), expected, "{forge} {event}");
    }
    assert_eq!(api.rows().await, [1, 0, 1]);
}

#[tokio::test]
async fn a_repository_that_nobody_registered_is_no_error_and_counts_once_it_is() {
    let api = start().await;
    let delivery = Delivery::push(Forge::GitHub, "1");
    for _ in 0..2 {
        assert_eq!(outcome(&delivery.send(&api).await), "unknown_repository");
    }
    register(&api).await;
    assert_eq!(outcome(&delivery.send(&api).await), "accepted");
    let metrics = api
        .send(
            Method::GET,
            "/metrics",
            &[("authorization", "Bearer a-token-0123456789")],
            Body::empty(),
        )
        .await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    for outcome in ["unknown_repository", "accepted", "refused"] {
        let series = format!("leasectl_webhooks_total{{forge=\"github\",outcome=\"{outcome}\"}}");
        assert!(text.contains(&series), "{series} is not in {text}");
    }
}

#[tokio::test]
async fn forgejo_and_a_signing_token_of_gitlab_are_understood() {
    let api = start().await;
    register(&api).await;
    let body = pushed(Forge::Gitea);
    let forgejo = Delivery {
        forge: Forge::Gitea,
        headers: vec![
            ("x-forgejo-event", "push".to_owned()),
            ("x-forgejo-delivery", "f1".to_owned()),
            (
                "x-forgejo-signature",
                hexadecimal(&tag(NEW.as_bytes(), body.as_bytes())),
            ),
        ],
        body,
    };
    assert_eq!(outcome(&forgejo.send(&api).await), "accepted");

    let body = pushed(Forge::GitLab);
    let signed = format!("g1.1700000000.{body}");
    let signature = format!("v1,{}", STANDARD.encode(tag(KEY, signed.as_bytes())));
    let gitlab = Delivery {
        forge: Forge::GitLab,
        headers: vec![
            ("x-gitlab-event", "Push Hook".to_owned()),
            ("idempotency-key", "g1".to_owned()),
            ("x-gitlab-event-uuid", "e1".to_owned()),
            ("webhook-id", "g1".to_owned()),
            ("webhook-timestamp", "1700000000".to_owned()),
            ("webhook-signature", signature),
        ],
        body,
    };
    assert_eq!(outcome(&gitlab.send(&api).await), "accepted");
    assert_eq!(
        gitlab
            .clone()
            .with("webhook-id", "g2")
            .send(&api)
            .await
            .status,
        401
    );
    // The same event for another hook is another delivery; the same delivery sent again is not.
    assert_eq!(outcome(&gitlab.send(&api).await), "duplicate");
    let token = Delivery::push(Forge::GitLab, "e1").with("idempotency-key", "g3");
    assert_eq!(outcome(&token.send(&api).await), "accepted");
}

#[tokio::test]
async fn the_json_may_come_in_a_form_signed_as_each_forge_does() {
    let api = start().await;
    register(&api).await;
    let json = pushed(Forge::GitHub);
    let form = format!("payload={}", percent_encoded(&json));
    let media = ("content-type", "application/x-www-form-urlencoded");
    let github = Delivery::new(Forge::GitHub, "1", NEW, form.clone()).with(media.0, media.1);
    assert_eq!(outcome(&github.send(&api).await), "accepted");
    let gitea = Delivery {
        body: form.clone(),
        ..Delivery::new(Forge::Gitea, "1", NEW, json).with(media.0, media.1)
    };
    assert_eq!(outcome(&gitea.send(&api).await), "accepted");
    let empty = Delivery::new(Forge::GitHub, "2", NEW, "a=b".to_owned()).with(media.0, media.1);
    assert_eq!(empty.send(&api).await.status, 400);
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_body_may_be_large_and_not_larger_than_forges_send() {
    let api = start().await;
    register(&api).await;
    let padded = |bytes: usize| {
        let mut body = pushed(Forge::GitHub);
        body.push_str(&" ".repeat(bytes - body.len()));
        body
    };
    let largest = Delivery::new(Forge::GitHub, "1", NEW, padded(MAX_WEBHOOK_BYTES));
    assert_eq!(outcome(&largest.send(&api).await), "accepted");
    let larger = Delivery::new(Forge::GitHub, "2", NEW, padded(MAX_WEBHOOK_BYTES + 1));
    let answer = larger.send(&api).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (413, "payload_too_large")
    );
    // What has no signature at all is not even read.
    let unproven = larger.without("x-hub-signature-256").send(&api).await;
    assert_eq!(unproven.status, 401);
}

#[tokio::test]
async fn the_diagnostics_tell_of_the_delivery() {
    let api = start().await;
    register(&api).await;
    outcome(&Delivery::push(Forge::GitHub, "1").send(&api).await);
    let authorization = ("authorization", "Bearer a-token-0123456789");
    let path = "/v1/changes/repos/acme/anvil/status";
    let answer = api
        .send(Method::GET, path, &[authorization], Body::empty())
        .await;
    let status: Value = answer.json();
    assert_eq!(status["dirty"], true);
    for field in ["dirty_since", "last_webhook_at", "last_requested_fetch_at"] {
        assert!(status[field].is_string(), "{field} {status}");
    }
}
