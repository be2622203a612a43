//! Accepting, showing, cancelling and retrying jobs.

use leasectl_core::failure::{ErrorCode, JobError};
use serde_json::json;

use crate::fixture::Api;

const UNKNOWN: &str = "01900000-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_job_is_committed_before_it_is_acknowledged() {
    let api = Api::start().await;
    let repo = api.repository("acme/anvil").await;
    for name in [
        repo.as_str(),
        "acme/anvil",
        "https://git.example.com/acme/anvil.git",
    ] {
        let answer = api
            .post("/v1/jobs", &json!({"repo": name, "kind": "fetch"}))
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json()["state"], "queued");
        let url = answer.json()["status_url"].as_str().unwrap().to_owned();
        let shown = api.get(&url).await.json();
        assert_eq!(shown["id"], answer.json()["job_id"]);
        assert_eq!(shown["repo"], "acme/anvil");
    }
    assert_eq!(api.rows().await, [1, 0, 1]);
}

#[tokio::test]
async fn a_job_is_shown_with_every_field_of_the_contract() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let id = api.job("acme/anvil").await;
    let shown = api.get(&format!("/v1/jobs/{id}")).await.json();
    let mut fields: Vec<_> = shown
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "args",
            "attempt",
            "attempts",
            "created_at",
            "finished_at",
            "id",
            "kind",
            "lane",
            "last_error",
            "lease",
            "max_attempts",
            "message",
            "not_before",
            "priority",
            "progress",
            "repo",
            "repo_id",
            "result",
            "started_at",
            "state",
        ]
    );
    assert!(
        shown["lease"].is_null() && shown["result"].is_null(),
        "{shown}"
    );
}

#[tokio::test]
async fn an_equal_job_that_was_never_claimed_is_the_same_job() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let first = api.job("acme/anvil").await;
    let body = json!({"repo": "acme/anvil", "kind": "fetch", "args": {}, "priority": 7});
    let second = api.post("/v1/jobs", &body).await.json();
    assert_eq!(second["job_id"], first.as_str());
    assert_eq!(second["deduplicated"], true);
    assert_eq!(
        api.get(&format!("/v1/jobs/{first}")).await.json()["priority"],
        7
    );

    let lease = api.claim().await;
    let third = api.post("/v1/jobs", &body).await.json();
    assert_ne!(third["job_id"], first.as_str());
    assert_eq!(
        (&third["deduplicated"], &third["state"]),
        (&json!(false), &json!("waiting"))
    );
    let fourth = api.post("/v1/jobs", &body).await.json();
    assert_eq!(fourth["job_id"], third["job_id"]);
    api.settle(lease.complete(json!({}))).await;
}

#[tokio::test]
async fn a_delayed_job_says_when_it_starts() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let body = json!({"repo": "acme/anvil", "kind": "fetch", "priority": -100,
                      "not_before": "2099-01-01T02:00:00+02:00"});
    let accepted = api.post("/v1/jobs", &body).await;
    assert_eq!(accepted.status, 202);
    let shown = api
        .get(accepted.json()["status_url"].as_str().unwrap())
        .await
        .json();
    assert_eq!(shown["not_before"], "2099-01-01T00:00:00.000000Z");
    assert_eq!(
        (&shown["state"], &shown["priority"]),
        (&json!("queued"), &json!(-100))
    );
}

#[tokio::test]
async fn a_running_job_shows_its_lease_and_is_asked_to_stop() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let id = api.job("acme/anvil").await;
    let lease = api.claim().await;
    let shown = api.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(shown["state"], "running");
    assert_eq!(shown["lease"]["token"], lease.key().token.get());
    assert_eq!(shown["attempts"][0]["attempt"], 1);

    let asked = api.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!(
        (asked.status.as_u16(), &asked.json()["state"]),
        (202, &json!("running"))
    );
    let refused = api.post(&format!("/v1/jobs/{id}/retry"), &json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (409, "job_not_finished")
    );
    api.settle(lease.cancelled()).await;
    assert_eq!(
        api.get(&format!("/v1/jobs/{id}")).await.json()["state"],
        "cancelled"
    );
}

#[tokio::test]
async fn a_queued_job_ends_at_once_when_cancelled_and_can_be_run_again() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let id = api.job("acme/anvil").await;
    let cancel = format!("/v1/jobs/{id}/cancel");
    let asked = api.post_text(&cancel, "").await;
    assert_eq!(
        (asked.status.as_u16(), &asked.json()["state"]),
        (202, &json!("cancelled"))
    );
    let again = api.post_text(&cancel, "").await;
    assert_eq!(
        (again.status.as_u16(), again.code().as_str()),
        (409, "job_finished")
    );

    let retried = api.post_text(&format!("/v1/jobs/{id}/retry"), "").await;
    assert_eq!(
        (retried.status.as_u16(), &retried.json()["state"]),
        (202, &json!("queued"))
    );
    assert_eq!(retried.json()["job_id"], id.as_str());
    let lease = api.claim().await;
    let error = JobError::permanent(ErrorCode::RemoteNotFound, "there is no such repository");
    api.settle(lease.fail(error)).await;
    let shown = api.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(shown["state"], "error");
    assert_eq!(shown["last_error"]["code"], "remote_not_found");
    assert_eq!(shown["attempts"][0]["outcome"], "failed");
}

#[tokio::test]
async fn unknown_and_malformed_ids_are_told_apart() {
    let api = Api::start().await;
    for (path, status) in [
        (format!("/v1/jobs/{UNKNOWN}"), 404),
        ("/v1/jobs/17".to_owned(), 400),
        ("/v1/jobs/%00".to_owned(), 400),
        ("/v1/jobs/%ff".to_owned(), 400),
    ] {
        assert_eq!(api.get(&path).await.status, status, "{path}");
    }
    for action in ["cancel", "retry"] {
        let unknown = api
            .post_text(&format!("/v1/jobs/{UNKNOWN}/{action}"), "")
            .await;
        assert_eq!(
            (unknown.status.as_u16(), unknown.code().as_str()),
            (404, "job_not_found")
        );
        assert_eq!(
            api.post_text(&format!("/v1/jobs/x/{action}"), "")
                .await
                .status,
            400
        );
    }
}

#[tokio::test]
async fn a_repository_must_be_registered_before_a_job_names_it() {
    let api = Api::start().await;
    for repo in [UNKNOWN, "no/body", "https://git.example.com/no/body"] {
        let answer = api
            .post("/v1/jobs", &json!({"repo": repo, "kind": "fetch"}))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "repo_not_found")
        );
    }
    assert_eq!(api.rows().await, [0, 0, 0]);
}
