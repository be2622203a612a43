//! The worker's side of a Git child process: start it, watch it, and end it with all that it started.

use std::{
    collections::VecDeque,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use leasectl_remote::RemoteUrl;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use tokio_util::sync::CancellationToken;

use crate::{
    credentials::CredentialSource,
    error::{Cause, RepoError, SizeLimit, TimeLimit},
    lock::Lock,
    process,
    progress::ProgressSink,
    settings::{ChildProgram, Limits},
    wire::{Answer, Failure, Message, Outcome, Request},
};

/// Bytes of what the child says besides messages that are kept for the log.
const KEPT_WORDS_BYTES: usize = 8 * 1024;

/// What a run of the child needs.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a ChildProgram,
    pub(crate) credentials: &'a CredentialSource,
    pub(crate) limits: &'a Limits,
    pub(crate) url: &'a RemoteUrl,
    pub(crate) lock: &'a Lock,
    pub(crate) progress: &'a dyn ProgressSink,
    pub(crate) cancel: &'a CancellationToken,
}

/// How a run ended without a result.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// For a reason that holds for everybody who wants the same.
    Failed(Failure),
    /// The caller asked to stop.
    Cancelled,
    /// The child could not be run, or died.
    Broken(Cause),
}

impl Ended {
    /// The error for the caller.
    pub(crate) fn into_error(self, url: &RemoteUrl) -> RepoError {
        match self {
            Self::Failed(failure) => to_error(failure, url),
            Self::Cancelled => RepoError::Cancelled,
            Self::Broken(cause) => RepoError::Child { cause },
        }
    }

    fn broken(doing: &str, error: impl std::fmt::Display) -> Self {
        Self::Broken(Cause::new(format!("{doing}: {error}")))
    }
}

impl Run<'_> {
    /// Runs the child to its end. Whatever happens, no process of it is left when this returns, or
    /// soon after if the future is dropped.
    pub(crate) async fn run(&self, request: &Request) -> Result<Outcome, Ended> {
        let mut group = Group::start(self.program, self.lock)?;
        let deadline = tokio::time::sleep(self.limits.wall_clock);
        let ended = tokio::select! {
            biased;
            ended = self.converse(&mut group, request) => ended,
            () = self.cancel.cancelled() => Err(Ended::Cancelled),
            () = deadline => Err(Ended::Failed(Failure::TimedOut(TimeLimit::Total(self.limits.wall_clock)))),
        };
        let status = if ended.is_ok() {
            group.leave().await
        } else {
            group.end().await
        };
        let status = status.map_err(|error| Ended::broken("waiting for the Git child", error))?;
        match ended {
            Ok(Some(outcome)) => outcome.map_err(Ended::Failed),
            Ok(None) => Err(self.died(status, &group.words())),
            Err(ended) => Err(ended),
        }
    }

    /// Sends the request and reads messages until the last one; `None` if there was no last one.
    async fn converse(
        &self,
        group: &mut Group,
        request: &Request,
    ) -> Result<Option<Result<Outcome, Failure>>, Ended> {
        let request = serde_json::to_string(request)
            .map_err(|error| Ended::broken("writing the request", error))?;
        group.send(request).await;
        while let Some(line) = group
            .lines
            .next_line()
            .await
            .map_err(|error| Ended::broken("reading from the Git child", error))?
        {
            match serde_json::from_str(&line) {
                Ok(Message::Progress(progress)) => self.progress.report(&progress),
                Ok(Message::AskCredentials) => {
                    let answer = Answer::Credentials(self.credentials.look_up(self.url).await);
                    let answer = serde_json::to_string(&answer)
                        .map_err(|_| Ended::broken("answering", "not JSON"))?;
                    group.send(answer).await;
                }
                Ok(Message::Done(outcome)) => return Ok(Some(Ok(outcome))),
                Ok(Message::Failed(failure)) => return Ok(Some(Err(failure))),
                Err(_) => group.remember(&line),
            }
        }
        Ok(None)
    }

    /// The child ended without a last message: a resource limit, or a defect.
    fn died(&self, status: ExitStatus, words: &str) -> Ended {
        use std::os::unix::process::ExitStatusExt as _;
        let signal = status.signal().and_then(Signal::from_named_raw);
        let limits = self.limits;
        if signal == Some(Signal::XFSZ) {
            return Ended::Failed(Failure::TooLarge(SizeLimit::Bytes(limits.max_bytes)));
        }
        if signal == Some(Signal::XCPU) {
            return Ended::Failed(Failure::TimedOut(TimeLimit::Total(limits.wall_clock)));
        }
        // What the standard library says before it aborts because an allocation failed.
        if signal == Some(Signal::ABORT) && words.contains("memory allocation of") {
            return Ended::Failed(Failure::TooLarge(SizeLimit::Memory(
                limits.max_memory_bytes,
            )));
        }
        Ended::broken(&format!("the Git child ended with {status}"), words)
    }
}

/// The child and everything that it started; dropping it kills them.
struct Group {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    words: VecDeque<String>,
}

impl Group {
    fn start(program: &ChildProgram, lock: &Lock) -> Result<Self, Ended> {
        let lock = lock
            .share()
            .map_err(|error| Ended::broken("sharing the lock", error))?;
        let mut command = Command::from(process::git_child(program));
        // Standard error carries the lock: see `take_lock` in the child.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(lock))
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| Ended::broken("starting the Git child", error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Ended::broken("starting the Git child", "it has no pipes"));
        };
        Ok(Self {
            child,
            stdin,
            lines: BufReader::new(stdout).lines(),
            words: VecDeque::new(),
        })
    }

    /// Sends one line. A child that is gone does not hear it, and its end is noticed by reading.
    async fn send(&mut self, mut line: String) {
        line.push('\n');
        let _ = self.stdin.write_all(line.as_bytes()).await;
    }

    /// Keeps what is not a message, up to a limit, the newest last.
    fn remember(&mut self, line: &str) {
        self.words
            .push_back(line.chars().take(KEPT_WORDS_BYTES / 4).collect());
        while self.words.iter().map(String::len).sum::<usize>() > KEPT_WORDS_BYTES {
            self.words.pop_front();
        }
    }

    fn words(&self) -> String {
        self.words
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Waits for a child that has said its last word; one that lingers is killed.
    async fn leave(&mut self) -> io::Result<ExitStatus> {
        const LONGEST: Duration = Duration::from_millis(500);
        match tokio::time::timeout(LONGEST, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => self.end().await,
        }
    }

    /// Kills the child with all that it started, and waits for it.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.child.wait().await
    }

    /// Kills the whole process group, while the child is not reaped and its id still its own.
    fn kill(&self) {
        let id = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a failure of the child means for the caller.
pub(crate) fn to_error(failure: Failure, url: &RemoteUrl) -> RepoError {
    let remote = url.host().unwrap_or("this machine").to_owned();
    match failure {
        Failure::Unavailable(text) => RepoError::Unavailable {
            remote,
            cause: Cause::new(text),
        },
        Failure::AddressRefused => RepoError::AddressRefused { remote },
        Failure::NotFound(text) => RepoError::NotFound {
            remote,
            cause: Cause::new(text),
        },
        Failure::Redirected => RepoError::Redirected { remote },
        Failure::Auth(advice, text) => RepoError::AuthFailed {
            remote,
            advice,
            cause: Cause::new(text),
        },
        Failure::TimedOut(limit) => RepoError::TimedOut { remote, limit },
        Failure::TooLarge(limit) => RepoError::TooLarge { remote, limit },
        Failure::DiskFull => RepoError::DiskFull,
        Failure::Corrupt(text) => RepoError::Corrupt {
            cause: Cause::new(text),
        },
        Failure::RefNotFound(reference) => RepoError::RefNotFound { reference },
        Failure::ToolMissing(tool) => RepoError::ToolMissing { tool },
        Failure::Local(text) => RepoError::Cache {
            doing: "Git work",
            cause: Cause::new(text),
        },
    }
}
