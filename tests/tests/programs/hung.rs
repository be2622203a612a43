//! Work that never gets anywhere: it ends, and an operator can see why.

use std::time::Duration;

use leasectl_tests::{Fault, Remote, Stage, assert_error, wait_until};

/// Five attempts of two seconds each, on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);

#[test]
fn a_job_that_hangs_in_every_attempt_ends_in_error_and_shows_each_of_them() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 300_000);
    let repo = stage.register(&remote.url("acme/app"));
    remote.set_fault(Fault::StallAfter(100_000));
    let mut worker = stage.worker().flag("--lease-ttl", "2s").start();
    let job = stage.enqueue_fetch(&repo);
    // Nobody waits for the backoff between two attempts.
    let no_backoff = "update leasectl.job set not_before = now() \
                      where id::text = $1 and state = 'scheduled'";
    let ended = wait_until(LIMIT, "the job's end", || {
        stage.sql().rows(no_backoff, &[&job]).clear();
        let seen = stage.job(&job);
        (seen["state"] == "error").then_some(seen)
    });

    assert_error(&ended["last_error"], "attempts_exhausted");
    assert_eq!(
        ended["last_error"]["cause"]["code"], "no_progress",
        "{ended:#}"
    );
    let attempts = ended["attempts"].as_array().into_iter().flatten();
    let shown = stage.run(&["job", "show", &job]).ok().stdout;
    let mut last_token = 0;
    let mut count = 0;
    for attempt in attempts {
        count += 1;
        assert_eq!(attempt["attempt"], count, "{ended:#}");
        assert_eq!(attempt["owner"], worker.owner(), "{ended:#}");
        assert_eq!(attempt["outcome"], "failed", "{ended:#}");
        let token = attempt["token"].as_i64().unwrap_or(0);
        assert!(token > last_token, "{ended:#}");
        last_token = token;
        // The same in words.
        let line = shown
            .lines()
            .find(|line| line.contains(&format!(" {token} ")) && line.contains(worker.owner()));
        let line = line.unwrap_or_else(|| panic!("token {token} is missing in\n{shown}"));
        assert!(line.contains("failed"), "{line}");
    }
    assert_eq!(count, 5, "{ended:#}");
    for part in ["attempts_exhausted", "no_progress", "error"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    assert!(!worker.has_ended());
    stage.whole_history().check_all_ended();
}
