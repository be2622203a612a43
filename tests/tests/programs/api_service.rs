//! The HTTP service as a process: who may ask, where it listens, and how it starts, waits and ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::thread;

use leasectl_tests::{Api, Mode, PATIENCE, Remote, Stage, wait_until};
use reqwest::Method;
use serde_json::json;

const CANARY: &str = "canary-8d1f0c-long-enough-token";

#[test]
fn only_a_valid_token_opens_the_service() {
    let stage = Stage::new();
    let api = stage
        .api()
        .token(&format!("{CANARY},second-token-of-a-rotation"))
        .start();
    let ask = |token: &str| {
        let path = format!("{}/v1/queue", api.base());
        api.get_with(&path, &[("authorization", token)])
    };

    api.get("/v1/queue").expect(200);
    ask("Bearer second-token-of-a-rotation").expect(200);
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        &format!("Basic {CANARY}"),
        &format!("Bearer {CANARY}x"),
        &format!("Bearer {}", &CANARY[1..]),
        &format!("Bearer {CANARY},second-token-of-a-rotation"),
    ] {
        let reply = ask(wrong);
        let problem = reply.expect_problem(401);
        assert_eq!(problem["code"], "unauthorized", "{wrong:?}");
        assert!(
            reply.header("www-authenticate").starts_with("Bearer"),
            "{wrong:?}"
        );
        assert!(!reply.text.contains(CANARY));
    }
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/", 200),
        ("/v1/repos", 401),
        ("/v1/jobs", 401),
        ("/v1/leases", 401),
        ("/v1/workers", 401),
        ("/v1/changes/repos/a/b/status", 401),
        ("/metrics", 401),
        ("/no/such/route", 401),
    ] {
        let reply = api.get_with(&format!("{}{path}", api.base()), &[]);
        assert!(
            reply.status == status || reply.status == 404,
            "{path}: {}",
            reply.status
        );
        assert!(
            status == 401 || reply.status == status,
            "{path}: {}",
            reply.status
        );
    }
    assert!(!api.log().contains(CANARY), "{}", api.log());
    assert!(!stage.sql().dump().contains(CANARY));
}

#[test]
fn a_request_keeps_its_id_or_gets_one() {
    let stage = Stage::new();
    let api = stage.api().start();
    let with = |id: &str| {
        let path = format!("{}/v1/jobs/none", api.base());
        api.get_with(&path, &[("x-request-id", id)])
    };
    let reply = with("my-request-17");
    assert_eq!(reply.header("x-request-id"), "my-request-17");
    reply.expect_problem(400);
    for unfit in ["with space", &"x".repeat(500)] {
        let reply = with(unfit);
        reply.expect_problem(400);
        assert_ne!(reply.header("x-request-id"), unfit);
    }
    assert_ne!(
        api.get("/healthz").header("x-request-id"),
        api.get("/healthz").header("x-request-id")
    );
}

#[test]
fn it_listens_where_the_platform_says_and_refuses_to_be_open_to_all() {
    let stage = Stage::new();
    let builder = stage.api().token(CANARY);
    let port = builder.port().to_string();
    let api = builder.env("PORT", &port).start_as_told();
    api.get("/healthz").expect(200);
    drop(api);

    for (name, value) in [("PORT", "8080"), ("LEASECTL_LISTEN", "0.0.0.0:8080")] {
        let refused = stage
            .api()
            .env(name, value)
            .into_command()
            .run()
            .expect_code(2);
        assert!(
            refused.stderr.contains("LEASECTL_API_TOKEN"),
            "{}",
            refused.stderr
        );
    }
    for (name, value) in [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("LEASECTL_LISTEN", "here"),
    ] {
        stage
            .api()
            .env(name, value)
            .into_command()
            .run()
            .expect_code(2);
    }
    let refused = stage
        .api()
        .args(&["--listen", "[::]:0"])
        .into_command()
        .run()
        .expect_code(2);
    assert!(refused.stderr.contains("token"), "{}", refused.stderr);
}

#[test]
fn a_forgotten_database_is_an_error_and_not_lost_work() {
    let stage = Stage::without_database();
    let refused = stage.api().into_command().run().expect_code(2);
    assert!(
        refused.stderr.contains("DATABASE_URL"),
        "{}",
        refused.stderr
    );
    assert!(!stage.data_dir().join("postgres").exists());
    let unmigrated = Stage::unmigrated();
    let refused = unmigrated
        .api()
        .args(&["--auto-migrate=false"])
        .into_command()
        .run()
        .expect_code(1);
    assert!(
        refused.stderr.contains("worker migrate"),
        "{}",
        refused.stderr
    );
    let api = unmigrated.api().start();
    api.get("/v1/queue").expect(200);
}

#[test]
fn it_is_not_ready_while_the_database_is_away_and_recovers() {
    let stage = Stage::with_own_server();
    let api = stage.api().start();
    for mode in [Mode::Fast, Mode::Immediate] {
        stage.server().stop(mode).unwrap();
        let problem = wait_until(PATIENCE, "the service to notice", || {
            let reply = api.get("/readyz");
            (reply.status == 503).then_some(reply)
        });
        problem.expect_problem(503);
        api.get("/healthz").expect(200);
        let reply = api.get("/v1/jobs");
        let problem = reply.expect_problem(503);
        assert_eq!(problem["code"], "database_unavailable");
        assert!(
            !problem["detail"].as_str().unwrap().contains("/tmp"),
            "{problem}"
        );
        assert!(!reply.header("retry-after").is_empty());
        api.post("/v1/repos", &json!({"git_url": "https://example.com/a/b"}))
            .expect_problem(503);
        stage.server().start_again().unwrap();
        wait_until(PATIENCE, "the service to recover", || {
            (api.get("/readyz").status == 200).then_some(())
        });
        api.get("/v1/jobs").expect(200);
    }
}

/// Accepts jobs until the database is away; the ids of those that were acknowledged.
fn accept_until_away(api: &Api) -> Vec<String> {
    let mut accepted = Vec::new();
    for number in 0.. {
        let spec = format!("+refs/heads/b{number}:refs/heads/b{number}");
        let job = json!({"repo": "acme/app", "kind": "fetch", "args": {"refspecs": [spec]}});
        let reply = api.post("/v1/jobs", &job);
        if reply.status != 202 {
            reply.expect_problem(503);
            break;
        }
        accepted.push(reply.expect(202)["job_id"].as_str().unwrap().to_owned());
    }
    accepted
}

#[test]
fn what_was_answered_with_202_is_there_after_an_immediate_stop_of_the_database() {
    let stage = Stage::with_own_server();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let repo = stage.register(&remote.url("acme/app"));
    let api = stage.api().start();
    let accepted = thread::scope(|scope| {
        let client = scope.spawn(|| accept_until_away(&api));
        wait_until(PATIENCE, "some jobs to be accepted", || {
            let count: i64 = stage.sql().one("select count(*) from leasectl.job", &[]);
            (count >= 20).then_some(())
        });
        stage.server().stop(Mode::Immediate).unwrap();
        client.join().unwrap()
    });
    stage.server().start_again().unwrap();

    assert!(accepted.len() >= 20, "{}", accepted.len());
    for job in &accepted {
        assert!(
            matches!(stage.state(job).as_str(), "queued" | "waiting"),
            "{job} of {repo}"
        );
    }
    stage.history().check();
}

#[test]
fn a_request_that_is_under_way_is_answered_before_the_service_ends() {
    let stage = Stage::new();
    let _repo = stage.register("https://example.com/acme/app");
    let mut api = stage.api().start();
    let held = stage
        .sql()
        .hold("lock table leasectl.job in share row exclusive mode");
    thread::scope(|scope| {
        let job = json!({"repo": "acme/app", "kind": "fetch"});
        let api = &api;
        let client = scope.spawn(move || api.post("/v1/jobs", &job));
        stage.sql().wait_for_waiter();
        api.terminate();
        wait_until(PATIENCE, "the service to stop listening", || {
            api.try_get("/healthz").is_none().then_some(())
        });
        drop(held);
        client.join().unwrap().expect(202);
    });
    assert_eq!(api.wait(), 0, "{}", api.log());
    assert_eq!(
        stage.json(&["job", "list"])["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn methods_and_routes_that_do_not_exist_are_problems_too() {
    let stage = Stage::new();
    let api = stage.api().start();
    api.get("/v1/nothing").expect_problem(404);
    api.get("/v2/jobs").expect_problem(404);
    let reply = api.send(Method::DELETE, "/v1/queue", |request| request);
    reply.expect_problem(405);
    assert!(reply.header("allow").contains("GET"));
    api.send(Method::PUT, "/v1/jobs", |request| request.json(&json!({})))
        .expect_problem(405);
}
