//! The database goes away and comes back.

use std::time::{Duration, Instant};

use leasectl_api::Access;
use leasectl_embedded::Mode;
use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};
use serde_json::json;

use crate::fixture::Api;

#[tokio::test]
async fn without_the_database_requests_are_told_to_come_back_and_then_served() {
    let start = || ScratchServer::start(ScratchSettings::new()).unwrap();
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let api = Api::over(&server.create_database().unwrap(), Access::from_list("")).await;
    api.repository("acme/anvil").await;
    let id = api.job("acme/anvil").await;

    server.stop(Mode::Immediate).unwrap();
    let body = json!({"repo": "acme/anvil", "kind": "fetch"});
    for _ in 0..20 {
        for path in ["/v1/jobs", "/v1/queue", "/v1/repos/acme/anvil", "/readyz"] {
            let answer = api.get(path).await;
            assert_eq!(answer.status, 503, "{path} {answer:?}");
            assert_eq!(answer.code(), "database_unavailable");
            assert_eq!(answer.headers["retry-after"], "1");
        }
        assert_eq!(api.post("/v1/jobs", &body).await.status, 503);
    }
    assert_eq!(api.get("/healthz").await.status, 200);

    server.start_again().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while api.get("/readyz").await.status != 200 {
        assert!(Instant::now() < deadline, "still not ready");
        tokio::task::yield_now().await;
    }
    let again = api.post("/v1/jobs", &body).await;
    assert_eq!(again.status, 202);
    assert_eq!(
        again.json()["job_id"],
        id.as_str(),
        "the accepted job survived"
    );
}
