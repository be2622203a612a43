//! One cluster: made, started, stopped. Who may do so when is decided by the callers.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::account::Account;
use crate::binaries::Programs;
use crate::postmaster::{self, ServerState};
use crate::process::{self, Program, RunError};
use crate::settings::{self, Address, NAME};

/// Making a cluster takes about two seconds; slow disks get much more.
const INIT_LIMIT: Duration = Duration::from_secs(120);
/// How long a start may take, crash recovery included.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a stop may take before the next harder way is tried.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long orphaned backends of a killed server may delay the next start.
const ORPHAN_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
/// A server log larger than this (bytes) is set aside at the next start.
const LOG_LIMIT: u64 = 16 << 20;

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Connections are ended, everything is written, the next start needs no recovery.
    Fast,
    /// As in a crash: the next start recovers from the write-ahead log.
    Immediate,
}

/// A cluster could not be made, started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A program of PostgreSQL failed.
    #[error(transparent)]
    Program(#[from] RunError),
    /// A file or folder of the cluster could not be written.
    #[error("could not prepare {} for the database server", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The server ended while it started.
    #[error("the database server did not start; its log ends with: {log}")]
    DidNotStart {
        /// The end of the server's log.
        log: String,
    },
    /// The server was not ready in time.
    #[error("the database server was not ready within {} s; its log ends with: {log}", limit.as_secs())]
    StartTimedOut {
        /// The time that it had.
        limit: Duration,
        /// The end of the server's log.
        log: String,
    },
    /// The server did not end in time.
    #[error("the database server (process {pid}) did not stop within {} s", limit.as_secs())]
    StopTimedOut {
        /// Its process id.
        pid: i32,
        /// The time that it had.
        limit: Duration,
    },
}

/// The files of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) account: Account,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    move |source| ClusterError::Io { path, source }
}

/// Makes a folder that only the account can enter; an existing one is left alone.
pub(crate) fn make_private_dir(path: &Path, account: &Account) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.take(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

impl Cluster {
    /// Makes a new cluster at `data`: complete, or not at all.
    ///
    /// The caller holds a lock that keeps others from doing the same; leftovers of a killed attempt
    /// are removed first.
    pub(crate) fn create(&self, programs: &Programs, durable: bool) -> Result<(), ClusterError> {
        let Self { data, account, .. } = self;
        let new = self.fresh_folder().map_err(failed(data))?;
        let initdb = programs.program("initdb");
        Program::new(&initdb, account)
            .arg("--pgdata")
            .arg(&new)
            .arg(format!("--username={NAME}"))
            .args([
                "--encoding=UTF8",
                "--locale=C",
                "--data-checksums",
                "--auth=trust",
            ])
            .arg("--no-sync")
            .run(INIT_LIMIT)?;
        let postgres = programs.program("postgres");
        Program::new(&postgres, account)
            .args(["--single", "-c", "fsync=off", "-D"])
            .arg(&new)
            .arg("template1")
            .input(&format!("CREATE DATABASE {NAME}\n"))
            .run(INIT_LIMIT)?;
        if durable {
            // Once, for everything: a sync after each step takes seconds on a busy disk.
            Program::new(&initdb, account)
                .args(["--sync-only", "--pgdata"])
                .arg(&new)
                .run(INIT_LIMIT)?;
        }
        fs::rename(&new, data).map_err(failed(data))?;
        if durable && let Some(parent) = data.parent() {
            File::open(parent)
                .and_then(|folder| folder.sync_all())
                .map_err(failed(parent))?;
        }
        Ok(())
    }

    /// An empty folder beside `data`, with a name that was never used: an initdb whose starter was
    /// killed may still be writing into its own. What such attempts left is removed.
    fn fresh_folder(&self) -> io::Result<PathBuf> {
        let parent = self.data.parent().unwrap_or(Path::new("/"));
        let name = self.data.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{name}.new-");
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "a leftover stays for now");
            }
        }
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        self.account.take(folder.path())?;
        Ok(folder.keep())
    }

    /// What the server is doing. Changes nothing.
    pub(crate) fn state(&self) -> ServerState {
        postmaster::state(&self.data)
    }

    /// Writes the configuration and starts the server; returns when it takes connections.
    ///
    /// The caller holds the lock that keeps others from doing the same, and has seen the server
    /// stopped.
    pub(crate) fn start(
        &self,
        programs: &Programs,
        address: &Address<'_>,
        settings: &[(String, String)],
    ) -> Result<Pid, ClusterError> {
        self.write(
            "postgresql.conf",
            &settings::postgresql_conf(address, settings),
        )?;
        self.write("pg_hba.conf", &settings::pg_hba_conf(address.tcp))?;
        make_private_dir(address.socket_dir, &self.account).map_err(failed(address.socket_dir))?;
        let socket = postmaster::socket_path(address.socket_dir, address.port);
        // Nobody else uses this folder, so what lies in it is from a server that is gone.
        drop(fs::remove_file(&socket));
        drop(fs::remove_file(
            socket.with_extension(format!("{}.lock", address.port)),
        ));
        postmaster::disarm_recycled_pid(&self.data, &self.account).map_err(failed(&self.data))?;
        let begin = Instant::now();
        loop {
            match self.try_start(programs, begin + START_LIMIT) {
                // Backends of a killed server end by themselves, a moment after it.
                Err(ClusterError::DidNotStart { log })
                    if log.contains("pre-existing shared memory block")
                        && begin.elapsed() < ORPHAN_LIMIT =>
                {
                    std::thread::sleep(Duration::from_millis(100));
                }
                result => return result,
            }
        }
    }

    fn try_start(&self, programs: &Programs, deadline: Instant) -> Result<Pid, ClusterError> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_LIMIT) {
            fs::rename(&self.log, self.log.with_extension("log.old")).map_err(failed(&self.log))?;
        }
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(failed(&self.log))?;
        let begin_of_log = log.metadata().map_err(failed(&self.log))?.len();
        let postgres = programs.program("postgres");
        let mut child = Program::new(&postgres, &self.account)
            .arg("-D")
            .arg(&self.data)
            .spawn_server(log)?;
        loop {
            if child.try_wait().map_err(failed(&postgres))?.is_some() {
                return Err(ClusterError::DidNotStart {
                    log: self.log_since(begin_of_log),
                });
            }
            match self.state() {
                ServerState::Ready(pid) if pid.as_raw_pid().cast_unsigned() == child.id() => {
                    process::reap(child);
                    return Ok(pid);
                }
                _ if Instant::now() >= deadline => {
                    // SIGKILL would leave backends behind; an immediate stop does not.
                    let pid = Pid::from_child(&child);
                    postmaster::signal(pid, Signal::QUIT).map_err(failed(&postgres))?;
                    process::wait(&mut child, Instant::now() + STOP_LIMIT)
                        .map_err(failed(&postgres))?;
                    let log = self.log_since(begin_of_log);
                    return Err(ClusterError::StartTimedOut {
                        limit: START_LIMIT,
                        log,
                    });
                }
                ServerState::Stopped
                | ServerState::Busy(_)
                | ServerState::Deaf(_)
                | ServerState::Ready(_) => std::thread::sleep(POLL),
            }
        }
    }

    /// Waits until a server that is starting or stopping has made up its mind.
    pub(crate) fn settle(&self) -> Result<ServerState, ClusterError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match self.state() {
                ServerState::Busy(_) if Instant::now() >= deadline => {
                    let log = self.log_since(0);
                    return Err(ClusterError::StartTimedOut {
                        limit: START_LIMIT,
                        log,
                    });
                }
                ServerState::Busy(_) => std::thread::sleep(POLL),
                settled @ (ServerState::Stopped | ServerState::Deaf(_) | ServerState::Ready(_)) => {
                    return Ok(settled);
                }
            }
        }
    }

    /// Stops the server, if one runs, and waits until it is gone. Needs none of its programs.
    pub(crate) fn stop(&self, mode: Mode) -> Result<(), ClusterError> {
        let ways: &[Signal] = match mode {
            Mode::Fast => &[Signal::INT, Signal::QUIT],
            Mode::Immediate => &[Signal::QUIT],
        };
        for way in ways {
            let Some(pid) = self.state().pid() else {
                return Ok(());
            };
            postmaster::signal(pid, *way).map_err(failed(&self.data))?;
            if self.wait_until_stopped(Instant::now() + STOP_LIMIT) {
                return Ok(());
            }
            tracing::warn!(
                pid = pid.as_raw_pid(),
                "the database server is slow to stop"
            );
        }
        match self.state().pid() {
            None => Ok(()),
            Some(pid) => Err(ClusterError::StopTimedOut {
                pid: pid.as_raw_pid(),
                limit: STOP_LIMIT,
            }),
        }
    }

    fn wait_until_stopped(&self, deadline: Instant) -> bool {
        while self.state() != ServerState::Stopped {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ClusterError> {
        let path = self.data.join(name);
        self.account
            .replace_file(&path, text)
            .map_err(failed(&path))
    }

    fn log_since(&self, begin: u64) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let begin = usize::try_from(begin).unwrap_or(0).min(bytes.len());
        process::tail(&String::from_utf8_lossy(&bytes[begin..])).to_owned()
    }
}
