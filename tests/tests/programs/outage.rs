//! The database goes away during work: workers wait, come back and lose nothing.

use leasectl_tests::{Mode, PATIENCE, Remote, Stage, processes_naming, wait_until};

fn slow_repository(stage: &Stage) -> (Remote, String) {
    let remote = Remote::start();
    let _origin = remote.heavy_repository("acme/app", 300_000);
    remote.set_bytes_per_second(Some(20_000));
    let repo = stage.register(&remote.url("acme/app"));
    (remote, repo)
}

/// Whether a Git process works for a worker of the stage.
fn git_runs(stage: &Stage) -> bool {
    let running = processes_naming(&stage.repos_dir());
    running.iter().any(|line| line.contains("git-child"))
}

#[test]
fn a_job_survives_a_restart_of_the_database_without_a_second_attempt() {
    let stage = Stage::with_own_server();
    let (remote, repo) = slow_repository(&stage);
    // Longer than a restart takes on a busy machine.
    let mut worker = stage
        .worker()
        .flag("--heartbeat-interval", "500ms")
        .flag("--stale-after", "20s")
        .start();
    for mode in [Mode::Fast, Mode::Immediate] {
        remote.set_bytes_per_second(Some(20_000));
        std::fs::remove_dir_all(stage.repos_dir()).ok();
        let job = stage.enqueue_fetch(&repo);
        stage.wait_for_progress(&job);

        stage.server().restart(mode).unwrap();
        remote.set_bytes_per_second(None);

        let ended = stage.wait_for_end(&job);
        assert_eq!(ended["state"], "completed", "{mode:?}: {ended:#}");
        assert_eq!(
            ended["attempts"].as_array().unwrap().len(),
            1,
            "{mode:?}: {ended:#}"
        );
        assert!(!worker.has_ended());
        // The index that follows reads the clone, which goes next.
        stage.wait_until_idle();
    }
    stage.whole_history().check_all_ended();
}

#[test]
fn a_worker_outlives_a_long_outage_and_stops_what_it_may_no_longer_do() {
    let stage = Stage::with_own_server();
    let (remote, repo) = slow_repository(&stage);
    let mut worker = stage.worker().start();
    let job = stage.enqueue_fetch(&repo);
    let (_, token) = stage.wait_for_progress(&job);

    assert!(git_runs(&stage), "there is something to be stopped");
    stage.server().stop(Mode::Immediate).unwrap();
    // Its trust window ends long before the database is back: the handler must have stopped.
    wait_until(PATIENCE, "the Git process to be stopped", || {
        (!git_runs(&stage)).then_some(())
    });
    assert!(!worker.has_ended(), "{}", worker.log());
    stage.server().start_again().unwrap();
    remote.set_bytes_per_second(None);

    let ended = stage.wait_for_end(&job);
    assert_eq!(ended["state"], "completed", "{ended:#}");
    let attempts = ended["attempts"].as_array().unwrap();
    assert!(
        attempts.last().unwrap()["token"].as_i64().unwrap() > token,
        "{ended:#}"
    );
    // An outage is not the job's fault: the lease was handed back, not lost.
    assert_eq!(attempts[0]["outcome"], "released", "{ended:#}");
    assert_eq!(ended["attempt"], 1, "{ended:#}");
    assert!(!worker.has_ended());
    stage.whole_history().check_all_ended();
}

#[test]
fn a_worker_whose_connections_are_all_cut_goes_on() {
    let stage = Stage::new();
    let (remote, repo) = slow_repository(&stage);
    let mut worker = stage.worker().flag("--stale-after", "20s").start();
    let job = stage.enqueue_fetch(&repo);
    stage.wait_for_progress(&job);

    for _ in 0..5 {
        let cut: i64 = stage.sql().one(
            "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity \
              where datname = current_database() and pid <> pg_backend_pid()) cut",
            &[],
        );
        assert!(cut > 0, "there was something to cut");
        let beat = "select lease_heartbeat_at::text from leasectl.job_status where id::text = $1";
        let before: Option<String> = stage.sql().one(beat, &[&job]);
        wait_until(PATIENCE, "the next heartbeat", || {
            (stage.sql().one::<Option<String>>(beat, &[&job]) != before).then_some(())
        });
    }
    remote.set_bytes_per_second(None);
    let ended = stage.wait_for_end(&job);
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 1, "{ended:#}");
    assert!(!worker.has_ended());
    stage.whole_history().check_all_ended();
}

#[test]
fn work_that_was_accepted_before_an_immediate_stop_is_still_there_after_it() {
    let stage = Stage::with_own_server();
    let remote = Remote::start();
    let mut jobs = Vec::new();
    for number in 0..5 {
        let name = format!("acme/r{number}");
        let _origin = remote.repository(&name);
        jobs.push(stage.enqueue_fetch(&remote.url(&name)));
    }
    stage.server().stop(Mode::Immediate).unwrap();
    let refused = stage.run(&["job", "list"]).expect_code(4);
    assert!(refused.stderr.starts_with("worker: "), "{}", refused.stderr);
    stage.server().start_again().unwrap();

    let _worker = stage.worker().start();
    for job in &jobs {
        assert_eq!(stage.wait_for_end(job)["state"], "completed");
    }
    stage.whole_history().check_all_ended();
    // An index follows each of them.
    assert_eq!(stage.history().len(), 2 * jobs.len());
}

#[test]
fn a_worker_started_before_its_database_says_so() {
    let stage = Stage::with_own_server();
    stage.server().stop(Mode::Fast).unwrap();
    let mut worker = stage.worker().start_unready();
    // A supervisor restarts what ends with 4. Reading the log alone would be a race: the worker
    // says so just before it ends.
    let code = wait_until(PATIENCE, "the worker to end", || {
        worker.has_ended().then(|| worker.wait())
    });
    assert_eq!(code, 4, "{}", worker.log());
    assert!(worker.log().contains("database"), "{}", worker.log());
    stage.server().start_again().unwrap();
    let _restarted = stage.worker().start();
}
