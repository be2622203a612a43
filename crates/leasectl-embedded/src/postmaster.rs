//! Reading `postmaster.pid`: is this cluster's server running, and how far has it come?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use rustix::process::{Pid, Signal};

use crate::account::Account;

/// What a cluster's server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerState {
    /// No server runs; a stale `postmaster.pid` may still lie there.
    Stopped,
    /// A server runs, but takes no work: starting, recovering or stopping.
    Busy(Pid),
    /// A server runs, says that it is ready, and cannot be reached: its socket was removed.
    Deaf(Pid),
    /// A server runs and takes connections.
    Ready(Pid),
}

impl ServerState {
    /// The running server's process.
    pub(crate) fn pid(self) -> Option<Pid> {
        match self {
            Self::Stopped => None,
            Self::Busy(pid) | Self::Deaf(pid) | Self::Ready(pid) => Some(pid),
        }
    }
}

/// The lines of `postmaster.pid` that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PidFile {
    pid: Pid,
    port: Option<u16>,
    socket_dir: Option<PathBuf>,
    ready: bool,
}

impl PidFile {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A standalone backend writes its pid negated.
        let pid = lines.next()?.trim().trim_start_matches('-').parse().ok()?;
        let mut lines = lines.skip(2);
        Some(Self {
            pid: Pid::from_raw(pid)?,
            port: lines.next().and_then(|line| line.trim().parse().ok()),
            socket_dir: lines
                .next()
                .filter(|line| !line.is_empty())
                .map(PathBuf::from),
            ready: lines.nth(2).is_some_and(|line| line.trim() == "ready"),
        })
    }
}

/// The path of a server's socket.
pub(crate) fn socket_path(socket_dir: &Path, port: u16) -> PathBuf {
    socket_dir.join(format!(".s.PGSQL.{port}"))
}

/// Looks at a cluster's data folder. It changes nothing.
pub(crate) fn state(data: &Path) -> ServerState {
    let Some(file) = read(data) else {
        return ServerState::Stopped;
    };
    if !is_postmaster_of(file.pid, data) {
        return ServerState::Stopped;
    }
    match (&file.socket_dir, file.port) {
        (Some(socket_dir), Some(port)) if file.ready => {
            if listens(&socket_path(socket_dir, port)) {
                ServerState::Ready(file.pid)
            } else {
                ServerState::Deaf(file.pid)
            }
        }
        _ => ServerState::Busy(file.pid),
    }
}

/// Whether a server process exists. Cheap: connects to nothing.
pub(crate) fn is_alive(data: &Path) -> bool {
    read(data).is_some_and(|file| is_postmaster_of(file.pid, data))
}

/// Whether somebody listens on a socket. Never blocks, not even on a stopped server's full queue.
fn listens(path: &Path) -> bool {
    let connect = || -> rustix::io::Result<()> {
        let address = SocketAddrUnix::new(path)?;
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        rustix::net::connect(&socket, &address)
    };
    matches!(connect(), Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS))
}

/// Where a running server's socket is, as it says itself.
pub(crate) fn socket(data: &Path) -> Option<(PathBuf, u16)> {
    let file = read(data)?;
    Some((file.socket_dir?, file.port?))
}

/// Makes a stale `postmaster.pid` harmless whose process id has been given to another program.
///
/// PostgreSQL would refuse to start. The file is not removed, because it also names the shared
/// memory by which a new server notices orphaned backends of the old one; its process id becomes
/// that of the new server's parent, which PostgreSQL knows not to be a server.
pub(crate) fn disarm_recycled_pid(data: &Path, account: &Account) -> io::Result<()> {
    let Some(file) = read(data) else {
        return Ok(());
    };
    if !exists(file.pid) || is_postmaster_of(file.pid, data) {
        return Ok(());
    }
    let path = data.join("postmaster.pid");
    let text = fs::read_to_string(&path)?;
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    tracing::warn!(
        pid = file.pid.as_raw_pid(),
        "postmaster.pid names another program's process"
    );
    account.replace_file(&path, &format!("{}\n{rest}", std::process::id()))
}

/// Sends a signal to a server.
pub(crate) fn signal(pid: Pid, signal: Signal) -> io::Result<()> {
    match rustix::process::kill_process(pid, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn read(data: &Path) -> Option<PidFile> {
    PidFile::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
}

fn exists(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid) != Err(Errno::SRCH)
}

/// Whether a process exists and, as far as the system tells, serves this data folder.
///
/// A server's working directory is its data folder. Where that cannot be read (another account, a
/// system without `/proc`), an existing process counts as the server: the careful answer.
fn is_postmaster_of(pid: Pid, data: &Path) -> bool {
    if !exists(pid) {
        return false;
    }
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_pid()));
    match (fs::read_link(process.join("cwd")), fs::canonicalize(data)) {
        (Ok(folder), Ok(data)) => folder == data,
        // A zombie has no working directory any more.
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {
            !Path::new("/proc/self").exists()
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, PidFile, ServerState, disarm_recycled_pid, state};

    const RUNNING: &str = "4711\n/data/postgres/data\n1700000000\n5432\n/data/postgres/socket\n\n  12345 6\nready   \n";

    #[test]
    fn a_running_servers_file_tells_pid_socket_and_readiness() {
        let file = PidFile::parse(RUNNING).expect("complete");
        assert_eq!(file.pid.as_raw_pid(), 4711);
        assert_eq!(file.port, Some(5432));
        assert_eq!(
            file.socket_dir.as_deref(),
            Some("/data/postgres/socket".as_ref())
        );
        assert!(file.ready);
        let starting = PidFile::parse(&RUNNING.replace("ready   ", "starting")).expect("complete");
        assert!(!starting.ready);
    }

    #[test]
    fn a_half_written_file_is_not_a_ready_server() {
        let file = PidFile::parse("4711\n/data").expect("a pid");
        assert!(!file.ready && file.port.is_none());
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn a_pid_that_belongs_to_another_program_is_not_a_server() {
        let data = tempfile::tempdir().expect("a folder");
        let path = data.path().join("postmaster.pid");
        // What started this test lives, and is no server of this folder.
        let other = std::os::unix::process::parent_id().to_string();
        let text = RUNNING.replacen("4711", &other, 1);
        std::fs::write(&path, &text).expect("written");
        if std::fs::read_link(format!("/proc/{other}/cwd")).is_err() {
            println!("SKIPPED: the working directory of the parent process cannot be read here");
            return;
        }
        assert_eq!(state(data.path()), ServerState::Stopped);
        disarm_recycled_pid(data.path(), &Account::Own).expect("rewritten");
        let after = std::fs::read_to_string(&path).expect("still there");
        assert_eq!(
            after,
            text.replacen(&other, &std::process::id().to_string(), 1)
        );
    }
}
