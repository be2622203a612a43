//! The one module that starts programs, with an environment that holds nothing of the machine's
//! own configuration, and that signals and ends them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use crate::config;
use crate::wait::wait_until;

pub use rustix::process::Signal;

/// How long a command may take before it counts as hanging.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A program about to be started.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    shown: String,
    input: Vec<u8>,
    limit: Duration,
}

impl Invocation {
    /// That program, with a clean environment and no arguments.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        #[expect(clippy::disallowed_methods, reason = "the module that starts programs")]
        let mut command = Command::new(program);
        command.env_clear().envs(config::passed_on());
        let shown = Path::new(program)
            .file_name()
            .unwrap_or(program)
            .to_string_lossy()
            .into_owned();
        Self {
            command,
            shown,
            input: Vec::new(),
            limit: COMMAND_LIMIT,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets many.
    #[must_use]
    pub fn envs(mut self, variables: impl IntoIterator<Item = (String, OsString)>) -> Self {
        self.command.envs(variables);
        self
    }

    /// Unsets a variable.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets the directory it starts in.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Sets what it reads from its standard input; nothing, unless given.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Sets how long it may run.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, or hangs.
    #[must_use]
    #[track_caller]
    pub fn run(mut self) -> Finished {
        let mut stdin = scratch_file();
        stdin.write_all(&self.input).expect("written");
        stdin.rewind().expect("rewound");
        let mut stdout = scratch_file();
        let mut stderr = scratch_file();
        let started = Instant::now();
        let child = self
            .command
            .stdin(stdin)
            .stdout(stdout.try_clone().expect("a descriptor"))
            .stderr(stderr.try_clone().expect("a descriptor"))
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {}: {error}", self.shown));
        let mut running = Running {
            child,
            log: PathBuf::new(),
            shown: self.shown,
        };
        let what = format!("the end of {}", running.shown);
        let status = wait_until(self.limit, &what, || running.ended());
        Finished {
            shown: running.shown.clone(),
            code: status.code(),
            stdout: content(&mut stdout),
            stderr: content(&mut stderr),
            took: started.elapsed(),
        }
    }

    /// Starts it; what it writes to standard output and standard error is appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(mut self, log: &Path) -> Running {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file");
        let child = self
            .command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {}: {error}", self.shown));
        Running {
            child,
            log: log.to_owned(),
            shown: self.shown,
        }
    }
}

fn scratch_file() -> File {
    tempfile::tempfile().expect("a temporary file")
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("rewound");
    file.read_to_end(&mut bytes).expect("read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The command line.
    pub shown: String,
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// Expects that exit code.
    ///
    /// # Panics
    /// When it is another one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "`{}` ended with another code\n-- stdout:\n{}\n-- stderr:\n{}",
            self.shown,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Expects exit code 0.
    ///
    /// # Panics
    /// When it is another one.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect_code(0)
    }

    /// Standard output without the line's end.
    #[must_use]
    pub fn line(&self) -> String {
        self.stdout.trim_end().to_owned()
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "`{}` printed no JSON ({error}):\n{}",
                self.shown, self.stdout
            )
        })
    }
}

/// A program that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
    shown: String,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        if let Err(error) = kill_process(pid, signal) {
            panic!("`{}` is gone ({error}):\n{}", self.shown, self.log());
        }
    }

    /// Its exit status, once it has ended.
    ///
    /// # Panics
    /// When the kernel does not know it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our child")
    }

    /// Waits for its end; the exit code, or the negative number of the signal that ended it.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> i32 {
        let started = Instant::now();
        let what = format!("the end of {}", self.shown);
        let log = self.log.clone();
        let status = wait_until(limit + KILL_LIMIT, &what, || {
            let ended = self.ended();
            assert!(
                ended.is_some() || started.elapsed() < limit,
                "{what} did not come in {limit:?}:\n{}",
                fs::read_to_string(&log).unwrap_or_default()
            );
            ended
        });
        status
            .code()
            .unwrap_or_else(|| -status.signal().unwrap_or_default())
    }

    /// Ends it by SIGKILL and waits until it is gone.
    ///
    /// # Panics
    /// When it stays.
    #[track_caller]
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::KILL);
            self.wait(KILL_LIMIT);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if std::thread::panicking() && !self.log.as_os_str().is_empty() {
            let log = self.log();
            let start = log.len().saturating_sub(6000);
            let start = (start..=log.len())
                .find(|at| log.is_char_boundary(*at))
                .unwrap_or(0);
            #[expect(clippy::print_stderr, reason = "the test failed; this is its report")]
            {
                eprintln!("-- end of the log of `{}`:\n{}", self.shown, &log[start..]);
            }
        }
    }
}

/// The command lines of processes that name `path` in their arguments, environment or directory, or
/// have a file below it open. Git processes are only found by the last: they are told nothing else.
///
/// Used to see that nothing was left behind. Zombies have none of these and do not count.
#[must_use]
pub fn processes_naming(path: &Path) -> Vec<String> {
    let needle = path.as_os_str().as_encoded_bytes();
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    let links_to =
        |link: &Path| fs::read_link(link).is_ok_and(|to| holds(to.as_os_str().as_encoded_bytes()));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let folder = entry.path();
        let pid = entry.file_name().to_string_lossy().parse::<u32>();
        if pid.is_err() || pid == Ok(std::process::id()) {
            continue;
        }
        let arguments = fs::read(folder.join("cmdline")).unwrap_or_default();
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        let descriptors = fs::read_dir(folder.join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut links = descriptors.map(|descriptor| descriptor.path());
        if holds(&arguments)
            || holds(&environment)
            || links_to(&folder.join("cwd"))
            || links.any(|link| links_to(&link))
        {
            found.push(String::from_utf8_lossy(&arguments).replace('\0', " "));
        }
    }
    found
}
