//! Data directories, and other processes that use the server in one.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use leasectl_embedded::{Downloads, Embedded, EmbeddedOptions};
use rustix::process::Pid;
use tempfile::TempDir;

/// Names the data directory for the test that is run as a process of its own.
pub(crate) const DATA_DIR: &str = "LEASECTL_TEST_DATA_DIR";

pub(crate) fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        downloads: Downloads::Never,
        ..EmbeddedOptions::from_environment()
    }
}

pub(crate) fn open(data_dir: &Path) -> Embedded {
    Embedded::open(data_dir, options()).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// A folder that the server's account can pass through when the test runs as root.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("embedded-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .expect("a folder")
}

/// A folder with a cluster in it that has run before, copied from one that is made once.
pub(crate) struct Prepared {
    folder: TempDir,
    _template: Arc<TempDir>,
}

impl Prepared {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

pub(crate) fn prepared() -> Prepared {
    // Weak, because nobody drops statics: the last test that runs removes the template.
    static TEMPLATE: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut shared = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    let template = shared.upgrade().unwrap_or_else(|| {
        let template = folder();
        drop(open(template.path()));
        Arc::new(template)
    });
    *shared = Arc::downgrade(&template);
    drop(shared);
    let folder = folder();
    #[expect(
        clippy::disallowed_methods,
        reason = "copies owners and modes as nothing else does"
    )]
    let copied = Command::new("cp")
        .arg("-Rp")
        .arg(template.path().join("postgres"))
        .arg(folder.path())
        .status()
        .expect("started");
    assert!(copied.success());
    Prepared {
        folder,
        _template: template,
    }
}

pub(crate) fn execute(url: &str, statements: &str) -> Result<(), tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(statements).await
    })
}

/// The server's process id, from its pid file.
pub(crate) fn server_pid(data_dir: &Path) -> Pid {
    let text = fs::read_to_string(data_dir.join("postgres/data/postmaster.pid")).expect("running");
    let number = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    number.and_then(Pid::from_raw).expect("a process id")
}

pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Another process that uses the server until it is told to leave.
pub(crate) struct User {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl User {
    pub(crate) fn start(data_dir: &Path, uid: Option<u32>) -> Self {
        let program = std::env::current_exe().expect("this test's path");
        #[expect(clippy::disallowed_methods, reason = "the test needs real processes")]
        let mut command = Command::new(program);
        command
            .args(["--exact", "a_user_in_a_process_of_its_own", "--nocapture"])
            .env(DATA_DIR, data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let mut process = command.spawn().expect("started");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self {
            process,
            input,
            output,
        }
    }

    /// Waits for the answer to the last step.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                self.output.read_line(&mut line).expect("readable"),
                0,
                "the user died"
            );
            if let Some((_, answer)) = line.split_once("user: ") {
                return answer.trim().to_owned();
            }
        }
    }

    pub(crate) fn joined(data_dir: &Path) -> Self {
        let mut user = Self::start(data_dir, None);
        user.answer();
        user
    }

    pub(crate) fn leave(mut self) -> String {
        self.input.write_all(b"leave\n").expect("written");
        let answer = self.answer();
        assert!(self.process.wait().expect("ended").success());
        answer
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().expect("killed");
        assert_eq!(self.process.wait().expect("ended").signal(), Some(9));
    }
}
