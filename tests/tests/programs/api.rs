//! The HTTP service as clients see it: work is accepted, done by workers, and reported.

use leasectl_tests::{
    Fault, PATIENCE, Remote, Stage, assert_error, assert_fields, assert_job_view, assert_owner,
    assert_time, wait_until,
};
use serde_json::{Value, json};

#[test]
fn a_repository_is_registered_fetched_and_reported() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let topic = origin.commit("topic", "a.txt", b"a");
    let api = stage.api().start();
    let worker = stage.worker().start();

    let new = json!({"git_url": remote.url("acme/app"), "fetch_every": "6h"});
    let reply = api.post("/v1/repos", &new);
    let repo = reply.expect(201);
    assert_fields(&repo, "id name git_url default_branch");
    assert_eq!(repo["name"], "acme/app");
    let id = repo["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), format!("/v1/repos/{id}"));
    assert_eq!(api.post("/v1/repos", &new).expect(200)["id"], id);
    assert_eq!(api.get(&format!("/v1/repos/{id}")).expect(200)["id"], id);
    assert_eq!(api.get("/v1/repos/acme/app").expect(200)["id"], id);
    let list = api.get("/v1/repos").expect(200);
    assert_eq!(
        (&list["items"][0]["id"], &list["next_cursor"]),
        (&json!(id), &Value::Null)
    );

    let accepted = api
        .post("/v1/jobs", &json!({"repo": "acme/app", "kind": "fetch"}))
        .expect(202);
    assert_fields(&accepted, "job_id state deduplicated status_url");
    let job_id = accepted["job_id"].as_str().unwrap();
    assert_eq!(accepted["status_url"], format!("/v1/jobs/{job_id}"));
    let job = wait_until(PATIENCE, "the job to complete", || {
        let job = api.get(&format!("/v1/jobs/{job_id}")).expect(200);
        (job["state"] == "completed").then_some(job)
    });
    assert_job_view(&job);
    assert_eq!(job, stage.job(job_id), "the command line says the same");
    assert_eq!(job["attempts"][0]["owner"], worker.owner());

    let branches = api.get(&format!("/v1/repos/{id}/branches")).expect(200);
    let shown = &branches["items"][1];
    assert_fields(
        shown,
        "name head parent registered state seen_at ahead behind needs_restack",
    );
    assert_eq!(
        (&shown["name"], &shown["head"]),
        (&json!("topic"), &json!(topic))
    );
    assert_eq!(
        (&shown["state"], &shown["ahead"]),
        (&json!("synced"), &Value::Null)
    );
    assert_time(&shown["seen_at"]);
}

#[test]
fn leases_workers_and_queue_are_the_parts_of_the_status() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 300_000);
    remote.set_bytes_per_second(Some(20_000));
    let worker = stage.worker().start();
    let api = stage.api().start();
    let job = stage.enqueue_fetch(&remote.url("acme/app"));
    stage.wait_for_progress(&job);

    let leases = api.get("/v1/leases").expect(200);
    let lease = &leases["items"][0];
    assert_fields(
        lease,
        "job_id repo_id repo kind lane owner token attempt acquired_at heartbeat_at expires_at \
         state message progress",
    );
    assert_eq!(
        (&lease["job_id"], &lease["owner"]),
        (&json!(job), &json!(worker.owner()))
    );
    let workers = api.get("/v1/workers").expect(200);
    let live = &workers["items"][0];
    assert_fields(
        live,
        "owner hostname pid version state started_at heartbeat_at kinds leases liveness",
    );
    assert_eq!(assert_owner(&live["owner"]), worker.pid());
    let queue = api.get("/v1/queue").expect(200);
    assert_fields(
        &queue["items"][0],
        "kind queued scheduled waiting running error_24h oldest_queued_at",
    );
    let kinds = queue["items"].as_array().unwrap();
    let fetches = kinds.iter().find(|kind| kind["kind"] == "fetch").unwrap();
    assert_eq!(fetches["running"], 1);
    let view = api.get(&format!("/v1/jobs/{job}")).expect(200);
    assert_job_view(&view);
    assert_eq!(view["lease"]["token"], lease["token"]);
}

#[test]
fn the_change_status_tells_what_is_known_and_null_otherwise() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 300_000);
    let api = stage.api().start();
    let repo = stage.register(&remote.url("acme/app"));
    let path = "/v1/changes/repos/acme/app/status";

    let fields = "repository_id full_name dirty dirty_since last_webhook_at \
        last_requested_fetch_at last_fetch_started_at last_fetch_finished_at \
        last_successful_fetch_at last_index_started_at last_index_finished_at \
        last_backfill_started_at last_backfill_finished_at last_open_pr_scan_at backfill_mode \
        backfill_priority fetch_lease_owner_id fetch_lease_heartbeat_at fetch_lease_expires_at \
        index_lease_owner_id index_lease_heartbeat_at index_lease_expires_at \
        backfill_lease_owner_id backfill_lease_heartbeat_at backfill_lease_expires_at \
        stack_lease_owner_id stack_lease_heartbeat_at stack_lease_expires_at fetch_in_progress \
        index_in_progress backfill_in_progress stack_in_progress open_pr_total open_pr_current \
        open_pr_stale open_pr_missing open_pr_cursor_number open_pr_cursor_updated_at last_error";
    let unknown = api.get(path).expect(200);
    assert_fields(&unknown, fields);
    assert_eq!(
        (&unknown["repository_id"], &unknown["full_name"]),
        (&json!(repo), &json!("acme/app"))
    );
    for field in [
        "last_successful_fetch_at",
        "fetch_lease_owner_id",
        "open_pr_total",
        "last_error",
    ] {
        assert_eq!(unknown[field], Value::Null, "{field}");
    }

    remote.set_bytes_per_second(Some(20_000));
    let worker = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_progress(&job);
    let running = api.get(path).expect(200);
    assert_eq!(running["fetch_lease_owner_id"], worker.owner());
    assert_eq!(
        (&running["fetch_in_progress"], &running["dirty"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(running["last_index_started_at"], Value::Null);
    remote.set_bytes_per_second(None);
    stage.wait_for_end(&job);
    // The index that follows.
    stage.wait_until_idle();
    let done = api.get(path).expect(200);
    assert_fields(&done, fields);
    assert_time(&done["last_index_started_at"]);
    assert_time(&done["last_index_finished_at"]);
    assert_eq!(
        (&done["fetch_in_progress"], &done["dirty"]),
        (&json!(false), &json!(false))
    );
    assert_time(&done["last_successful_fetch_at"]);

    remote.set_fault(Fault::Status(404));
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_end(&job);
    let failed = api.get(path).expect(200);
    assert_error(&failed["last_error"], "remote_not_found");
    assert_eq!(
        failed["dirty"], true,
        "what was asked for has not been done"
    );
    api.get("/v1/changes/repos/acme/nothing/status")
        .expect_problem(404);
}

#[test]
fn a_batch_is_accepted_as_a_whole_or_not_at_all() {
    let stage = Stage::new();
    let api = stage.api().start();
    let count = "select count(*) from leasectl.job";
    let urls: Vec<String> = (0..3)
        .map(|n| format!("https://example.com/acme/r{n}"))
        .collect();
    for url in &urls {
        api.post("/v1/repos", &json!({"git_url": url})).expect(201);
    }
    let fetch = |repo: &str| json!({"repo": repo, "kind": "fetch"});

    let bad = json!({"jobs": [fetch("acme/r0"), fetch("acme/nothing"), fetch("acme/r1")]});
    api.post("/v1/jobs/batch", &bad).expect_problem(404);
    let bad = json!({"jobs": [fetch("acme/r0"), {"repo": "acme/r1", "kind": "nap"}]});
    let problem = api.post("/v1/jobs/batch", &bad).expect_problem(400);
    assert!(
        problem["detail"].as_str().unwrap().contains("jobs[1]"),
        "{problem}"
    );
    assert_eq!(stage.sql().one::<i64>(count, &[]), 0);

    let good =
        json!({"jobs": [fetch("acme/r0"), fetch(&urls[1]), fetch("acme/r2"), fetch("acme/r0")]});
    let accepted = api.post("/v1/jobs/batch", &good).expect(202);
    let jobs = accepted["jobs"].as_array().unwrap();
    let deduplicated: Vec<&Value> = jobs.iter().map(|job| &job["deduplicated"]).collect();
    assert_eq!(
        deduplicated,
        [&json!(false), &json!(false), &json!(false), &json!(true)]
    );
    assert_eq!(jobs[0]["job_id"], jobs[3]["job_id"]);
    assert_eq!(stage.sql().one::<i64>(count, &[]), 3);

    for jobs in [vec![], vec![fetch("acme/r0"); 1001]] {
        api.post("/v1/jobs/batch", &json!({ "jobs": jobs }))
            .expect_problem(400);
    }
    let page = api.get("/v1/jobs?limit=2").expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = api
        .get(&format!("/v1/jobs?limit=2&cursor={cursor}"))
        .expect(200);
    assert_eq!(
        (
            page["items"].as_array().unwrap().len(),
            &page["next_cursor"]
        ),
        (1, &Value::Null)
    );
    for (filter, items) in [
        ("repo=acme/r1", 1),
        ("kind=fetch", 3),
        ("kind=index", 0),
        ("state=queued", 3),
        ("state=error", 0),
    ] {
        let page = api.get(&format!("/v1/jobs?{filter}")).expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), items, "{filter}");
    }
}

#[test]
fn jobs_are_cancelled_and_repeated_where_their_state_allows_it() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 300_000);
    remote.set_bytes_per_second(Some(20_000));
    let api = stage.api().start();
    let repo = stage.register(&remote.url("acme/app"));
    let accepted = api
        .post("/v1/jobs", &json!({"repo": repo, "kind": "fetch"}))
        .expect(202);
    let job = accepted["job_id"].as_str().unwrap();
    let (cancel, retry) = (
        format!("/v1/jobs/{job}/cancel"),
        format!("/v1/jobs/{job}/retry"),
    );

    api.post(&retry, &json!({})).expect_problem(409);
    assert_eq!(
        api.post(&cancel, &json!({})).expect(202)["state"],
        "cancelled"
    );
    api.post(&cancel, &json!({})).expect_problem(409);
    api.post(&retry, &json!({})).expect(202);
    let _worker = stage.worker().start();
    stage.wait_for_progress(job);
    api.post(&cancel, &json!({})).expect(202);
    assert_eq!(stage.wait_for_end(job)["state"], "cancelled");
    let nothing = "01234567-89ab-7def-8123-456789abcdef";
    for path in [
        format!("/v1/jobs/{nothing}/cancel"),
        format!("/v1/jobs/{nothing}/retry"),
    ] {
        api.post(&path, &json!({})).expect_problem(404);
    }
    stage.whole_history().check_all_ended();
}

#[test]
fn accepting_work_never_waits_for_git() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    remote.set_fault(Fault::StallAfter(0));
    let api = stage.api().start();

    api.post("/v1/repos", &json!({"git_url": remote.url("acme/app")}))
        .expect(201);
    let job = json!({"repo": "acme/app", "kind": "fetch"});
    api.post("/v1/jobs", &job).expect(202);
    api.get("/v1/changes/repos/acme/app/status").expect(200);
    assert_eq!(remote.seen().requests, 0);
}

#[test]
fn measurements_and_the_description_name_what_the_contract_names() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let api = stage.api().start();
    let port = leasectl_tests::free_port();
    let address = format!("127.0.0.1:{port}");
    let _worker = stage.worker().flag("--metrics-listen", &address).start();
    api.post("/v1/repos", &json!({"git_url": remote.url("acme/app")}))
        .expect(201);
    let job = api
        .post("/v1/jobs", &json!({"repo": "acme/app", "kind": "fetch"}))
        .expect(202);
    stage.wait_for_end(job["job_id"].as_str().unwrap());

    let of_api = api.get("/metrics");
    assert_eq!(of_api.status, 200);
    assert!(
        of_api
            .text
            .contains("leasectl_jobs_enqueued_total{kind=\"fetch\"} 1"),
        "{}",
        of_api.text
    );
    for gauge in [
        "leasectl_queue_depth",
        "leasectl_oldest_queued_seconds",
        "leasectl_leases",
    ] {
        assert!(of_api.text.contains(gauge), "{gauge} in\n{}", of_api.text);
    }
    let of_worker = wait_until(PATIENCE, "the settlement in the worker's metrics", || {
        let text = api.get_from(&format!("http://{address}/metrics"))?.text;
        text.contains("leasectl_jobs_settled_total").then_some(text)
    });
    for line in [
        "leasectl_jobs_settled_total{kind=\"fetch\",outcome=\"completed\"} 1",
        "leasectl_claims_total{kind=\"fetch\"} 1",
        "leasectl_jobs_enqueued_total{kind=\"index\"} 1",
        "leasectl_repos_recloned_total{reason=\"missing\"} 1",
        "leasectl_job_seconds",
        "leasectl_queue_wait_seconds",
        "leasectl_heartbeat_seconds",
        "leasectl_liveness_mode",
    ] {
        assert!(of_worker.contains(line), "{line} in\n{of_worker}");
    }

    let openapi = api.get("/openapi.json").expect(200);
    for path in [
        "/v1/repos",
        "/v1/repos/{id}",
        "/v1/repos/{owner}/{name}",
        "/v1/repos/{id}/branches",
        "/v1/jobs",
        "/v1/jobs/batch",
        "/v1/jobs/{id}",
        "/v1/jobs/{id}/cancel",
        "/v1/jobs/{id}/retry",
        "/v1/leases",
        "/v1/workers",
        "/v1/queue",
        "/v1/changes/repos/{owner}/{name}/status",
        "/healthz",
        "/readyz",
    ] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
}
