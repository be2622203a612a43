//! The only module that starts processes: PostgreSQL's programs, `cp`, and the scratch guardian.
//!
//! Every program gets an empty environment (no secrets, no `PG*` variables, no locale), a folder that
//! any account can enter, and a deadline.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::account::Account;

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(5);
/// How much of a failing program's output is shown.
const SHOWN_BYTES: usize = 2_000;

/// A program failed, could not start, or took too long.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The program could not be started.
    #[error("could not start {}", program.display())]
    Spawn {
        /// Its path.
        program: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The program ended with an error.
    #[error("{} failed ({status}): {output}", program.display())]
    Failed {
        /// Its path.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// The program was still running at its deadline and was killed.
    #[error("{} did not finish within {} s", program.display(), limit.as_secs())]
    TimedOut {
        /// Its path.
        program: PathBuf,
        /// The time that it had.
        limit: Duration,
    },
}

/// A program with its arguments, run as an account.
pub(crate) struct Program<'a> {
    path: &'a Path,
    command: Command,
    input: Option<&'a str>,
}

impl<'a> Program<'a> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the module that starts processes"
    )]
    pub(crate) fn new(path: &'a Path, account: &Account) -> Self {
        let mut command = Command::new(path);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir("/")
            .stdin(Stdio::null());
        if let Account::Other { uid, gid } = *account {
            // With a user id set, the standard library also drops root's supplementary groups.
            command.uid(uid).gid(gid);
        }
        Self {
            path,
            command,
            input: None,
        }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Text for the program's standard input; it must fit a pipe's buffer (4 KiB is safe anywhere).
    pub(crate) fn input(mut self, text: &'a str) -> Self {
        self.input = Some(text);
        self.command.stdin(Stdio::piped());
        self
    }

    /// Runs to the end and returns what was printed on both outputs.
    pub(crate) fn run(mut self, limit: Duration) -> Result<String, RunError> {
        let program = || self.path.to_owned();
        let spawn = |source| RunError::Spawn {
            program: program(),
            source,
        };
        // A file, not a pipe: nothing has to be drained while waiting.
        let mut output = tempfile::tempfile().map_err(spawn)?;
        self.command.stdout(output.try_clone().map_err(spawn)?);
        self.command.stderr(output.try_clone().map_err(spawn)?);
        let mut child = self.command.spawn().map_err(spawn)?;
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), self.input) {
            // A program that ends early tells why in its output and status.
            drop(stdin.write_all(text.as_bytes()));
        }
        let status = wait(&mut child, Instant::now() + limit)
            .map_err(spawn)?
            .ok_or_else(|| RunError::TimedOut {
                program: program(),
                limit,
            })?;
        let text = read_all(&mut output).map_err(spawn)?;
        if status.success() {
            return Ok(text);
        }
        Err(RunError::Failed {
            program: program(),
            status,
            output: tail(&text).to_owned(),
        })
    }

    /// Starts a server in a process group of its own, so that a terminal's Ctrl-C does not reach it.
    pub(crate) fn spawn_server(mut self, log: File) -> Result<Child, RunError> {
        let spawn = |source| RunError::Spawn {
            program: self.path.to_owned(),
            source,
        };
        let copy = log.try_clone().map_err(spawn)?;
        self.command
            .stdout(copy)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(spawn)
    }

    /// Starts a process that waits for the end of its standard input, which [`Child::stdin`] holds open.
    pub(crate) fn spawn_guardian(mut self) -> Result<Child, RunError> {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|source| RunError::Spawn {
                program: self.path.to_owned(),
                source,
            })
    }
}

/// Waits until the child ends; at the deadline it is killed, and the answer is `None`.
pub(crate) fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// Collects a server's exit status for as long as this process lives, so that it leaves no zombie.
pub(crate) fn reap(mut child: Child) {
    let thread = std::thread::Builder::new().name("postgres-reaper".into());
    if let Err(error) = thread.spawn(move || child.wait()) {
        tracing::debug!(%error, "no thread to wait for the database server");
    }
}

/// The last part of a program's output, cut at a character.
pub(crate) fn tail(text: &str) -> &str {
    let text = text.trim();
    let mut start = text.len().saturating_sub(SHOWN_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

fn read_all(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
