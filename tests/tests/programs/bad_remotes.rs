//! Remotes that refuse, stall, drip, cut or lie: each fault has its own code and says what to do,
//! nothing half-made shows, and no secret gets out.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use leasectl_tests::{Fault, PATIENCE, Remote, Stage, assert_error, free_port, wait_until};
use serde_json::Value;

const HEAVY_BYTES: usize = 400_000;
const CANARY: &str = "canary-5f2c8a";

/// What a fetch of a misbehaving remote should end in.
struct Expected {
    fault: Fault,
    code: &'static str,
    retryable: bool,
    /// A word of the advice.
    says: &'static str,
}

fn expected(fault: Fault, code: &'static str, retryable: bool, says: &'static str) -> Expected {
    Expected {
        fault,
        code,
        retryable,
        says,
    }
}

/// Faults that show whether or not anybody is in a hurry.
fn faults() -> Vec<Expected> {
    vec![
        expected(
            Fault::Status(404),
            "remote_not_found",
            false,
            "check the URL",
        ),
        expected(
            Fault::Status(410),
            "remote_not_found",
            false,
            "check the URL",
        ),
        expected(Fault::Status(401), "auth_failed", false, "token"),
        expected(Fault::Status(403), "auth_failed", false, "token"),
        expected(Fault::Status(500), "repo_unavailable", true, "try again"),
        expected(Fault::Status(503), "repo_unavailable", true, "try again"),
        expected(Fault::Refuse, "repo_unavailable", true, "try again"),
        expected(
            Fault::CutAfter(100_000),
            "repo_unavailable",
            true,
            "try again",
        ),
        expected(
            Fault::Redirect("http://127.0.0.1:1/elsewhere.git".to_owned()),
            "remote_not_found",
            false,
            "redirects",
        ),
    ]
}

/// Waits until the first attempt of a job has failed; its error. Later ones may have failed as well by now.
#[track_caller]
fn first_failure(stage: &Stage, job: &str) -> Value {
    wait_until(PATIENCE, "the first attempt to fail", || {
        let job = stage.job(job);
        let error = &job["attempts"][0]["error"];
        error.is_object().then(|| error.clone())
    })
}

#[test]
fn each_fault_of_a_remote_has_its_own_code_and_advice() {
    check(faults(), &[]);
}

#[test]
fn a_remote_that_falls_silent_is_given_up_with_a_word_of_it() {
    let fault = Fault::StallAfter(100_000);
    let silent = expected(fault, "remote_timeout", true, "nothing received");
    check(vec![silent], &[("--git-silence", "1s")]);
}

#[test]
fn a_remote_that_drips_is_given_up_with_a_word_of_it() {
    let fault = Fault::DripAfter(100_000);
    let slow = expected(fault, "remote_timeout", true, "not done within");
    check(vec![slow], &[("--git-deadline", "4s")]);
}

/// Fetches from remotes with those faults, by a worker with those flags, and again once they are well.
fn check(faults: Vec<Expected>, flags: &[(&str, &str)]) {
    let stage = Stage::new();
    let worker = stage.worker().flag("--concurrency", "fetch=16");
    let worker = flags
        .iter()
        .fold(worker, |worker, (name, value)| worker.flag(name, value));
    let worker = worker.start();
    let mut running = Vec::new();
    for (number, expected) in faults.into_iter().enumerate() {
        // One remote for each, so that all faults happen at the same time.
        let remote = Remote::start();
        let name = format!("acme/r{number}");
        let _origin = remote.heavy_repository(&name, HEAVY_BYTES);
        remote.set_fault(expected.fault.clone());
        let repo = stage.register(&remote.url(&name));
        let job = stage.enqueue_fetch(&repo);
        running.push((expected, remote, repo, job));
    }

    for (expected, remote, repo, job) in &running {
        let fault = &expected.fault;
        let error = &first_failure(&stage, job);
        assert_error(error, expected.code);
        assert_eq!(error["retryable"], expected.retryable, "{fault:?}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(expected.says), "{fault:?}: {message}");
        assert!(
            !message.contains(stage.folder().to_str().unwrap()),
            "{fault:?}: {message}"
        );
        assert!(
            !stage.clone_dir(repo).exists(),
            "{fault:?}: something half-made shows"
        );
        let branches = "select count(*) from leasectl.branch where repo_id::text = $1";
        assert_eq!(stage.sql().one::<i64>(branches, &[repo]), 0, "{fault:?}");
        remote.set_fault(Fault::None);
    }
    for (expected, _remote, repo, job) in &running {
        // What may pass by itself is tried again; the rest once somebody has changed something.
        let mut ended = stage.wait_for_end(job);
        let tried = ended["attempts"].as_array().unwrap().len();
        assert_eq!(
            tried > 1,
            expected.retryable,
            "{:?}: {ended:#}",
            expected.fault
        );
        if ended["state"] == "error" {
            // Or all its attempts were over before the remote was well again.
            stage.run(&["job", "retry", job]).ok();
            ended = stage.wait_for_end(job);
        }
        assert_eq!(
            ended["state"], "completed",
            "{:?}: {ended:#}",
            expected.fault
        );
        assert!(stage.clone_dir(repo).exists());
    }
    stage.whole_history().check_all_ended();
    drop(worker);
}

#[test]
fn a_remote_that_nobody_serves_is_unavailable_and_one_that_is_too_large_is_refused() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/large", HEAVY_BYTES);
    let _worker = stage.worker().flag("--git-max-size", "100KiB").start();

    let nobody = stage.enqueue_fetch(&format!("http://127.0.0.1:{}/acme/app.git", free_port()));
    assert_error(&first_failure(&stage, &nobody), "repo_unavailable");

    let large = stage.enqueue_fetch(&remote.url("acme/large"));
    let failed = stage.wait_for_end(&large);
    assert_eq!(failed["state"], "error", "{failed:#}");
    assert_error(&failed["last_error"], "remote_too_large");
    assert_eq!(failed["last_error"]["retryable"], false);
    assert_says(&failed, "--git-max-size");

    let missing = stage.enqueue_fetch(&remote.url("acme/missing"));
    let failed = stage.wait_for_end(&missing);
    assert_error(&failed["last_error"], "remote_not_found");
}

/// What the error of a job advises.
#[track_caller]
fn assert_says(job: &Value, word: &str) {
    let message = job["last_error"]["message"].as_str().unwrap();
    assert!(message.contains(word), "{message}");
}

#[test]
fn an_object_that_is_too_large_is_refused_and_the_flag_that_lets_it_in_is_named() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    // Nothing of it travels: only its size is too large.
    origin.commit("main", "zeros.bin", &vec![0; 3 << 20]);
    let repo = stage.register(&remote.url("acme/app"));
    let strict = stage.worker().flag("--git-max-object", "2MiB").start();
    let failed = stage.wait_for_end(&stage.enqueue_fetch(&repo));
    assert_eq!(failed["state"], "error", "{failed:#}");
    assert_error(&failed["last_error"], "remote_too_large");
    assert_eq!(failed["last_error"]["retryable"], false);
    assert_eq!(failed["attempt"], 1, "it is not tried again");
    assert_says(&failed, "2097152 bytes in one object");
    assert_says(&failed, "--git-max-object");
    let path = stage.command(["repo", "path", &repo]);
    let path = path.args(["--git-max-object", "2MiB"]).run();
    let refused = path.expect_code(1);
    assert!(refused.stderr.contains("--git-max-object"), "{refused:?}");
    assert!(!stage.clone_dir(&repo).exists());
    drop(strict);

    let _worker = stage.worker().flag("--git-max-object", "4MiB").start();
    stage.fetch(&repo);
}

#[test]
fn a_good_clone_stays_good_while_its_remote_misbehaves() {
    let stage = Stage::new();
    let remote = Remote::start();
    let origin = remote.repository("acme/app");
    let before = origin.find("main").unwrap();
    let repo = stage.register(&remote.url("acme/app"));
    let _worker = stage.worker().flag("--git-silence", "1s").start();
    stage.fetch(&repo);
    origin.commit("main", "more.bin", &leasectl_tests::noise(HEAVY_BYTES, 3));
    for fault in [
        Fault::CutAfter(100_000),
        Fault::StallAfter(100_000),
        Fault::Status(404),
    ] {
        remote.set_fault(fault.clone());
        let job = stage.enqueue_fetch(&repo);
        first_failure(&stage, &job);
        drop(stage.run(&["job", "cancel", &job]));
        stage.wait_for_end(&job);
        let clone = leasectl_tests::Origin::at(&stage.clone_dir(&repo));
        assert_eq!(clone.find("main").as_ref(), Some(&before), "{fault:?}");
        clone.git(&["fsck", "--full"]);
        stage.run(&["repo", "path", &repo]).ok();
    }
    remote.set_fault(Fault::None);
    let job = stage.fetch(&repo);
    assert_eq!(
        job["result"]["recloned"],
        Value::Null,
        "it was never damaged: {job:#}"
    );
}

#[test]
fn a_job_whose_remote_stays_away_ends_after_its_attempts() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    remote.set_fault(Fault::Status(503));
    let _worker = stage.worker().start();
    let job = stage.enqueue_fetch(&remote.url("acme/app"));
    wait_until(PATIENCE, "the last attempt to fail", || {
        // Age the row instead of waiting for a backoff that doubles.
        stage
            .sql()
            .run("update leasectl.job set not_before = now() where state = 'scheduled'");
        (stage.state(&job) == "error").then_some(())
    });
    let ended = stage.job(&job);
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&"error".into(), &5.into()),
        "{ended:#}"
    );
    assert_error(&ended["last_error"], "attempts_exhausted");
    let message = ended["last_error"]["message"].as_str().unwrap();
    assert!(
        message.contains("cannot be reached"),
        "it names the last cause: {message}"
    );
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 5);
    stage.whole_history().check_all_ended();
}

/// Where a secret must never be found.
#[track_caller]
fn assert_no_canary(stage: &Stage, where_else: &[String]) {
    assert!(!stage.sql().dump().contains(CANARY), "in a row");
    for text in where_else {
        assert!(!text.contains(CANARY), "{text}");
    }
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        assert!(!arguments.contains(CANARY), "in the arguments {arguments}");
    }
}

#[test]
fn credentials_are_asked_for_at_use_and_get_nowhere_else() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", HEAVY_BYTES);
    let url = remote.url("acme/app");
    let tokens = stage.folder().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let secret = format!("u:{CANARY}");
    fs::write(tokens.join("127.0.0.1"), &secret).unwrap();
    let helper = stage.folder().join("helper");
    fs::write(
        &helper,
        format!("#!/bin/sh\necho username=u\necho password={CANARY}\n"),
    )
    .unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    remote.set_fault(Fault::RequireBasic(secret.clone()));
    let job = {
        let _worker = stage.worker().start();
        let job = stage.enqueue_fetch(&url);
        let ended = stage.wait_for_end(&job);
        assert_error(&ended["last_error"], "auth_failed");
        job
    };
    for (name, value) in [
        ("LEASECTL_GIT_TOKEN_127_0_0_1", secret.as_str()),
        ("LEASECTL_GIT_TOKEN_DIR", tokens.to_str().unwrap()),
        ("LEASECTL_GIT_CREDENTIAL_HELPER", helper.to_str().unwrap()),
    ] {
        let worker = stage
            .worker()
            .env(name, value)
            .env("RUST_LOG", "trace")
            .start();
        drop(fs::remove_dir_all(stage.repos_dir()));
        stage.run(&["job", "retry", &job]).ok();
        let ended = stage.wait_for_end(&job);
        assert_eq!(ended["state"], "completed", "{name}: {ended:#}");
        // The index that follows reads the clone, which goes next.
        stage.wait_until_idle();
        let path = stage
            .command(["repo", "path", &url])
            .env(name, value)
            .run()
            .ok();
        let shown = [
            worker.log(),
            ended.to_string(),
            path.stderr,
            stage.run(&["job", "show", &job]).ok().stdout,
            stage.json(&["status"]).to_string(),
        ];
        assert_no_canary(&stage, &shown);
    }

    // While a Git process runs, its arguments are looked at too.
    fs::remove_dir_all(stage.repos_dir()).unwrap();
    remote.set_bytes_per_second(Some(20_000));
    let worker = stage
        .worker()
        .env("LEASECTL_GIT_TOKEN_127_0_0_1", &secret)
        .start();
    stage.run(&["job", "retry", &job]).ok();
    stage.wait_for_progress(&job);
    assert_no_canary(&stage, &[worker.log()]);
    remote.set_bytes_per_second(None);
    assert_eq!(stage.wait_for_end(&job)["state"], "completed");
}

#[test]
fn credentials_that_are_refused_are_named_without_being_shown_and_renewed_without_a_restart() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    remote.set_fault(Fault::RequireBasic("u:the-new-one".to_owned()));
    let tokens = stage.folder().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let token = tokens.join("127.0.0.1");
    fs::write(&token, format!("u:{CANARY}")).unwrap();
    let worker = stage
        .worker()
        .env("LEASECTL_GIT_TOKEN_DIR", tokens.to_str().unwrap())
        .start();
    let job = stage.enqueue_fetch(&remote.url("acme/app"));

    let ended = stage.wait_for_end(&job);
    assert_error(&ended["last_error"], "auth_failed");
    let message = ended["last_error"]["message"].as_str().unwrap();
    assert!(message.contains("renew"), "{message}");
    assert_no_canary(&stage, &[worker.log(), ended.to_string()]);

    fs::write(&token, "u:the-new-one").unwrap();
    stage.run(&["job", "retry", &job]).ok();
    assert_eq!(stage.wait_for_end(&job)["state"], "completed");
}

#[test]
fn a_password_in_the_databases_url_is_never_shown() {
    let stage = Stage::new();
    let url = stage
        .database_url()
        .replacen("://leasectl", &format!("://leasectl:{CANARY}"), 1);
    assert!(url.contains(CANARY), "{url}");
    let worker = stage
        .worker()
        .env("DATABASE_URL", &url)
        .env("RUST_LOG", "trace")
        .start();
    let with = |words: &[&str]| stage.command(words).env("DATABASE_URL", &url).run();
    let doctor = with(&["doctor", "--json"]);
    let status = with(&["status"]).ok();
    let broken = stage
        .command(["status"])
        .env("DATABASE_URL", url.replace("/scratch", "/missing"))
        .run();
    assert_ne!(broken.code, Some(0));
    let shown = [
        worker.log(),
        doctor.stdout,
        doctor.stderr,
        status.stdout,
        status.stderr,
        broken.stdout,
        broken.stderr,
    ];
    assert_no_canary(&stage, &shown);
}
