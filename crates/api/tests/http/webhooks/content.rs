//! What a delivery may contain, and what comes of it.

use axum::body::Body;
use axum::http::Method;
use leasectl_api::MAX_WEBHOOK_BYTES;
use leasectl_core::webhook::Forge;
use serde_json::{Value, json};

use super::{Delivery, NEW, outcome, pushed, register, start};

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
