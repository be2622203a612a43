//! Batches: all jobs or none.

use serde_json::{Value, json};

use crate::fixture::Api;

fn fetch(repo: &str) -> Value {
    json!({"repo": repo, "kind": "fetch"})
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let api = Api::start().await;
    let first = api.repository("acme/anvil").await;
    api.repository("acme/rocket").await;
    let jobs = [fetch("acme/rocket"), fetch(&first), fetch("acme/rocket")];
    let answer = api.post("/v1/jobs/batch", &json!({ "jobs": jobs })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let accepted = answer.json()["jobs"].clone();
    assert_eq!(accepted.as_array().unwrap().len(), 3);
    assert_eq!(accepted[0]["job_id"], accepted[2]["job_id"]);
    assert_eq!(accepted[2]["deduplicated"], true);
    let shown = api
        .get(accepted[1]["status_url"].as_str().unwrap())
        .await
        .json();
    assert_eq!(shown["repo"], "acme/anvil");
}

#[tokio::test]
async fn one_bad_job_refuses_the_whole_batch_and_is_named() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    for (bad, status) in [
        (json!({"repo": "acme/anvil", "kind": "nope"}), 400),
        (
            json!({"repo": "acme/anvil", "kind": "fetch", "priority": 1000}),
            400,
        ),
        (
            json!({"repo": "acme/anvil", "kind": "fetch", "not_before": "9999-01-01T00:00:00Z"}),
            400,
        ),
        (fetch("acme/nobody"), 404),
        (fetch("01900000-0000-7000-8000-000000000000"), 404),
    ] {
        let mut jobs = vec![fetch("acme/anvil"); 5];
        jobs[3] = bad.clone();
        let answer = api.post("/v1/jobs/batch", &json!({ "jobs": jobs })).await;
        assert_eq!(answer.status, status, "{bad}");
        if !bad.to_string().contains("9999") {
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with("jobs[3]: "), "{detail}");
        }
        assert_eq!(api.rows().await, [0, 0, 1], "{bad}");
    }
}

#[tokio::test]
async fn a_batch_holds_from_1_to_1000_jobs() {
    let api = Api::start().await;
    for number in 0..10 {
        api.repository(&format!("acme/r{number}")).await;
    }
    let jobs = |count: usize| -> Value {
        (0..count)
            .map(|number| fetch(&format!("acme/r{}", number % 10)))
            .collect()
    };
    for refused in [0, 1001] {
        let answer = api
            .post("/v1/jobs/batch", &json!({"jobs": jobs(refused)}))
            .await;
        assert_eq!(answer.status, 400);
    }
    assert_eq!(api.rows().await, [0, 0, 10]);
    let answer = api
        .post("/v1/jobs/batch", &json!({"jobs": jobs(1000)}))
        .await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["jobs"].as_array().unwrap().len(), 1000);
    assert_eq!(api.rows().await, [10, 0, 10]);
}
