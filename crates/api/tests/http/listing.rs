//! Listing jobs, leases, workers and the queue.

use serde_json::json;

use crate::fixture::Api;

#[tokio::test]
async fn jobs_are_filtered_and_listed_newest_first() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        api.repository(&format!("acme/r{number}")).await;
        ids.insert(0, api.job(&format!("acme/r{number}")).await);
    }
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=2&kind=fetch&state=queued".to_owned();
    loop {
        let page = api.get(&path).await.json();
        for item in page["items"].as_array().unwrap() {
            seen.push(item["id"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/jobs?limit=2&kind=fetch&state=queued&cursor={cursor}");
    }
    assert_eq!(seen, ids);
    let one = api.get("/v1/jobs?repo=acme/r3").await.json();
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    assert_eq!(one["items"][0]["repo"], "acme/r3");
    let none = json!({"items": [], "next_cursor": null});
    assert_eq!(api.get("/v1/jobs?state=error").await.json(), none);
    assert_eq!(api.get("/v1/jobs?kind=index").await.json(), none);
}

#[tokio::test]
async fn filters_that_cannot_be_are_refused() {
    let api = Api::start().await;
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=x",
        "limit=99999999999999999999",
        "limit=",
        "cursor=x",
        "cursor=%00",
        "state=ready",
        "state=",
        "kind=",
        "kind=a%00",
        "kind=a%20b",
        "repo=",
        "repo=x",
        "page=1",
        "limit=1&limit=2",
        "state=%ff",
    ] {
        let answer = api.get(&format!("/v1/jobs?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(api.get("/v1/jobs?repo=no/body").await.status, 404);
}

#[tokio::test]
async fn the_three_parts_of_the_status_are_lists() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    api.repository("acme/rocket").await;
    let id = api.job("acme/anvil").await;
    api.job("acme/rocket").await;
    let lease = api.claim().await;
    let leases = api.get("/v1/leases").await.json();
    assert_eq!(leases["items"][0]["job_id"], id.as_str());
    assert_eq!(leases["items"][0]["state"], "live");
    let queue = api.get("/v1/queue").await.json();
    let kinds = queue["items"].as_array().unwrap();
    let fetches = kinds.iter().find(|kind| kind["kind"] == "fetch").unwrap();
    assert_eq!(
        (&fetches["queued"], &fetches["running"]),
        (&json!(1), &json!(1))
    );
    let workers = api.get("/v1/workers").await.json();
    assert_eq!(workers, json!({"items": [], "next_cursor": null}));
    api.settle(lease.release()).await;
    assert_eq!(api.get("/v1/leases").await.json()["items"], json!([]));
}
