//! The throw-away server, as tests of other crates use it.

#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use leasectl_embedded::Mode;
use leasectl_embedded::scratch::{ScratchError, ScratchServer, ScratchSettings, shared};

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    tokio::spawn(connection);
    client
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}

fn ask(url: &str, query: &str) -> String {
    block_on(async {
        client(url)
            .await
            .query_one(query, &[])
            .await
            .expect("an answer")
            .get(0)
    })
}

fn execute(url: &str, statements: &str) {
    block_on(async {
        client(url)
            .await
            .batch_execute(statements)
            .await
            .expect("executed")
    });
}

#[test]
fn a_server_answers_over_its_socket_and_is_gone_after_drop() {
    let server = ScratchServer::start(ScratchSettings::new()).expect("started");
    assert_eq!(
        ask(&server.url(), "SELECT current_database()::text"),
        "leasectl"
    );
    assert_eq!(ask(&server.url(), "SHOW listen_addresses"), "");
    let folder = server.socket_dir().to_owned();
    let pid = server.pid().expect("running");
    drop(server);
    assert!(!folder.exists(), "{} is left", folder.display());
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    assert_eq!(
        rustix::process::test_kill_process(pid),
        Err(rustix::io::Errno::SRCH)
    );
}

#[test]
fn databases_of_one_server_do_not_see_each_other() {
    let server = shared().expect("started");
    let first = server.create_database().expect("made");
    let second = server.create_database().expect("made");
    assert_ne!(first, second);
    let tables = "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'";
    execute(&first, "CREATE TABLE mine (id int)");
    assert_eq!(ask(&first, tables), "1");
    assert_eq!(ask(&second, tables), "0");
}

#[test]
fn a_restart_keeps_committed_rows_at_the_same_address() {
    let server =
        ScratchServer::start(ScratchSettings::new().with("fsync", "on").on_tcp()).expect("started");
    let url = server.tcp_url("leasectl").expect("on TCP");
    execute(
        &url,
        "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('kept')",
    );
    let before = server.pid();
    for mode in [Mode::Fast, Mode::Immediate] {
        server.restart(mode).expect("restarted");
        assert_eq!(ask(&url, "SELECT word FROM kept"), "kept");
    }
    assert_ne!(server.pid(), before);
}

#[test]
fn a_stopped_server_refuses_and_comes_back() {
    let server = ScratchServer::start(ScratchSettings::new()).expect("started");
    server.stop(Mode::Fast).expect("stopped");
    assert_eq!(server.pid(), None);
    server.create_database().expect_err("nobody listens");
    server.start_again().expect("started");
    server.create_database().expect("made");
}

#[test]
fn a_killed_server_comes_back_although_its_pid_file_lies_there() {
    let server = ScratchServer::start(ScratchSettings::new()).expect("started");
    let pid = server.pid().expect("running").cast_signed();
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.pid().is_some() {
        assert!(Instant::now() < deadline, "the server survived SIGKILL");
        std::thread::sleep(Duration::from_millis(5));
    }
    server.start_again().expect("started");
    server.create_database().expect("made");
}

#[test]
fn a_copied_database_holds_what_its_template_held() {
    let server = shared().expect("started");
    let template = server.create_database().expect("made");
    execute(
        &template,
        "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('kept')",
    );
    let copy = server.create_database_from(&template).expect("copied");
    assert_eq!(ask(&copy, "SELECT word FROM kept"), "kept");
}

#[test]
fn only_a_server_on_tcp_has_a_tcp_url() {
    let server = shared().expect("started");
    assert!(matches!(
        server.tcp_url("leasectl"),
        Err(ScratchError::NoTcp)
    ));
}
