//! The program itself: its settings, its first line, its exit codes and its end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use leasectl_embedded::Mode;
use leasectl_embedded::scratch::{self, ScratchServer, ScratchSettings};

/// The program with an environment of its own.
fn program() -> Command {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasectl-api"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn database() -> String {
    scratch::shared().unwrap().create_database().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running service; it is killed when the test is over.
struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        Self::over(&database(), command)
    }

    fn over(url: &str, command: &mut Command) -> Self {
        let mut child = command.env("DATABASE_URL", url).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended: {text}");
            text.push_str(&line);
            if let Some((_, rest)) = line.split_once("leasectl-api ready listen=") {
                break rest.split(['"', '\n', ' ']).next().unwrap().to_owned();
            }
        };
        Self {
            child,
            log,
            address,
        }
    }

    fn get(&self, path: &str, header: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n{header}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sends SIGTERM and returns the exit code and the rest of the log.
    fn terminate(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        #[expect(
            clippy::disallowed_methods,
            reason = "the shell's kill sends the signal"
        )]
        let sent = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &pid])
            .status()
            .unwrap();
        assert!(sent.success());
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn an_open_address_without_a_token_is_a_usage_error() {
    for (name, value, flag) in [
        ("PORT", "0", None),
        ("LEASECTL_LISTEN", "0.0.0.0:0", None),
        ("X", "", Some("--listen=[::]:0")),
        ("LEASECTL_API_TOKEN", " , ", Some("--listen=0.0.0.0:0")),
    ] {
        let mut command = program();
        let output = command.env(name, value).args(flag).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name} {}", said(&output));
        assert!(
            said(&output).contains("LEASECTL_API_TOKEN"),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn settings_that_cannot_be_used_are_usage_errors() {
    for arguments in [
        vec!["--listen", "nowhere"],
        vec!["--nonsense"],
        vec!["--log-format", "xml"],
        vec![],
        vec!["--database-url", "mysql://x/y"],
    ] {
        let output = program()
            .env("HOME", "/nonexistent")
            .args(&arguments)
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?} {}",
            said(&output)
        );
    }
}

#[test]
fn a_database_that_is_away_is_told_by_the_exit_code_and_without_its_password() {
    let url = "postgres://user:canary@127.0.0.1:1/x";
    let output = program().env("DATABASE_URL", url).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(!said(&output).contains("canary"), "{}", said(&output));
}

#[test]
fn it_says_where_it_listens_serves_and_ends_on_a_signal() {
    let token = "canary-canary-canary";
    let mut command = program();
    command.env("PORT", "0").env("LEASECTL_API_TOKEN", token);
    let running = Running::start(&mut command);
    assert!(
        running.address.starts_with("0.0.0.0:"),
        "{}",
        running.address
    );
    assert!(running.get("/readyz", "").starts_with("HTTP/1.0 200"));
    assert!(running.get("/v1/jobs", "").starts_with("HTTP/1.0 401"));
    let header = format!("Authorization: Bearer {token}\r\n");
    assert!(running.get("/v1/jobs", &header).starts_with("HTTP/1.0 200"));
    let (code, log) = running.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(token), "{log}");
}

#[test]
fn the_first_line_is_the_same_in_text_logs() {
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--log-format", "text"]);
    let running = Running::start(&mut command);
    assert!(running.get("/healthz", "").starts_with("HTTP/1.0 200"));
    assert_eq!(running.terminate().0, Some(0));
}

#[test]
fn a_cause_is_in_the_log_under_the_requests_id_and_nowhere_else() {
    let server = ScratchServer::start(ScratchSettings::new()).unwrap();
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0"]);
    let running = Running::over(&server.url(), &mut command);
    server.stop(Mode::Immediate).unwrap();
    let answer = running.get("/v1/jobs", "X-Request-Id: find-me\r\n");
    assert!(answer.starts_with("HTTP/1.0 503"), "{answer}");
    assert!(
        answer.contains("find-me") && !answer.contains("connect"),
        "{answer}"
    );
    let (code, log) = running.terminate();
    assert_eq!(code, Some(0), "{log}");
    let line = log
        .lines()
        .find(|line| line.contains("find-me"))
        .unwrap_or_default();
    assert!(line.contains("cause"), "{log}");
}
