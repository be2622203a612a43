//! Who may deliver: headers, secrets and signatures.

use axum::body::Body;
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leasectl_api::WebhookSecrets;
use leasectl_core::webhook::Forge;

use crate::fixture::Api;

use super::{Delivery, KEY, NEW, OLD, hexadecimal, outcome, pushed, register, start, tag};

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
