//! The service's description of itself.

use serde_json::Value;

use crate::fixture::Api;

const ROUTES: [(&str, &[&str]); 18] = [
    ("/", &["get"]),
    ("/healthz", &["get"]),
    ("/metrics", &["get"]),
    ("/readyz", &["get"]),
    ("/v1/changes/repos/{owner}/{name}/status", &["get"]),
    ("/v1/events", &["get"]),
    ("/v1/jobs", &["get", "post"]),
    ("/v1/jobs/batch", &["post"]),
    ("/v1/jobs/{id}", &["get"]),
    ("/v1/jobs/{id}/cancel", &["post"]),
    ("/v1/jobs/{id}/retry", &["post"]),
    ("/v1/leases", &["get"]),
    ("/v1/queue", &["get"]),
    ("/v1/repos", &["get", "post"]),
    ("/v1/repos/{id}", &["get"]),
    ("/v1/repos/{id}/branches", &["get"]),
    ("/v1/repos/{owner}/{name}", &["get"]),
    ("/v1/webhooks/{forge}", &["post"]),
];

#[tokio::test]
async fn the_document_lists_every_route_and_its_problems() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in ROUTES {
        for method in methods {
            let operation = &paths[path][method];
            assert!(
                operation["summary"].is_string(),
                "{method} {path} is not described"
            );
            if path.starts_with("/v1") {
                let problem = "/responses/default/content/application~1problem+json/schema/$ref";
                assert_eq!(
                    operation.pointer(problem).unwrap(),
                    "#/components/schemas/Problem"
                );
            }
        }
    }
    // /v1/workers is one more; nothing else is there.
    assert_eq!(paths.len(), ROUTES.len() + 1, "{:?}", paths.keys());
    assert!(paths.contains_key("/v1/workers"));
}

#[tokio::test]
async fn operations_have_names_of_their_own() {
    let document = serde_json::to_value(leasectl_api::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let names: Vec<_> = operations
        .map(|o| o["operationId"].as_str().unwrap())
        .collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let document = serde_json::to_value(leasectl_api::document()).unwrap();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                    references += 1;
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(
                        document.pointer(pointer).is_some(),
                        "{target} leads nowhere"
                    );
                }
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(references > 20, "only {references} references");
}

#[tokio::test]
async fn probes_and_measurements_answer() {
    let api = Api::start().await;
    assert_eq!(api.get("/healthz").await.json()["status"], "ok");
    assert_eq!(api.get("/readyz").await.json()["status"], "ok");
    api.repository("acme/anvil").await;
    api.job("acme/anvil").await;
    let text = String::from_utf8(api.get("/metrics").await.body.to_vec()).unwrap();
    assert!(
        text.contains("leasectl_queue_depth{kind=\"fetch\",state=\"queued\"} 1\n"),
        "{text}"
    );
    assert!(
        text.contains("leasectl_jobs_enqueued_total{kind=\"fetch\"}"),
        "{text}"
    );
    assert!(text.contains("leasectl_http_request_seconds"), "{text}");
    api.stopping.cancel();
    assert_eq!(api.get("/readyz").await.status, 503);
    assert_eq!(api.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_schema_that_is_not_this_programs_is_not_ready() {
    let api = Api::start().await;
    let client = api.database.client().await.unwrap();
    let newer = "insert into leasectl.schema_history (version, name, applied_on, checksum) \
                 values (9999, 'later', '', '1')";
    client.execute(newer, &[]).await.unwrap();
    let answer = api.get("/readyz").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "migrations_pending")
    );
}
