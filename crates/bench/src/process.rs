//! The processes that scenarios start; nothing else here spawns any.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};

use crate::cli::{FetchWorker, IndexWorker, PipelineOptions};
use crate::error::BenchError;

pub(crate) use rustix::process::Signal;

/// How long a worker may take to drain.
const END_LIMIT: Duration = Duration::from_secs(40);

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    program: &'static str,
}

impl Process {
    /// Its id; 0 once it has been waited for.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Sends it a signal; it returns before the signal has an effect.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), BenchError> {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// Ends it by SIGKILL, whatever state it is in, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), BenchError> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to end and waits until it did.
    pub(crate) async fn end(self) -> Result<(), BenchError> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(mut self) -> Result<(), BenchError> {
        let ended = tokio::time::timeout(END_LIMIT, self.child.wait()).await;
        let status = ended.map_err(|_elapsed| BenchError::TooLate {
            what: "the end of a process",
            seconds: END_LIMIT.as_secs(),
        })??;
        if status.success() {
            return Ok(());
        }
        Err(BenchError::Program {
            program: self.program.to_owned(),
            status: status.to_string(),
            output: "see above".to_owned(),
        })
    }
}

/// Starts this program again as a worker whose handler does nothing.
pub(crate) fn noop_worker(
    url: &str,
    pipeline: PipelineOptions,
    tell: Option<&Path>,
) -> Result<Process, BenchError> {
    let mut command = command(std::env::current_exe()?.as_os_str());
    command.args(["noop-worker", "--url", url]);
    command.arg(format!("--concurrency={}", pipeline.concurrency));
    command.arg(format!("--batch={}", pipeline.batch));
    command.arg(format!("--settlers={}", pipeline.settlers));
    if let Some(path) = tell {
        command.arg("--tell").arg(path);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    Ok(Process {
        child,
        program: "the no-op worker",
    })
}

/// Starts this program again as a worker that fetches.
pub(crate) fn fetch_worker(arguments: &FetchWorker) -> Result<Process, BenchError> {
    let mut command = command(std::env::current_exe()?.as_os_str());
    command.args(["fetch-worker", "--url", &arguments.url]);
    command.args(["--name", &arguments.name]);
    command.arg("--folder").arg(&arguments.folder);
    command.arg("--tell").arg(&arguments.tell);
    command.arg(format!("--concurrency={}", arguments.concurrency));
    command.arg(format!("--drain-timeout-ms={}", arguments.drain_timeout_ms));
    if arguments.no_death_signal {
        command.arg("--no-death-signal");
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    Ok(Process {
        child,
        program: "the fetching worker",
    })
}

/// Starts this program again as a worker that fetches, indexes and backfills.
pub(crate) fn index_worker(arguments: &IndexWorker) -> Result<Process, BenchError> {
    let mut command = command(std::env::current_exe()?.as_os_str());
    command.args(["index-worker", "--url", &arguments.url]);
    command.arg("--folder").arg(&arguments.folder);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    Ok(Process {
        child,
        program: "the indexing worker",
    })
}

/// Starts this program again as the peer's worker.
#[cfg(feature = "peers")]
pub(crate) fn peer_worker(url: &str, jobs: usize, tell: &Path) -> Result<Process, BenchError> {
    let mut command = command(std::env::current_exe()?.as_os_str());
    command.args(["peer-worker", "--url", url]);
    command.arg(format!("--jobs={jobs}"));
    command.arg("--tell").arg(tell);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    Ok(Process {
        child,
        program: "the peer's worker",
    })
}

/// Starts this program again as the HTTP service, on that address, with these variables.
pub(crate) fn api_service(
    url: &str,
    listen: SocketAddr,
    variables: &[(&str, &str)],
) -> Result<Process, BenchError> {
    let mut command = command(std::env::current_exe()?.as_os_str());
    command.args([
        "api-service",
        "--database-url",
        url,
        "--listen",
        &listen.to_string(),
    ]);
    // Only what goes wrong: a line per request would go through the benchmark's terminal.
    command.env("RUST_LOG", "warn");
    command.envs(variables.iter().copied());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    Ok(Process {
        child,
        program: "the HTTP service",
    })
}

/// Runs a program to its end and answers its standard output; nothing when it is not installed.
pub(crate) async fn output<I, S>(program: &str, arguments: I) -> Result<Option<String>, BenchError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let output = command(OsStr::new(program))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await;
    let output = match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    finished(program, output).map(Some)
}

/// Runs `git` with the user's and the system's configuration out of the way.
pub(crate) async fn git<I, S>(arguments: I) -> Result<String, BenchError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let output = output("git", arguments).await?;
    output.ok_or_else(|| BenchError::Unexpected("git is not installed".to_owned()))
}

/// Has `git fast-import` read that file into a repository.
pub(crate) async fn git_import(repository: &Path, stream: File) -> Result<(), BenchError> {
    let mut command = command(OsStr::new("git"));
    command.arg("-C").arg(repository);
    command.args(["fast-import", "--quiet"]).stdin(stream);
    finished("git fast-import", command.output().await?)?;
    Ok(())
}

/// Has `git` store a file as a blob; answers its id.
pub(crate) async fn git_hash(repository: &Path, content: File) -> Result<String, BenchError> {
    let mut command = command(OsStr::new("git"));
    command.arg("-C").arg(repository);
    command
        .args(["hash-object", "-w", "--stdin"])
        .stdin(content);
    let text = finished("git hash-object", command.output().await?)?;
    Ok(text.trim().to_owned())
}

fn finished(program: &str, output: Output) -> Result<String, BenchError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(BenchError::Program {
        program: program.to_owned(),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one module that starts processes"
)]
fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .kill_on_drop(true);
    command
}
