//! Registering and showing repositories.

use serde_json::{Value, json};

use crate::fixture::Api;

#[tokio::test]
async fn registering_twice_finds_the_first() {
    let api = Api::start().await;
    let body = json!({"git_url": "https://git.example.com/acme/anvil.git", "fetch_every": "6h",
                      "default_branch": "main"});
    let made = api.post("/v1/repos", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let repository = made.json();
    assert_eq!(repository["name"], "acme/anvil");
    assert_eq!(repository["fetch_every_s"], 21600.0);
    assert_eq!(repository["default_branch"], "main");
    let location = made.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(api.get(&location).await.json(), repository);
    assert_eq!(api.get("/v1/repos/acme/anvil").await.json(), repository);

    let again = api.post("/v1/repos", &body).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, repository));
    assert_eq!(api.rows().await, [0, 0, 1]);
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_with_a_suggestion_that_works() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let mut body = json!({"git_url": "https://other.example.com/acme/anvil", "name": "acme/anvil"});
    let taken = api.post("/v1/repos", &body).await;
    assert_eq!(
        (taken.status.as_u16(), taken.code().as_str()),
        (409, "name_taken")
    );
    body["name"] = taken.json()["suggestion"].clone();
    assert_eq!(api.post("/v1/repos", &body).await.status, 201);
}

#[tokio::test]
async fn a_new_repository_has_no_branches_and_unknown_diagnostics_are_null() {
    let api = Api::start().await;
    let id = api.repository("group~sub/anvil").await;
    let branches = api.get(&format!("/v1/repos/{id}/branches")).await.json();
    assert_eq!(branches, json!({"items": [], "next_cursor": null}));
    let status = api
        .get("/v1/changes/repos/group~sub/anvil/status")
        .await
        .json();
    assert_eq!(status["full_name"], "group~sub/anvil");
    assert_eq!(status["repository_id"], id.as_str());
    for field in [
        "dirty_since",
        "last_webhook_at",
        "last_successful_fetch_at",
        "last_index_started_at",
        "backfill_mode",
        "fetch_lease_owner_id",
        "stack_lease_expires_at",
        "open_pr_total",
        "open_pr_cursor_updated_at",
        "last_error",
    ] {
        assert_eq!(status.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(status["fetch_in_progress"], false);
}

#[tokio::test]
async fn a_repository_called_branches_can_be_shown_by_its_name() {
    let api = Api::start().await;
    let id = api.repository("acme/branches").await;
    assert_eq!(
        api.get("/v1/repos/acme/branches").await.json()["id"],
        id.as_str()
    );
}

#[tokio::test]
async fn what_is_not_registered_is_not_found() {
    let api = Api::start().await;
    for path in [
        "/v1/repos/01900000-0000-7000-8000-000000000000",
        "/v1/repos/01900000-0000-7000-8000-000000000000/branches",
        "/v1/repos/no/body",
        "/v1/repos/no/branches",
        "/v1/changes/repos/no/body/status",
    ] {
        let answer = api.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "repo_not_found")
        );
    }
    for path in [
        "/v1/repos/x",
        "/v1/repos/-x/y",
        "/v1/repos/a%2Fb/c",
        "/v1/repos/a/b%00",
    ] {
        assert_eq!(api.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn repositories_are_listed_page_by_page() {
    let api = Api::start().await;
    for number in 0..5 {
        api.repository(&format!("acme/r{number}")).await;
    }
    let mut names = Vec::new();
    let mut path = "/v1/repos?limit=2".to_owned();
    loop {
        let page = api.get(&path).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(
            items
                .iter()
                .map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/repos?limit=2&cursor={cursor}");
    }
    assert_eq!(
        names,
        ["acme/r0", "acme/r1", "acme/r2", "acme/r3", "acme/r4"]
    );
    assert_eq!(api.get("/v1/repos?cursor=nonsense").await.status, 400);
}
