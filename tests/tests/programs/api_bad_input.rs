//! Garbage and hostile input to the HTTP service is refused as a problem, and changes nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use leasectl_tests::{
    Api, PATIENCE, Stage, hostile_names, hostile_refspecs, hostile_urls, wait_until,
};
use serde_json::{Value, json};

const JSON: &str = "application/json";

fn rows(stage: &Stage) -> (i64, i64) {
    let sql = stage.sql();
    (
        sql.one("select count(*) from leasectl.repository", &[]),
        sql.one("select count(*) from leasectl.job_status", &[]),
    )
}

/// Expects a refusal that is the caller's fault, in the form of a problem.
#[track_caller]
fn assert_refused(api: &Api, path: &str, body: &Value) {
    let reply = api.post(path, body);
    assert!(
        (400..=422).contains(&reply.status),
        "{path} {}: {} {}",
        shortened(body),
        reply.status,
        reply.text
    );
    reply.expect_problem(reply.status);
}

fn shortened(body: &Value) -> String {
    body.to_string().chars().take(120).collect()
}

#[test]
fn hostile_remotes_names_and_refspecs_are_refused() {
    let stage = Stage::new();
    let repo = stage.register("https://example.com/acme/app");
    let api = stage.api().start();
    let urls = hostile_urls();
    let names = hostile_names();
    let specs = hostile_refspecs();
    assert!(
        urls.len() > 300 && names.len() > 30 && specs.len() > 20,
        "the corpus is there"
    );
    for url in &urls {
        assert_refused(&api, "/v1/repos", &json!({ "git_url": url }));
    }
    for name in &names {
        let new = json!({"git_url": "https://example.com/o/r", "name": name});
        assert_refused(&api, "/v1/repos", &new);
    }
    for spec in &specs {
        let job = json!({"repo": repo, "kind": "fetch", "args": {"refspecs": [spec]}});
        assert_refused(&api, "/v1/jobs", &job);
        assert_refused(&api, "/v1/jobs/batch", &json!({ "jobs": [job] }));
    }
    assert_eq!(rows(&stage), (1, 0));
    let long = format!("https://example.com/{}", "x".repeat(3000));
    assert_refused(&api, "/v1/repos", &json!({ "git_url": long }));
    let secret = "https://user:canary-secret@example.com/o/r";
    let reply = api.post("/v1/repos", &json!({ "git_url": secret }));
    assert!(!reply.text.contains("canary-secret"), "{}", reply.text);
    assert!(!api.log().contains("canary-secret"), "{}", api.log());
}

#[test]
fn without_leave_local_remotes_are_refused() {
    let stage = Stage::new();
    let api = stage.api().env("LEASECTL_ALLOW_LOCAL", "0").start();
    for url in [
        "/srv/git/app.git",
        "file:///srv/git/app.git",
        "http://example.com/o/r",
        "https://localhost/o/r",
        "https://127.0.0.1/o/r",
        "https://10.0.0.1/o/r",
        "git@192.168.1.1:o/r",
    ] {
        assert_refused(&api, "/v1/repos", &json!({ "git_url": url }));
    }
    assert_eq!(rows(&stage), (0, 0));
}

/// Posts each job and expects the status beside it.
#[track_caller]
fn assert_each_refused(api: &Api, jobs: impl IntoIterator<Item = (u16, Value)>) {
    for (status, job) in jobs {
        let reply = api.post("/v1/jobs", &job);
        assert_eq!(reply.status, status, "{}: {}", shortened(&job), reply.text);
        reply.expect_problem(status);
    }
    assert!(!api.log().contains("panicked"), "{}", api.log());
}

#[test]
fn jobs_of_no_known_kind_or_repository_are_refused() {
    let stage = Stage::new();
    let repo = stage.register("https://example.com/acme/app");
    let api = stage.api().start();
    let unknown = "01234567-89ab-7def-8123-456789abcdef";
    assert_each_refused(
        &api,
        [
            (400, json!({})),
            (400, json!([])),
            (400, json!(null)),
            (400, json!("fetch")),
            (400, json!({"repo": repo})),
            (400, json!({"kind": "fetch"})),
            (400, json!({"repo": 7, "kind": "fetch"})),
            (400, json!({"repo": repo, "kind": null})),
            (400, json!({"repo": repo, "kind": ""})),
            (400, json!({"repo": repo, "kind": "backfill"})),
            (
                400,
                json!({"repo": repo, "kind": "index", "args": {"ref": "--upload-pack=x"}}),
            ),
            (
                400,
                json!({"repo": repo, "kind": "fetch'; drop table leasectl.job; --"}),
            ),
            (400, json!({"repo": repo, "kind": "fetch\u{0}"})),
            (400, json!({"repo": "", "kind": "fetch"})),
            (400, json!({"repo": "a/b/c/d", "kind": "fetch"})),
            (400, json!({"repo": "acme/app\u{0}", "kind": "fetch"})),
            (400, json!({"repo": "../../etc/passwd", "kind": "fetch"})),
            (404, json!({"repo": "acme/nothing", "kind": "fetch"})),
            (404, json!({"repo": unknown, "kind": "fetch"})),
            (
                404,
                json!({"repo": "https://example.com/never/registered", "kind": "fetch"}),
            ),
        ],
    );
    assert_eq!(rows(&stage), (1, 0));
}

#[test]
fn jobs_whose_settings_make_no_sense_are_refused() {
    let stage = Stage::new();
    let repo = stage.register("https://example.com/acme/app");
    let api = stage.api().start();
    let large = "x".repeat(70_000);
    let settings = [
        ("priority", json!(101)),
        ("priority", json!(1.5)),
        ("priority", json!("high")),
        ("not_before", json!("soon")),
        ("not_before", json!(12)),
        ("not_before", json!("9999-99-99T00:00:00Z")),
        ("colour", json!("red")),
        ("args", json!([])),
        ("args", json!("{}")),
        ("args", json!({"force": true})),
        ("args", json!({"refspecs": []})),
        ("args", json!({"refspecs": null})),
        ("args", json!({"refspecs": [{}]})),
        ("args", json!({"refspecs": [large]})),
    ];
    let jobs = settings.map(|(name, value)| {
        let mut job = json!({"repo": repo, "kind": "fetch"});
        job[name] = value;
        (400, job)
    });
    assert_each_refused(&api, jobs);
    assert_eq!(rows(&stage), (1, 0));
}

#[test]
fn bodies_that_are_no_json_or_too_large_are_refused() {
    let stage = Stage::new();
    let repo = stage.register("https://example.com/acme/app");
    let api = stage.api().start();
    let good = json!({"repo": repo, "kind": "fetch"}).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (status, media, body) in [
        (400, JSON, b"".to_vec()),
        (400, JSON, b"{".to_vec()),
        (400, JSON, b"\xff\xfe\x00".to_vec()),
        (400, JSON, b"{\"repo\": \"\xff\"}".to_vec()),
        (
            400,
            JSON,
            br#"{"repo": "a/b", "repo": "c/d", "kind": "fetch"}"#.to_vec(),
        ),
        (
            400,
            JSON,
            br#"{"repo": "\ud800", "kind": "fetch"}"#.to_vec(),
        ),
        (
            400,
            JSON,
            br#"{"repo": 1e999999, "kind": "fetch"}"#.to_vec(),
        ),
        (400, JSON, deep.into_bytes()),
        (400, JSON, format!("{good} trailing").into_bytes()),
        (415, "text/plain", good.clone().into_bytes()),
        (
            415,
            "application/x-www-form-urlencoded",
            b"repo=a/b&kind=fetch".to_vec(),
        ),
        (413, JSON, vec![b' '; 1024 * 1024 + 1]),
        (413, JSON, vec![b'['; 3 * 1024 * 1024]),
    ] {
        for path in ["/v1/jobs", "/v1/jobs/batch", "/v1/repos"] {
            let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
            let reply = api.post_bytes(path, media, body.clone());
            assert_eq!(reply.status, status, "{path} {shown}: {}", reply.text);
            reply.expect_problem(status);
        }
    }
    assert_eq!(rows(&stage), (1, 0));
}

#[test]
fn paths_and_queries_that_make_no_sense_are_refused() {
    let stage = Stage::new();
    let api = stage.api().start();
    for (status, path) in [
        (400, "/v1/jobs/42"),
        (400, "/v1/jobs/%00"),
        (400, "/v1/jobs/..%2f..%2fetc%2fpasswd"),
        (404, "/v1/jobs/01234567-89ab-7def-8123-456789abcdef"),
        (404, "/v1/repos/01234567-89ab-7def-8123-456789abcdef"),
        (404, "/v1/repos/acme/nothing"),
        (400, "/v1/repos/acme/%ff"),
        (400, "/v1/repos/-acme/app"),
        (400, "/v1/repos/no-uuid"),
        (400, "/v1/jobs?limit=0"),
        (400, "/v1/jobs?limit=-1"),
        (400, "/v1/jobs?limit=201"),
        (400, "/v1/jobs?limit=99999999999999999999"),
        (400, "/v1/jobs?state=asleep"),
        (400, "/v1/jobs?cursor=nonsense"),
        (400, "/v1/jobs?cursor=%00"),
        (400, "/v1/jobs?colour=red"),
        (400, "/v1/jobs?kind=%00"),
        (404, "/v1/jobs?repo=acme/nothing"),
        (400, "/v1/repos?limit=x"),
        (400, "/v1/changes/repos/a/-b/status"),
    ] {
        let reply = api.get(path);
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
        reply.expect_problem(status);
    }
}

/// Sends bytes and reads what comes back until the service closes the connection.
fn raw(api: &Api, bytes: &[u8]) -> String {
    let address = api.base().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // A service that has refused may have closed already.
    let sent = stream
        .write_all(bytes)
        .and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(
        sent.is_err() || read.is_ok() || !answer.is_empty(),
        "neither answer nor end"
    );
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn bytes_that_are_no_http_do_not_hurt() {
    let stage = Stage::new();
    let api = stage.api().start();
    let noise = leasectl_tests::noise(4096, 42);
    let header = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n",
        "x".repeat(1_000_000)
    );
    for bytes in [
        &b""[..],
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 10\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
        &noise,
        header.as_bytes(),
    ] {
        let answer = raw(&api, bytes);
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4");
        assert!(refused, "{answer}");
    }
    wait_until(PATIENCE, "an answer to a good request", || {
        api.try_get("/healthz").filter(|reply| reply.status == 200)
    });
    assert!(!api.log().contains("panicked"), "{}", api.log());
    assert_eq!(rows(&stage), (0, 0));
}
