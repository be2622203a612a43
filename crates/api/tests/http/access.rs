//! Who is answered, and under which request id.

use axum::body::Body;
use axum::http::Method;
use leasectl_api::Access;

use crate::fixture::{Answer, Api};

async fn ask(api: &Api, path: &str, authorization: &str) -> Answer {
    api.send(
        Method::GET,
        path,
        &[("authorization", authorization)],
        Body::empty(),
    )
    .await
}

#[tokio::test]
async fn everything_but_the_probes_and_the_page_needs_a_token() {
    let api = Api::with_access(Access::from_list(
        "old-token-0123456789,new-token-0123456789",
    ))
    .await;
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    for path in [
        "/v1/jobs",
        "/v1/repos",
        "/metrics",
        "/openapi.json",
        "/v1/queue",
        "/nowhere",
        "/v1/events",
        "/healthz/",
        "//healthz",
    ] {
        let answer = api.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (401, "unauthorized"),
            "{path}"
        );
        assert!(
            answer.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
        assert_eq!(
            ask(&api, path, "Bearer wrong-token-0123456789")
                .await
                .status,
            401
        );
    }
    for token in ["Bearer old-token-0123456789", "Bearer new-token-0123456789"] {
        assert_eq!(ask(&api, "/v1/jobs", token).await.status, 200);
        assert_eq!(ask(&api, "/nowhere", token).await.status, 404);
    }
    let unread = Body::from("{\"repo\": ");
    let refused = api.send(Method::POST, "/v1/jobs", &[], unread).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn without_tokens_a_rebound_name_is_refused() {
    let api = Api::start().await;
    for (host, status) in [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("evil.example", 403),
    ] {
        let answer = api
            .send(Method::GET, "/v1/jobs", &[("host", host)], Body::empty())
            .await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_sane_request_id_is_echoed_and_any_other_replaced() {
    let api = Api::start().await;
    for (given, echoed) in [("trace/1", true), ("two words", false), ("", false)] {
        for path in ["/healthz", "/nowhere"] {
            let answer = api
                .send(Method::GET, path, &[("x-request-id", given)], Body::empty())
                .await;
            let id = answer.headers["x-request-id"].to_str().unwrap();
            assert_eq!(id == given, echoed, "{given:?} gave {id:?}");
        }
    }
}

#[tokio::test]
async fn the_page_runs_only_its_own_script() {
    let api = Api::start().await;
    let page = api.get("/").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    let nonce = policy
        .split("'nonce-")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert_eq!(html.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(!html.contains("{nonce}") && !html.contains("http://") && !html.contains("https://"));
    assert_ne!(
        api.get("/").await.headers["content-security-policy"],
        policy
    );
}
