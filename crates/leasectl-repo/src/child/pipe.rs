//! The remote behind a pipe: `ssh`, or `git upload-pack` on this machine.

use std::{
    io::{self, Read},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::meter::Meter;
use crate::{
    error::TimeLimit,
    process::{self, SpawnError},
    wire::Failure,
};

/// Most of what a program says on standard error that is kept for the log.
const KEPT_STDERR_BYTES: u64 = 8 * 1024;

/// A running program that speaks Git's protocol; it is killed when dropped.
pub(crate) struct Program {
    child: Child,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// What the program writes, counted and held to the limits.
pub(crate) struct Output {
    stdout: ChildStdout,
    meter: Arc<Meter>,
    program: Arc<Mutex<Program>>,
    explain: fn(&str) -> Failure,
}

/// Starts a program; `explain` makes a failure of what it said when it ends too early.
pub(crate) fn start(
    command: &mut Command,
    meter: &Arc<Meter>,
    explain: fn(&str) -> Failure,
) -> Result<(Output, ChildStdin), Failure> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = process::spawn(command).map_err(|error| match error {
        SpawnError::Missing { program } => Failure::ToolMissing(program),
        SpawnError::Failed { program, error } => Failure::Local(format!("{program}: {error}")),
    })?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Failure::Local(
            "a program was started without pipes".to_owned(),
        ));
    };
    let stderr = thread::spawn(move || keep_some(stderr));
    let program = Arc::new(Mutex::new(Program {
        child,
        stderr: Some(stderr),
    }));
    Ok((
        Output {
            stdout,
            meter: Arc::clone(meter),
            program,
            explain,
        },
        stdin,
    ))
}

impl Output {
    /// The program closed its output: fine if it ended well, else say why it did not.
    fn ended(&self) -> io::Result<usize> {
        let mut program = self.program.lock().unwrap_or_else(PoisonError::into_inner);
        let status = program.child.wait()?;
        let said = program
            .stderr
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        if status.success() {
            return Ok(0);
        }
        let said = String::from_utf8_lossy(&said);
        Err(self.meter.note((self.explain)(&said)))
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        let silence = self.meter.limits().silence;
        let timeout = Timespec::try_from(silence).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&self.stdout, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => {
                return Err(self
                    .meter
                    .note(Failure::TimedOut(TimeLimit::Silence(silence))));
            }
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let bytes = self.stdout.read(buffer)?;
        if bytes == 0 && !buffer.is_empty() {
            return self.ended();
        }
        self.meter.count(bytes, since)?;
        Ok(bytes)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end, so that the program never blocks, but keeps only the beginning.
fn keep_some(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = stderr
        .by_ref()
        .take(KEPT_STDERR_BYTES)
        .read_to_end(&mut kept);
    let _ = io::copy(&mut stderr, &mut io::sink());
    kept
}

/// Makes a failure of what ssh said. ssh ends with 255 whatever happened, so its words decide.
pub(crate) fn explain_ssh(said: &str) -> Failure {
    use crate::error::AuthAdvice;
    let has = |text: &str| said.contains(text);
    let said = || said.trim().to_owned();
    if has("Permission denied") || has("Host key verification failed") {
        Failure::Auth(AuthAdvice::Configure, said())
    } else if has("timed out") {
        Failure::Unavailable(said())
    } else if has("not appear to be a git repository") || has("not found") || has("does not exist")
    {
        Failure::NotFound(said())
    } else {
        Failure::Unavailable(said())
    }
}

/// Makes a failure of what `git upload-pack` said about a repository of this machine.
pub(crate) fn explain_upload_pack(said: &str) -> Failure {
    if said.contains("not appear to be a git repository") {
        Failure::NotFound(said.trim().to_owned())
    } else {
        Failure::Unavailable(said.trim().to_owned())
    }
}
