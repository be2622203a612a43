//! The command line as scripts see it: exit codes, JSON and tables.

use leasectl_tests::{Fault, Finished, Invocation, Remote, Stage, free_port};
use serde_json::json;

const NO_JOB: &str = "01234567-89ab-7def-8123-456789abcdef";

/// An error says what happened and is one short text, without traces or the names of types.
#[track_caller]
fn assert_readable(finished: &Finished) {
    let text = &finished.stderr;
    assert!(
        text.starts_with("worker: ") || text.starts_with("error: "),
        "{text}"
    );
    for ugly in [
        "panicked",
        "Error {",
        "Err(",
        "SQLSTATE",
        "stack backtrace",
        "\u{1b}[",
    ] {
        assert!(!text.contains(ugly), "{ugly:?} in {text}");
    }
    assert_eq!(finished.stdout, "", "an error goes to standard error");
}

#[test]
fn what_succeeds_ends_with_zero() {
    let stage = Stage::new();
    for words in [
        &["--version"][..],
        &["--help"],
        &["run", "--help"],
        &["status"],
        &["job", "list"],
        &["repo", "list"],
        &["migrate"],
        &["migrate", "--check"],
        &["man"],
    ] {
        stage.run(words).ok();
    }
    // A kind of another program is none of this one's, which may be a slip.
    let none = stage.run(&["job", "list", "--kind", "fecht"]).ok();
    assert!(none.stderr.contains("no kind \"fecht\""), "{}", none.stderr);
}

#[test]
fn words_that_make_no_sense_end_with_two_before_anything_is_opened() {
    let stage = Stage::without_database();
    for words in [
        &[][..],
        &["no-such-command"],
        &["enqueue"],
        &["enqueue", "fetch"],
        &["enqueue", "fetch", "a/b", "--priority", "101"],
        &["enqueue", "fetch", "a/b", "--priority", "high"],
        &["enqueue", "fetch", "a/b", "--in", "10"],
        &[
            "enqueue",
            "fetch",
            "a/b",
            "--in",
            "5s",
            "--at",
            "2030-01-01T00:00:00Z",
        ],
        &["enqueue", "fetch", "a/b", "--at", "tomorrow"],
        &["job", "show", "42"],
        &["job", "list", "--state", "sleeping"],
        &["job", "list", "--limit", "0"],
        &["repo", "add"],
        &["run", "--heartbeat-interval", "10s", "--stale-after", "29s"],
        &["run", "--concurrency", "fetch=many"],
        &["status", "--json", "--no-such-flag"],
        &["completions", "no-such-shell"],
        &["deps", "a/b"],
        &["deps", "a/b", "../outside.rs"],
        &["impact", "a/b", "--", "-option.rs"],
        &["impact", "a/b", "src/lib.rs", "--limit", "0"],
        &["backfill", "a/b"],
    ] {
        let finished = stage.run(words).expect_code(2);
        assert!(!finished.stderr.is_empty(), "{words:?}");
        assert!(
            !stage.data_dir().join("postgres").exists(),
            "{words:?} started a database"
        );
    }
}

#[test]
fn what_is_not_there_ends_with_three() {
    let stage = Stage::new();
    for words in [
        &["job", "show", NO_JOB][..],
        &["job", "cancel", NO_JOB],
        &["job", "retry", NO_JOB],
        &["job", "list", "--repo", "acme/nothing"],
        &["status", "--repo", "acme/nothing"],
        &["repo", "show", "acme/nothing"],
        &["repo", "remove", NO_JOB],
        &["repo", "path", "acme/nothing"],
        &["enqueue", "fetch", "acme/nothing"],
        &["enqueue", "fetch", NO_JOB],
        &["deps", "acme/nothing", "src/lib.rs"],
        &["impact", "acme/nothing", "src/lib.rs"],
        &["repo", "show", "https://example.com/never/registered"],
    ] {
        assert_readable(&stage.run(words).expect_code(3));
    }
    assert_eq!(
        stage.json(&["repo", "list"])["items"],
        json!([]),
        "reading registers nothing"
    );
}

#[test]
fn a_database_or_remote_that_is_away_ends_with_four() {
    let stage = Stage::new();
    let port = free_port();
    let away = format!("postgres://nobody:canary-secret@127.0.0.1:{port}/nothing");
    for words in [
        &["status"][..],
        &["job", "list"],
        &["enqueue", "fetch", "a/b"],
        &["migrate"],
    ] {
        let finished = stage
            .command(words)
            .env("DATABASE_URL", &away)
            .run()
            .expect_code(4);
        assert_readable(&finished);
        assert!(
            !finished.stderr.contains("canary-secret"),
            "{}",
            finished.stderr
        );
    }
    let doctor = stage
        .command(["doctor"])
        .env("DATABASE_URL", &away)
        .run()
        .expect_code(4);
    assert!(doctor.stdout.contains("database"), "{}", doctor.stdout);
    assert!(
        !doctor.stdout.contains("canary-secret"),
        "{}",
        doctor.stdout
    );

    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    remote.set_fault(Fault::Refuse);
    assert_readable(
        &stage
            .run(&["repo", "path", &remote.url("acme/app")])
            .expect_code(4),
    );
}

#[test]
fn what_the_state_does_not_allow_ends_with_one() {
    let stage = Stage::unmigrated();
    let pending = stage.run(&["migrate", "--check"]).expect_code(1);
    assert!(pending.stdout.contains("pending"), "{}", pending.stdout);
    let status = stage.run(&["status"]).expect_code(1);
    assert!(
        status.stderr.contains("worker migrate"),
        "{}",
        status.stderr
    );
    let refused = stage
        .run(&["job", "list", "--auto-migrate=false"])
        .expect_code(1);
    assert!(
        refused.stderr.contains("worker migrate"),
        "{}",
        refused.stderr
    );
    let tables = "select count(*) from pg_namespace where nspname = 'leasectl'";
    assert_eq!(
        stage.sql().one::<i64>(tables, &[]),
        0,
        "nothing was created"
    );

    stage.run(&["migrate"]).ok();
    stage.run(&["migrate", "--check"]).ok();
    stage.run(&["status"]).ok();
}

#[test]
fn status_reads_only() {
    let stage = Stage::new();
    let count = "select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables";
    let before: Option<i64> = stage.sql().one(count, &[]);
    stage.run(&["status"]).ok();
    stage.run(&["status", "--json"]).ok();
    let after: Option<i64> = stage.sql().one(count, &[]);
    assert_eq!(before, after);
    assert!(!stage.repos_dir().exists(), "not even a folder is made");
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let stage = Stage::new();
    let healthy = stage.run(&["doctor", "--json"]);
    let report = healthy.json();
    let checks = report["items"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    for name in ["database", "version", "schema", "clock", "liveness", "git"] {
        assert_eq!(check(name)["status"], "ok", "{}", check(name));
    }
    // The scratch server runs without fsync, which is exactly what this check is for.
    assert_eq!(check("durability")["status"], "fail", "{report:#}");
    assert!(check("durability")["advice"].is_string());
    healthy.expect_code(1);

    let old = Stage::unmigrated();
    let text = old.run(&["doctor"]).expect_code(1).stdout;
    assert!(text.contains("worker migrate"), "{text}");
    let tables = "select count(*) from pg_namespace where nspname = 'leasectl'";
    assert_eq!(old.sql().one::<i64>(tables, &[]), 0, "it changes nothing");
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let stage = Stage::without_database();
    let man = stage.run(&["man"]).ok().stdout;
    assert!(man.contains(".TH"), "{man}");
    for shell in ["bash", "zsh", "fish"] {
        let script = stage.run(&["completions", shell]).ok().stdout;
        for command in [
            "run", "status", "enqueue", "job", "repo", "search", "deps", "impact", "migrate",
            "demo", "doctor",
        ] {
            assert!(script.contains(command), "{command} in {shell}");
            assert!(man.contains(command), "{command} in the manual");
        }
        assert!(
            !script.contains("git-child"),
            "the hidden subcommand shows in {shell}"
        );
    }
    let bash = stage.run(&["completions", "bash"]).ok().stdout;
    Invocation::new("bash").args(["-n"]).input(bash).run().ok();
}

#[test]
fn every_setting_is_named_in_the_help_with_its_default() {
    let stage = Stage::without_database();
    let help = stage.run(&["run", "--help"]).ok().stdout;
    for (flag, default) in [
        ("--concurrency", "fetch=4,index=2,backfill=2,stack=2"),
        ("--heartbeat-interval", "10s"),
        ("--stale-after", "30s"),
        ("--lease-ttl", "15m"),
        ("--death-grace", "300ms"),
        ("--poll-interval", "1s"),
        ("--drain-timeout", "30s"),
        ("--retention", "30d"),
        ("--disk-budget", "50GiB"),
        ("--metrics-listen", "ADDR"),
        ("--database-url", "DATABASE_URL"),
        ("--data-dir", "LEASECTL_DATA_DIR"),
        ("--repos-dir", "LEASECTL_REPOS_DIR"),
        ("--log-format", "LEASECTL_LOG_FORMAT"),
        ("--embedded", "LEASECTL_EMBEDDED"),
    ] {
        assert!(help.contains(flag), "{flag}");
        assert!(help.contains(default), "{flag}: {default}");
    }
}

#[test]
fn a_migration_whose_connection_breaks_says_that_the_database_is_away() {
    let stage = Stage::unmigrated();
    let migrate = stage.command(["migrate"]);
    let sql = stage.sql();
    sql.run("create schema leasectl");
    // The first migration has to wait for this table.
    let _held = sql.hold("create table leasectl.repository (id integer)");
    let migrated = std::thread::scope(|scope| {
        let migrating = scope.spawn(|| migrate.run());
        sql.wait_for_waiter();
        let cut: i64 = sql.one(
            "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity \
              where datname = current_database() and wait_event_type = 'Lock'",
            &[],
        );
        assert_eq!(cut, 1);
        migrating.join().unwrap()
    });
    migrated.expect_code(4);
}
