//! Event streams.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use leasectl_core::ids::Owner;
use leasectl_core::lease::{Beat, LeaseSettings, Progress, heartbeat};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fixture::Api;

/// A stream that is being read.
struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    async fn open(api: &Api, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Request::builder().uri(path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = api.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event's id and job; none when the stream ends.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or("")
                        .trim()
                };
                if field("event:") == "job" {
                    let job = serde_json::from_str(field("data:")).unwrap();
                    return Some((field("id:").to_owned(), job));
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next());
            let chunk = chunk.await.expect("an event within 20 s")?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Reads on until this job is in this state; returns the event's id.
    async fn until(&mut self, id: &str, state: &str) -> String {
        loop {
            let (position, job) = self.next().await.expect("the stream goes on");
            if job["id"] == id && job["state"] == state {
                return position;
            }
        }
    }
}

#[tokio::test]
async fn a_job_is_followed_from_queued_to_completed() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let id = api.job("acme/anvil").await;
    let mut events = Events::open(&api, &format!("/v1/events?job={id}"), None).await;
    assert_eq!(events.next().await.unwrap().1["state"], "queued");

    let owner = Owner::of_this_process();
    let client = api.database.client().await.unwrap();
    let lease = api.claim_as(&owner).await;
    assert_eq!(events.next().await.unwrap().1["state"], "running");
    let progress = Progress {
        done: 3,
        total: Some(7),
        unit: "objects".to_owned(),
    };
    let beat = Beat {
        key: lease.key(),
        progress: Some(progress),
        message: Some("receiving".to_owned()),
        advanced: true,
    };
    heartbeat(&client, &owner, &LeaseSettings::default(), &[beat])
        .await
        .unwrap();
    let (_, job) = events.next().await.unwrap();
    assert_eq!(
        (&job["progress"]["done"], &job["message"]),
        (&json!(3), &json!("receiving"))
    );
    api.settle(lease.complete(json!({"head": null}))).await;
    let (_, job) = events.next().await.unwrap();
    assert_eq!(
        (&job["state"], &job["result"]),
        (&json!("completed"), &json!({"head": null}))
    );
}

#[tokio::test]
async fn a_stream_that_was_cut_off_gets_what_finished_since() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let id = api.job("acme/anvil").await;
    for scope in ["", "?repo=acme/anvil"] {
        let path = format!("/v1/events{scope}");
        let mut events = Events::open(&api, &path, None).await;
        let position = events.until(&id, "queued").await;
        drop(events);
        let lease = api.claim().await;
        api.settle(lease.complete(json!({}))).await;
        let mut events = Events::open(&api, &path, Some(&position)).await;
        events.until(&id, "completed").await;
        let retried = api.post_text(&format!("/v1/jobs/{id}/retry"), "").await;
        assert_eq!(retried.status, 202);
        events.until(&id, "queued").await;
    }
}

#[tokio::test]
async fn a_job_that_is_made_later_is_seen_and_another_repositorys_is_not() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    api.repository("acme/rocket").await;
    let mut events = Events::open(&api, "/v1/events?repo=acme/rocket", None).await;
    api.job("acme/anvil").await;
    let id = api.job("acme/rocket").await;
    assert_eq!(events.next().await.unwrap().1["id"], id.as_str());
}

#[tokio::test]
async fn streams_end_when_the_service_stops_and_are_bounded() {
    let api = Api::start().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Events::open(&api, "/v1/events", None).await);
    }
    let refused = api.get("/v1/events").await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (429, "too_many_streams")
    );
    open.pop();
    open.push(Events::open(&api, "/v1/events", None).await);
    api.stopping.cancel();
    for mut events in open {
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn streams_of_what_does_not_exist_are_refused() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    api.repository("acme/rocket").await;
    let id = api.job("acme/anvil").await;
    for path in [
        "/v1/events?job=01900000-0000-7000-8000-000000000000".to_owned(),
        format!("/v1/events?job={id}&repo=acme/rocket"),
        "/v1/events?repo=no/body".to_owned(),
    ] {
        assert_eq!(api.get(&path).await.status, 404, "{path}");
    }
    let headers = [("last-event-id", "nonsense")];
    let answer = api
        .send(
            axum::http::Method::GET,
            "/v1/events",
            &headers,
            Body::empty(),
        )
        .await;
    assert_eq!(answer.status, 400);
}
