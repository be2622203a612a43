//! Opening the database in every way that the programs do.

#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::error::Error;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use leasectl_core::database::PoolOptions;
use leasectl_core::kind::Kinds;
use leasectl_embedded::scratch;
use leasectl_service::{
    DatabaseArgs, OpenDatabase, OpenError, OpenOptions, Schema, Use, open_database,
};
use tempfile::TempDir;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    database: DatabaseArgs,
}

fn args(words: &[&str]) -> DatabaseArgs {
    let words = std::iter::once("program").chain(words.iter().copied());
    Program::try_parse_from(words)
        .expect("a valid command line")
        .database
}

/// No URL, whatever the environment of the tests says.
fn in_folder(folder: &Path, more: &[&str]) -> DatabaseArgs {
    let folder = folder.to_str().expect("text");
    let words: Vec<&str> = ["--database-url", "", "--data-dir", folder]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    args(&words)
}

/// A folder that the embedded server's account can pass through when the test runs as root.
fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("service-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .expect("a folder")
}

async fn open(args: &DatabaseArgs, usage: Use, schema: Schema) -> Result<OpenDatabase, OpenError> {
    let pool = PoolOptions {
        max_size: 2,
        application_name: "test".to_owned(),
    };
    open_database(
        args,
        OpenOptions {
            usage,
            schema,
            kinds: Kinds::standard(),
            pool,
        },
    )
    .await
}

fn chain(error: &OpenError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_service_without_a_url_is_a_usage_error_that_tells_about_embedded() {
    let root = folder();
    let args = in_folder(root.path(), &[]);
    let error = open(&args, Use::EmbeddedOnlyIfFlag, Schema::Migrate)
        .await
        .expect_err("no database");
    assert!(
        matches!(error, OpenError::NotConfigured { .. }),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), 2);
    for word in ["DATABASE_URL", "--embedded", "LEASECTL_EMBEDDED=1"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(
        root.path().read_dir().expect("readable").count(),
        0,
        "nothing was created"
    );
}

#[tokio::test]
async fn looking_starts_nothing_and_says_that_nothing_runs() {
    let root = folder();
    let args = in_folder(root.path(), &["--embedded"]);
    let error = open(&args, Use::NeverStart, Schema::Ignore)
        .await
        .expect_err("nothing runs");
    assert_eq!(error.exit_code(), 4);
    assert!(
        error.to_string().contains("no database is running"),
        "{error}"
    );
    assert_eq!(
        root.path().read_dir().expect("readable").count(),
        0,
        "nothing was created"
    );
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_named_without_its_password() {
    for url in ["mysql://u:canary@h/d", "postgres://u:canary@h:port/d"] {
        let args = args(&["--database-url", url]);
        let error = open(&args, Use::NeverStart, Schema::Ignore)
            .await
            .expect_err("no URL");
        assert_eq!(error.exit_code(), 2);
        let text = format!("{} {error:?}", chain(&error));
        assert!(
            text.contains("DATABASE_URL") && !text.contains("canary"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_named_without_its_password() {
    let args = args(&["--database-url", "postgres://u:canary@127.0.0.1:1/d"]);
    let error = open(&args, Use::EmbeddedOnlyIfFlag, Schema::Migrate)
        .await
        .expect_err("nobody listens");
    assert_eq!(error.exit_code(), 4);
    let text = format!("{} {error:?}", chain(&error));
    assert!(
        text.contains("127.0.0.1:1/d") && !text.contains("canary"),
        "{text}"
    );
}

#[tokio::test]
async fn pending_migrations_are_refused_where_they_may_not_be_applied() {
    let server = scratch::shared().expect("a server");
    let url = server.create_database().expect("a database");
    let manual = args(&["--database-url", &url, "--auto-migrate=false"]);
    for schema in [Schema::Migrate, Schema::MustBeCurrent] {
        let error = open(&manual, Use::NeverStart, schema)
            .await
            .expect_err("pending");
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("worker migrate"), "{error}");
    }
    open(&manual, Use::NeverStart, Schema::Ignore)
        .await
        .expect("not looked at");

    let automatic = args(&["--database-url", &url]);
    open(&automatic, Use::NeverStart, Schema::Migrate)
        .await
        .expect("applied");
    open(&manual, Use::NeverStart, Schema::MustBeCurrent)
        .await
        .expect("current now");
}

#[tokio::test]
async fn the_embedded_database_is_shared_and_stops_with_its_last_user() {
    let root = folder();
    let args = in_folder(root.path(), &[]);
    let first = open(&args, Use::MayStartEmbedded, Schema::Migrate)
        .await
        .expect("started");
    assert!(
        first
            .describe()
            .contains(root.path().to_str().expect("text"))
    );
    let told = in_folder(root.path(), &["--embedded"]);
    let second = open(&told, Use::EmbeddedOnlyIfFlag, Schema::Migrate)
        .await
        .expect("joined");
    first.close().await.expect("left");
    let looker = open(&args, Use::NeverStart, Schema::MustBeCurrent)
        .await
        .expect("it runs");
    assert!(!looker.is_embedded(), "a looker holds no share");
    second.close().await.expect("left");
    let error = open(&args, Use::NeverStart, Schema::Ignore)
        .await
        .expect_err("stopped");
    assert_eq!(error.exit_code(), 4);
}

#[tokio::test]
async fn an_embedded_server_that_dies_is_started_again() {
    let root = folder();
    let args = in_folder(root.path(), &[]);
    let open = open(&args, Use::MayStartEmbedded, Schema::Migrate)
        .await
        .expect("started");
    let pid_file = root.path().join("postgres/data/postmaster.pid");
    let pid = || {
        let text = std::fs::read_to_string(&pid_file).ok()?;
        text.lines()
            .next()?
            .trim()
            .parse()
            .ok()
            .and_then(rustix::process::Pid::from_raw)
    };
    let before = pid().expect("running");
    rustix::process::kill_process(before, rustix::process::Signal::KILL).expect("killed");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let back = open.database.check().await.is_ok();
        if back && pid().is_some_and(|pid| pid != before) {
            break;
        }
        assert!(Instant::now() < deadline, "nobody started it again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    open.close().await.expect("left");
}
