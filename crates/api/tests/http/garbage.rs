//! Garbage changes nothing, breaks nothing, and learns nothing.

use axum::body::Body;
use axum::http::Method;
use serde_json::json;

use crate::fixture::Api;
use crate::hostile::{GOOD_BRANCHES, urls, values};

#[tokio::test]
async fn wrong_values_in_any_field_are_refused_and_change_nothing() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let before = api.rows().await;
    let repo = json!({"git_url": "https://git.example.com/a/b", "name": "a/b",
                      "default_branch": "main", "fetch_every": "6h"});
    let job = json!({"repo": "acme/anvil", "kind": "fetch", "args": {}, "priority": 1,
                     "not_before": "2099-01-01T00:00:00Z"});
    let mut asked = 0;
    for (path, template) in [("/v1/repos", &repo), ("/v1/jobs", &job)] {
        for field in template
            .as_object()
            .unwrap()
            .keys()
            .chain([&"unknown".to_owned()])
        {
            for value in values() {
                let fits = (field == "args" && value == json!({}))
                    || (field == "priority" && value == json!(1))
                    // Git itself takes such branches; they never come near a shell.
                    || (field == "default_branch" && GOOD_BRANCHES.iter().any(|b| value == *b));
                if fits {
                    continue;
                }
                let mut body = template.clone();
                body[field] = value;
                let answer = api.post(path, &body).await;
                assert!(
                    answer.status.is_client_error(),
                    "{path} {body} gave {answer:?}"
                );
                if path == "/v1/jobs" {
                    let answer = api
                        .post("/v1/jobs/batch", &json!({"jobs": [job, body]}))
                        .await;
                    assert!(answer.status.is_client_error(), "{body} gave {answer:?}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 200, "only {asked} bodies");
    assert_eq!(api.rows().await, before);
}

#[tokio::test]
async fn hostile_urls_are_refused_and_never_repeated() {
    let api = Api::start().await;
    let urls = urls();
    assert!(urls.len() > 75, "only {} URLs", urls.len());
    for url in urls {
        let answer = api.post("/v1/repos", &json!({ "git_url": url })).await;
        assert_eq!(answer.status, 400, "{url:?} gave {answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("password@"));
        let job = api
            .post("/v1/jobs", &json!({"repo": url, "kind": "fetch"}))
            .await;
        assert!(job.status.is_client_error(), "{url:?} gave {job:?}");
    }
    assert_eq!(api.rows().await, [0, 0, 0]);
}

#[tokio::test]
async fn texts_that_are_not_the_json_asked_for_are_refused() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let texts = [
        "",
        " ",
        "null",
        "true",
        "1",
        "\"x\"",
        "[]",
        "{}",
        "{",
        "}",
        "[[",
        "{\"a\"",
        "{\"a\":}",
        "{\"a\":1,}",
        "{'a':1}",
        "NaN",
        "Infinity",
        "1e999999",
        "\u{feff}{}",
        "{}{}",
        "{} x",
        "{\"jobs\":null}",
        "{\"jobs\":{}}",
        "{\"jobs\":[1]}",
        "{\"jobs\":[null]}",
        "{\"jobs\":[[]]}",
        "{\"jobs\":[{}]}",
        "{\"repo\":\"acme/anvil\"}",
        "{\"kind\":\"fetch\"}",
        "{\"repo\":\"acme/anvil\",\"repo\":\"acme/anvil\",\"kind\":\"fetch\"}",
        "{\"repo\":\"acme/anvil\",\"kind\":\"fetch\",\"args\":{\"a\":1,\"a\":1}}",
        "{\"repo\":\"acme/anvil\",\"kind\":\"fetch\",\"priority\":1e2}",
        "{\"repo\":\"acme/anvil\",\"kind\":\"fetch\",\"priority\":99999999999999999999}",
        "{\"repo\":\"acme/anvil\",\"kind\":\"fetch\",\"not_before\":1700000000}",
        "{\"repo\":\"acme/anvil\",\"kind\":\"fetch\",\"args\":{\"refspecs\":[\"\\ud800\"]}}",
        "{\"repo\":\"acme/anvil\",\"kind\":\"fetch\",\"args\":{\"refspecs\":[\"--upload-pack=x\"]}}",
        "{\"repo\":\"acme/anvil\",\"kind\":\"fetch\",\"args\":{\"\\u0000\":1}}",
    ];
    let deep = |open: &str, count: usize| format!("{{\"args\":{}", open.repeat(count));
    let texts = texts.iter().map(|text| text.as_bytes().to_vec()).chain([
        deep("[", 100_000).into_bytes(),
        deep("{\"a\":", 100_000).into_bytes(),
        b"\xff\xfe{}".to_vec(),
        b"{\"repo\":\"\xc3\x28\",\"kind\":\"fetch\"}".to_vec(),
        b"\x1f\x8b\x08\x00".to_vec(),
    ]);
    for text in texts {
        for path in ["/v1/jobs", "/v1/jobs/batch", "/v1/repos"] {
            let answer = api.post_text(path, text.clone()).await;
            let shown = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
            assert_eq!(answer.status, 400, "{path} {shown:?} gave {answer:?}");
        }
    }
    assert_eq!(api.rows().await, [0, 0, 1]);
}

#[tokio::test]
async fn bodies_of_the_wrong_type_or_size_are_refused() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let body = r#"{"repo": "acme/anvil", "kind": "fetch"}"#;
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "x",
        "",
    ] {
        let headers = [("content-type", media)];
        let answer = api
            .send(Method::POST, "/v1/jobs", &headers, Body::from(body))
            .await;
        assert_eq!(answer.status, 415, "{media:?}");
        assert_eq!(answer.code(), "unsupported_media_type");
    }
    for length in [leasectl_api::MAX_BODY_BYTES + 1, 5 << 20, 20 << 20] {
        for path in ["/v1/jobs", "/v1/jobs/batch", "/v1/repos"] {
            let answer = api.post_text(path, " ".repeat(length)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (413, "payload_too_large")
            );
        }
    }
    let big_args = json!({"repo": "acme/anvil", "kind": "fetch",
                          "args": {"refspecs": vec!["+refs/heads/x:refs/heads/x"; 5_000]}});
    assert_eq!(api.post("/v1/jobs", &big_args).await.status, 400);
    assert_eq!(api.rows().await, [0, 0, 1]);
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_problems() {
    let api = Api::start().await;
    for path in [
        "/v1",
        "/v2/jobs",
        "/v1/jobs/",
        "/v1/jobs/a/b/c",
        "/admin",
        "/.git/config",
        "/v1/%2e%2e/x",
        "/v1/repos/a/b/c",
        "/favicon.ico",
        "/v1/webhooks",
        "/v1/webhooks/github/x",
        "/v1/webhooks/bitbucket/x",
        "/v1/jobs/batch/x",
    ] {
        let answer = api.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    for path in [
        "/v1/jobs",
        "/v1/repos",
        "/v1/jobs/batch",
        "/v1/leases",
        "/healthz",
        "/",
        "/v1/repos/a/b",
        "/v1/webhooks/github",
    ] {
        for method in [
            Method::DELETE,
            Method::PUT,
            Method::PATCH,
            Method::OPTIONS,
            Method::TRACE,
        ] {
            let answer = api.send(method, path, &[], Body::empty()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (405, "method_not_allowed")
            );
            assert!(answer.headers.contains_key("allow"), "{path}");
        }
    }
    assert_eq!(api.get("/v1/jobs/batch").await.status, 405);
    for path in [
        "/v1/repos?x=1",
        "/v1/events?x=1",
        "/v1/events?job=1",
        "/v1/events?repo=x",
    ] {
        assert_eq!(api.get(path).await.status, 400, "{path}");
    }
}
