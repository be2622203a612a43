//! The only module of this crate that starts processes: the demo's workers and a few `git` calls.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

/// How long a worker may take until it can claim.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a worker may take to end after it was asked to.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How many lines of a worker's log are kept, for the case that it ends unexpectedly.
const KEPT_LINES: usize = 20;
/// What a worker says when it can claim; its owner follows.
const READY: &str = "worker ready owner=";

/// Variables that would change what the demo's workers do.
const NOT_INHERITED: [&str; 14] = [
    "LEASECTL_CONCURRENCY",
    "LEASECTL_HEARTBEAT_INTERVAL",
    "LEASECTL_STALE_AFTER",
    "LEASECTL_LEASE_TTL",
    "LEASECTL_DEATH_GRACE",
    "LEASECTL_POLL_INTERVAL",
    "LEASECTL_DRAIN_TIMEOUT",
    "LEASECTL_RETENTION",
    "LEASECTL_METRICS_LISTEN",
    "LEASECTL_DISK_BUDGET",
    "LEASECTL_LOG_FORMAT",
    "LEASECTL_LOG",
    "NOTIFY_SOCKET",
    "RUST_LOG",
];

/// A process could not be started, or did not do what it is there for.
#[derive(Debug, Error)]
pub(crate) enum ProcessError {
    /// The program is not there or may not be run.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A worker ended before it could claim.
    #[error("a worker of the demo ended before it was ready; it said:\n{said}")]
    EndedEarly {
        /// The end of its log.
        said: String,
    },
    /// A worker was not ready in time.
    #[error("a worker of the demo was not ready within {READY_WITHIN:?}; it said:\n{said}")]
    NotReady {
        /// The end of its log.
        said: String,
    },
    /// `git` failed.
    #[error("git {command} failed: {said}")]
    Git {
        /// The subcommand.
        command: String,
        /// What it said.
        said: String,
    },
}

/// How a worker of the demo is started.
pub(crate) struct WorkerCommand {
    /// This program.
    pub(crate) program: OsString,
    /// `run` and its flags. No secrets: anybody on this machine can read them.
    pub(crate) args: Vec<OsString>,
    /// Variables on top of this process's own.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// A running worker of the demo. It drains when its standard input closes, so it ends with this
/// process, however this process ends.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    pid: u32,
    owner: String,
    input: Option<ChildStdin>,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl WorkerProcess {
    /// Starts a worker and waits until it can claim.
    pub(crate) async fn start(command: &WorkerCommand) -> Result<Self, ProcessError> {
        let mut child = spawn(command)?;
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let input = child.stdin.take();
        let Some(stderr) = child.stderr.take() else {
            return Err(ProcessError::EndedEarly {
                said: String::new(),
            });
        };
        let mut lines = BufReader::new(stderr).lines();
        let ready = tokio::time::timeout(READY_WITHIN, until_ready(&mut lines, &said)).await;
        let owner = match ready {
            Ok(Some(owner)) => owner,
            Ok(None) => {
                return Err(ProcessError::EndedEarly {
                    said: last_lines(&said),
                });
            }
            Err(_elapsed) => {
                return Err(ProcessError::NotReady {
                    said: last_lines(&said),
                });
            }
        };
        let kept = said.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                keep(&kept, line);
            }
        });
        let pid = child.id().unwrap_or_default();
        Ok(Self {
            child,
            pid,
            owner,
            input,
            said,
        })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its name in leases.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// The end of its log.
    pub(crate) fn last_lines(&self) -> String {
        last_lines(&self.said)
    }

    /// Ends it by SIGKILL and waits until it is gone: no drain, no farewell.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Whether it ended by itself, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to drain, and ends it when it does not.
    pub(crate) async fn stop(mut self) {
        drop(self.input.take());
        if tokio::time::timeout(END_WITHIN, self.child.wait())
            .await
            .is_err()
        {
            // Nothing more can be done about a process that cannot be killed.
            let _ = self.child.kill().await;
        }
    }
}

fn spawn(command: &WorkerCommand) -> Result<Child, ProcessError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that starts processes"
    )]
    let mut process = Command::new(&command.program);
    process
        .args(&command.args)
        .envs(command.variables.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Of its own, so that Ctrl-C reaches the demo alone and the demo stops its workers.
        .process_group(0)
        .kill_on_drop(true);
    for name in NOT_INHERITED {
        process.env_remove(name);
    }
    process.spawn().map_err(|source| ProcessError::Start {
        program: command.program.to_string_lossy().into_owned(),
        source,
    })
}

async fn until_ready(
    lines: &mut Lines<BufReader<ChildStderr>>,
    said: &Mutex<VecDeque<String>>,
) -> Option<String> {
    while let Ok(Some(line)) = lines.next_line().await {
        let owner = owner_in(&line);
        keep(said, line);
        if owner.is_some() {
            return owner;
        }
    }
    None
}

fn owner_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(READY)?;
    rest.split([' ', '"']).next().map(str::to_owned)
}

fn keep(said: &Mutex<VecDeque<String>>, line: String) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    if said.len() == KEPT_LINES {
        said.pop_front();
    }
    said.push_back(line);
}

fn last_lines(said: &Mutex<VecDeque<String>>) -> String {
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.iter().map(|line| format!("  {line}\n")).collect()
}

/// Runs `git` in a repository, reading only, with a fixed environment.
pub(crate) async fn git(git_dir: &Path, args: &[&str]) -> Result<String, ProcessError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that starts processes"
    )]
    let mut process = Command::new("git");
    process
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "core.fsmonitor=false",
            "--git-dir",
        ])
        .arg(git_dir)
        .args(args)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_COMMON_DIR",
        "GIT_INDEX_FILE",
        "GIT_TRACE",
    ] {
        process.env_remove(name);
    }
    let output = process
        .output()
        .await
        .map_err(|source| ProcessError::Start {
            program: "git".to_owned(),
            source,
        })?;
    if !output.status.success() {
        return Err(ProcessError::Git {
            command: args.first().copied().unwrap_or_default().to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_read_from_the_ready_line() {
        let line = "2026-01-01T00:00:00Z  INFO worker ready owner=host:12:34 release=1";
        assert_eq!(owner_in(line).as_deref(), Some("host:12:34"));
        assert_eq!(
            owner_in(r#"{"message":"worker ready owner=h:1:2"}"#).as_deref(),
            Some("h:1:2")
        );
        assert_eq!(owner_in("starting"), None);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let command = WorkerCommand {
            program: "/no/such/worker".into(),
            args: Vec::new(),
            variables: Vec::new(),
        };
        let error = WorkerProcess::start(&command).await.unwrap_err();
        assert!(error.to_string().contains("/no/such/worker"), "{error}");
    }

    #[tokio::test]
    async fn a_worker_that_ends_early_is_quoted() {
        let command = WorkerCommand {
            program: "sh".into(),
            args: vec!["-c".into(), "echo no database >&2; exit 4".into()],
            variables: Vec::new(),
        };
        let error = WorkerProcess::start(&command).await.unwrap_err();
        assert!(matches!(error, ProcessError::EndedEarly { .. }), "{error}");
        assert!(error.to_string().contains("no database"), "{error}");
    }

    #[tokio::test]
    async fn a_worker_ends_when_its_input_closes() {
        let command = WorkerCommand {
            program: "sh".into(),
            args: vec!["-c".into(), "echo worker ready owner=h:1:2 >&2; cat".into()],
            variables: Vec::new(),
        };
        let mut worker = WorkerProcess::start(&command).await.unwrap();
        assert_eq!(worker.owner(), "h:1:2");
        assert!(worker.ended().is_none());
        worker.stop().await;
    }
}
