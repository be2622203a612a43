//! Hostile and senseless input on the command line is refused, and changes nothing.

use leasectl_tests::{
    Origin, Remote, Stage, hostile_names, hostile_refs, hostile_refspecs, hostile_urls,
};

/// Everything that a refused command must leave as it was.
fn rows(stage: &Stage) -> (i64, i64) {
    let sql = stage.sql();
    (
        sql.one("select count(*) from leasectl.repository", &[]),
        sql.one("select count(*) from leasectl.job_status", &[]),
    )
}

/// What an operating system lets a program be given as an argument.
fn can_be_an_argument(text: &str) -> bool {
    !text.contains('\0')
}

/// Every `n`th text, so that starting a process for each stays quick; the service is given all.
fn sample(texts: Vec<String>, n: usize) -> Vec<String> {
    texts
        .into_iter()
        .filter(|text| can_be_an_argument(text))
        .step_by(n)
        .collect()
}

#[test]
fn hostile_remotes_are_refused_and_never_registered() {
    let stage = Stage::new();
    let canary = stage.folder().join("canary");
    let mut urls = sample(hostile_urls(), 12);
    urls.extend([
        format!("--upload-pack=touch {}", canary.display()),
        format!("ext::sh -c touch% {}", canary.display()),
        format!("ssh://-oProxyCommand=touch {}/x", canary.display()),
        "https://user:canary-secret@example.com/o/r".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://example.com/o/r?x=canary-secret".to_owned(),
    ]);
    for url in &urls {
        let add = stage.run(&["repo", "add", "--", url]);
        let enqueue = stage.run(&["enqueue", "fetch", "--", url]);
        for finished in [add, enqueue] {
            // 3: it may be a well-formed name of a repository that does not exist.
            assert!(
                matches!(finished.code, Some(2 | 3)),
                "{url:?}: {:?} {}",
                finished.code,
                finished.stderr
            );
            assert!(
                !finished.stderr.contains("canary-secret"),
                "{}",
                finished.stderr
            );
            assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        }
    }
    assert_eq!(rows(&stage), (0, 0));
    assert!(!canary.exists(), "something was run");
}

#[test]
fn what_is_not_public_is_refused_unless_it_is_allowed() {
    let stage = Stage::new();
    let origin = Origin::create(&stage.folder().join("origin.git"));
    let path = origin.path().to_str().unwrap();
    let file = format!("file://{path}");
    for url in [
        path,
        &file,
        "http://example.com/o/r",
        "https://localhost/o/r",
        "https://127.0.0.1/o/r",
        "https://[fd12:3456:789a:1:2:3:4:5]/o/r",
        "https://10.1.2.3/o/r",
        "https://192.168.0.1/o/r",
        "ssh://git@172.16.0.9/o/r",
        "git@localhost:o/r",
    ] {
        let refused = stage
            .command(["repo", "add", url])
            .env("LEASECTL_ALLOW_LOCAL", "0")
            .run();
        let refused = refused.expect_code(2);
        assert!(
            refused.stderr.contains("LEASECTL_ALLOW_LOCAL"),
            "{url}: {}",
            refused.stderr
        );
    }
    assert_eq!(rows(&stage), (0, 0));
}

#[test]
fn hostile_names_are_refused() {
    let stage = Stage::new();
    for name in sample(hostile_names(), 3) {
        let named = format!("--name={name}");
        stage
            .run(&["repo", "add", "https://example.com/o/r", &named])
            .expect_code(2);
    }
    assert_eq!(rows(&stage), (0, 0));
}

#[test]
fn hostile_refs_are_refused_before_any_clone_is_touched() {
    let stage = Stage::new();
    let remote = Remote::start();
    let _origin = remote.repository("acme/app");
    let url = remote.url("acme/app");
    for name in sample(hostile_refs(), 4) {
        let reference = format!("--ref={name}");
        stage
            .run(&["repo", "path", &url, &reference])
            .expect_code(2);
    }
    assert_eq!(rows(&stage), (0, 0));
    assert_eq!(remote.seen().requests, 0);
    assert!(!stage.repos_dir().exists());
}

#[test]
fn unknown_kinds_and_arguments_are_refused() {
    let stage = Stage::new();
    let repo = stage.register("https://example.com/acme/app");
    let deep = format!("{}{}", r#"{"refspecs":"#.repeat(300), "}".repeat(300));
    let large = format!(
        r#"{{"refspecs": ["+refs/heads/{}:refs/heads/x"]}}"#,
        "x".repeat(66_000)
    );
    let kinds = [
        "backfills",
        "Fetch",
        "fetch ",
        "",
        "--help-me",
        "fetch;drop table",
        "日本",
    ];
    for kind in kinds {
        let finished = stage.run(&["enqueue", "--", kind, &repo]).expect_code(2);
        assert!(
            finished.stderr.contains("fetch"),
            "it names what exists: {}",
            finished.stderr
        );
    }
    for args in [
        "",
        "null",
        "[]",
        "7",
        "{",
        r#"{"refspecs": []}"#,
        r#"{"refspecs": null}"#,
        r#"{"refspecs": "refs/heads/*"}"#,
        r#"{"refspecs": [1]}"#,
        r#"{"refspec": ["refs/heads/*"]}"#,
        r#"{"force": true}"#,
        &deep,
        &large,
    ] {
        let shown: String = args.chars().take(60).collect();
        let finished = stage
            .run(&["enqueue", "fetch", &repo, "--args", args])
            .expect_code(2);
        assert!(
            !finished.stderr.contains("panicked"),
            "{shown}: {}",
            finished.stderr
        );
        assert!(
            finished.stderr.len() < 2_000,
            "{shown}: {}",
            finished.stderr
        );
    }
    for pair in [
        "refspecs",
        "=x",
        "refspecs=",
        "force=true",
        "refspecs=--upload-pack=x",
    ] {
        stage
            .run(&["enqueue", "fetch", &repo, "--arg", pair])
            .expect_code(2);
    }
    assert_eq!(rows(&stage), (1, 0));
}

#[test]
fn hostile_refspecs_are_refused() {
    let stage = Stage::new();
    let repo = stage.register("https://example.com/acme/app");
    for spec in sample(hostile_refspecs(), 4) {
        let args = serde_json::json!({ "refspecs": [spec] }).to_string();
        stage
            .run(&["enqueue", "fetch", &repo, "--args", &args])
            .expect_code(2);
    }
    assert_eq!(rows(&stage), (1, 0));
}

#[test]
fn the_sql_function_refuses_what_the_programs_refuse() {
    let stage = Stage::new();
    let _repo = stage.register("https://example.com/acme/app");
    for call in [
        "leasectl.enqueue('acme/app', 'backfill')",
        "leasectl.enqueue('acme/app', 'index', '{\"ref\": 7}')",
        "leasectl.enqueue('acme/app', null)",
        "leasectl.enqueue('acme/nothing', 'fetch')",
        "leasectl.enqueue('acme/app', 'fetch', '[]')",
        "leasectl.enqueue('acme/app', 'fetch', null)",
        "leasectl.enqueue('acme/app', 'fetch', '{\"force\": true}')",
        "leasectl.enqueue('acme/app', 'fetch', '{\"refspecs\": []}')",
        "leasectl.enqueue('acme/app', 'fetch', '{\"refspecs\": [7]}')",
        "leasectl.enqueue('acme/app', 'fetch', '{}', 101)",
        "leasectl.enqueue('acme/app', 'fetch', jsonb_build_object('refspecs', \
         jsonb_build_array(repeat('x', 70000))))",
    ] {
        let answer = stage.sql().try_rows(&format!("select {call}"), &[]);
        let error = answer
            .err()
            .unwrap_or_else(|| panic!("{call} was accepted"));
        assert!(error.as_db_error().is_some(), "{call}: {error}");
    }
    assert_eq!(rows(&stage), (1, 0));

    let remote = Remote::start();
    let _origin = remote.repository("acme/real");
    let repo = stage.register(&remote.url("acme/real"));
    let call = "select leasectl.enqueue(repo => 'acme/real', kind => 'fetch', priority => 7)::text";
    let job: String = stage.sql().one(call, &[]);
    assert_eq!(stage.job(&job)["state"], "waiting");
    let _worker = stage.worker().start();
    let done = stage.wait_for_end(&job);
    assert_eq!(
        (&done["state"], &done["repo_id"]),
        (&"completed".into(), &repo.into())
    );
}
