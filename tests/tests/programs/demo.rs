//! The demo: one command, no set-up, and nothing left behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use leasectl_tests::{Origin, PATIENCE, Signal, Stage, noise, processes_naming, wait_until};

/// A stage and the path of a repository on it, with enough in it that a fetch has a middle.
fn repository() -> (Stage, String) {
    let stage = Stage::without_database();
    let origin = Origin::create(&stage.folder().join("app.git"));
    for number in 0..20_u64 {
        origin.commit(
            "main",
            &format!("file-{number}.bin"),
            &noise(20_000, number + 1),
        );
    }
    let path = origin.path().to_str().unwrap().to_owned();
    (stage, path)
}

#[track_caller]
fn assert_nothing_left(stage: &Stage) {
    wait_until(PATIENCE, "all processes of the demo to end", || {
        processes_naming(stage.folder()).is_empty().then_some(())
    });
}

#[test]
fn the_demo_fetches_a_repository_with_two_workers() {
    let (stage, path) = repository();
    let shown = stage.run(&["demo", &path]).ok().stdout;
    for part in ["fetch", "completed", "index", "backfill", "WORKER"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    assert_nothing_left(&stage);

    // What it did can be looked at afterwards.
    let jobs = stage.json(&["job", "list"]);
    assert_eq!(jobs["items"][0]["state"], "completed", "{jobs:#}");
    assert_nothing_left(&stage);
}

#[test]
fn the_demo_kills_the_holder_of_a_lease_and_shows_the_takeover() {
    let (stage, path) = repository();
    let shown = stage.run(&["demo", &path, "--crash"]).ok().stdout;
    for part in ["SIGKILL", "token", "completed", "default settings"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    // Far below stale-after, and far above a death grace on a busy machine.
    let seconds = shown.split_once("taken over after ").and_then(|(_, rest)| {
        let (seconds, _) = rest.split_once("s:")?;
        seconds.parse::<f64>().ok()
    });
    assert!(seconds.is_some_and(|seconds| seconds < 15.0), "{shown}");
    assert_nothing_left(&stage);

    let jobs = stage.json(&["job", "list"]);
    let taken_over = jobs["items"].as_array().unwrap().iter().find(|job| {
        let outcomes = job["attempts"].as_array().unwrap().iter();
        outcomes
            .map(|attempt| attempt["outcome"].as_str().unwrap())
            .eq(["lost", "completed"])
    });
    let attempts = &taken_over.unwrap_or_else(|| panic!("{jobs:#}"))["attempts"];
    assert_ne!(attempts[0]["owner"], attempts[1]["owner"]);
    assert!(attempts[0]["token"].as_i64() < attempts[1]["token"].as_i64());
    assert_nothing_left(&stage);
}

#[test]
fn the_demo_takes_the_repository_around_the_current_directory() {
    let (stage, path) = repository();
    let tree = stage.folder().join("tree");
    let tree = tree.to_str().unwrap();
    Origin::at(stage.folder()).git(&["clone", "--quiet", &path, tree]);
    let shown = stage.command(["demo"]).dir(tree.as_ref()).run().ok().stdout;
    assert!(shown.contains("completed"), "{shown}");
    let nowhere = stage.run(&["demo"]).expect_code(1);
    assert!(nowhere.stderr.contains("repository"), "{}", nowhere.stderr);
    assert_nothing_left(&stage);
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let (stage, path) = repository();
    let log = stage.folder().join("logs/demo.log");
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = stage.command(["demo", &path, "--crash"]).start(&log);
        wait_until(PATIENCE, "the demo's workers", || {
            let running = processes_naming(stage.folder());
            (running.iter().filter(|line| line.contains(" run ")).count() == 2).then_some(())
        });
        demo.signal(signal);
        assert_eq!(demo.wait(PATIENCE), 130, "{}", demo.log());
        assert_nothing_left(&stage);
    }
}

#[test]
fn a_demo_that_is_killed_takes_its_workers_with_it() {
    let (stage, path) = repository();
    let log = stage.folder().join("logs/demo.log");
    let mut demo = stage.command(["demo", &path, "--crash"]).start(&log);
    wait_until(PATIENCE, "the demo's workers", || {
        let running = processes_naming(stage.folder());
        (running.iter().filter(|line| line.contains(" run ")).count() == 2).then_some(())
    });
    demo.kill();
    assert_nothing_left(&stage);
}
