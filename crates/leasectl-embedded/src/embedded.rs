//! One server, shared by every process that needs it.
//!
//! Two lock files below `<data-dir>/postgres` decide everything. The **gate** is held while somebody
//! looks, starts or stops. **Users** is held shared by every [`Embedded`] for as long as it lives.
//! Whoever leaves takes the gate, lets go of its share, and stops the server if nobody else holds
//! one. The kernel frees the locks of a killed process, so a server that one leaves behind is
//! adopted by the next user, and stopped by the last.
//!
//! **Invariant:** nobody starts, stops or makes a cluster without holding the gate, and nobody joins
//! the users without holding it either.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::account::{self, Account, AccountError};
use crate::binaries::{self, FindError, Programs};
use crate::cluster::{Cluster, ClusterError, Mode};
use crate::config::EmbeddedOptions;
use crate::download::{self, DownloadError};
use crate::lock::{ExclusiveLock, SharedLock};
use crate::postmaster::{self, ServerState};
use crate::settings::{self, Address, DEFAULT_PORT, NAME};
use crate::socket;

/// How long another process may hold the gate: a download, a new cluster and a slow start.
const GATE_LIMIT: Duration = Duration::from_secs(900);
/// How long whoever leaves waits for the gate.
const LEAVE_LIMIT: Duration = Duration::from_secs(60);
/// Users are joined under the gate, where nobody holds them alone.
const USERS_LIMIT: Duration = Duration::from_secs(5);
/// How long [`Embedded::running`] waits for a server that is just starting.
const RUNNING_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// The embedded server could not be made available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No account can run it, or the account cannot reach the data directory.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// No suitable server programs are installed, and none may be downloaded.
    #[error(transparent)]
    Find(#[from] FindError),
    /// No suitable server programs are installed, and downloading them failed.
    #[error("{missing} (downloading it failed: {download})")]
    Download {
        /// What is missing, and how to install it.
        missing: FindError,
        /// Why the download failed.
        download: DownloadError,
    },
    /// The cluster could not be made, or its server not be started or stopped.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Another process has been starting or stopping the server for too long.
    #[error(
        "another process has held {} for {} s; look for a hanging leasectl program",
        path.display(), limit.as_secs()
    )]
    GateTimedOut {
        /// The lock file.
        path: PathBuf,
        /// The time that was waited.
        limit: Duration,
    },
    /// A file or folder could not be used.
    #[error("could not prepare {} for the embedded database", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// What became of the server when its user left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nobody else used it: it is stopped.
    Stopped,
    /// Others use it: it goes on.
    StillUsed,
}

/// A user's share of the running server; dropping the last one stops the server.
#[derive(Debug)]
pub struct Embedded {
    home: Home,
    options: EmbeddedOptions,
    account: Account,
    url: String,
    /// `None` once this user has left.
    share: Option<SharedLock>,
}

impl Embedded {
    /// Starts the server in `<data-dir>/postgres`, or joins the processes that use it already.
    ///
    /// It blocks: some tens of milliseconds to join, about 200 ms to start, some seconds to make the
    /// cluster on first use.
    ///
    /// # Errors
    /// When there are no server programs, no account to run them, or the server does not start.
    pub fn open(data_dir: &Path, options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let home = Home::make(data_dir)?;
        let _gate = home.gate(GATE_LIMIT)?;
        let alone = home.try_users()?.is_some();
        let users = home.folder.join("users.lock");
        let share = SharedLock::acquire(&users, USERS_LIMIT).map_err(failed(&users))?;
        let account = home.account()?;
        let url = home.bring_up(&options, &account, alone)?;
        Ok(Self {
            home,
            options,
            account,
            url,
            share: Some(share),
        })
    }

    /// The URL of the running server of a data directory, or `None`. Creates and starts nothing.
    #[must_use]
    pub fn running(data_dir: &Path) -> Option<String> {
        let data = std::path::absolute(data_dir).ok()?.join("postgres/data");
        let deadline = Instant::now() + RUNNING_LIMIT;
        loop {
            match postmaster::state(&data) {
                ServerState::Ready(_) => break,
                ServerState::Busy(_) if Instant::now() < deadline => std::thread::sleep(POLL),
                ServerState::Busy(_) | ServerState::Deaf(_) | ServerState::Stopped => return None,
            }
        }
        let (socket_dir, port) = postmaster::socket(&data)?;
        Some(settings::socket_url(&socket_dir, port, NAME))
    }

    /// The database's URL, over the Unix socket.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the server's process lives. Takes microseconds, so it may be asked every second.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        postmaster::is_alive(&self.home.data())
    }

    /// Starts the server again if it has died or lost its socket. Blocks, as [`Embedded::open`] does.
    ///
    /// # Errors
    /// When it does not start.
    pub fn ensure_running(&self) -> Result<(), EmbeddedError> {
        let _gate = self.home.gate(GATE_LIMIT)?;
        self.home.bring_up(&self.options, &self.account, false)?;
        Ok(())
    }

    /// Leaves, and stops the server if nobody else uses it. Dropping does the same, and logs errors.
    ///
    /// # Errors
    /// When the server does not stop in time.
    pub fn stop_if_last(mut self) -> Result<Left, EmbeddedError> {
        self.leave()
    }

    fn leave(&mut self) -> Result<Left, EmbeddedError> {
        let Some(share) = self.share.take() else {
            return Ok(Left::StillUsed);
        };
        let _gate = self.home.gate(LEAVE_LIMIT)?;
        drop(share);
        let Some(_alone) = self.home.try_users()? else {
            return Ok(Left::StillUsed);
        };
        self.home.cluster(&self.account).stop(Mode::Fast)?;
        if let Err(error) = socket::forget(&self.home.folder, &self.account) {
            tracing::debug!(%error, "the short socket folder stays");
        }
        Ok(Left::Stopped)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "the embedded database is left running");
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::Io { path, source }
}

/// `<data-dir>/postgres`: the locks, the cluster, its socket and its log.
#[derive(Debug)]
struct Home {
    folder: PathBuf,
}

impl Home {
    fn make(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let data_dir = std::path::absolute(data_dir).map_err(failed(data_dir))?;
        make_dirs(&data_dir)?;
        let data_dir = fs::canonicalize(&data_dir).map_err(failed(&data_dir))?;
        let folder = data_dir.join("postgres");
        make_dirs(&folder)?;
        Ok(Self { folder })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn account(&self) -> Result<Account, EmbeddedError> {
        let data = self.data();
        let account = match data.try_exists().map_err(failed(&data))? {
            true => Account::of_cluster(&data)?,
            false => Account::for_new_cluster()?,
        };
        account.check_reach(&data)?;
        Ok(account)
    }

    fn cluster(&self, account: &Account) -> Cluster {
        Cluster {
            data: self.data(),
            log: self.folder.join("server.log"),
            account: account.clone(),
        }
    }

    fn gate(&self, limit: Duration) -> Result<ExclusiveLock, EmbeddedError> {
        let path = self.folder.join("gate.lock");
        ExclusiveLock::acquire(&path, limit).map_err(|source| {
            if source.kind() == io::ErrorKind::TimedOut {
                EmbeddedError::GateTimedOut {
                    path: path.clone(),
                    limit,
                }
            } else {
                failed(&path)(source)
            }
        })
    }

    /// The users' lock if there are no users. The caller holds the gate.
    fn try_users(&self) -> Result<Option<ExclusiveLock>, EmbeddedError> {
        let path = self.folder.join("users.lock");
        ExclusiveLock::try_acquire(&path).map_err(failed(&path))
    }

    /// Makes the server run, whatever state it is in. The caller holds the gate.
    fn bring_up(
        &self,
        options: &EmbeddedOptions,
        account: &Account,
        alone: bool,
    ) -> Result<String, EmbeddedError> {
        let cluster = self.cluster(account);
        match cluster.settle()? {
            ServerState::Ready(pid) => {
                if !self.upgraded_programs(options, account) {
                    return self.url();
                }
                let pid = pid.as_raw_pid();
                if !alone {
                    tracing::warn!(
                        pid,
                        "the embedded database's programs were upgraded; it restarts when nobody uses it"
                    );
                    return self.url();
                }
                tracing::info!(
                    pid,
                    "restarting the embedded database: its programs were upgraded"
                );
                cluster.stop(Mode::Fast)?;
            }
            ServerState::Deaf(pid) => {
                let pid = pid.as_raw_pid();
                tracing::warn!(
                    pid,
                    "restarting the embedded database: its socket was removed"
                );
                cluster.stop(Mode::Fast)?;
            }
            ServerState::Busy(_) | ServerState::Stopped => {}
        }
        let programs = self.programs(options, account)?;
        if !cluster.data.join("PG_VERSION").exists() {
            tracing::info!(version = %programs.version, "making the embedded database");
            cluster.create(&programs, true)?;
        }
        let socket_dir = socket::choose(&self.folder, account).map_err(failed(&self.folder))?;
        let address = Address {
            socket_dir: &socket_dir,
            port: DEFAULT_PORT,
            tcp: false,
        };
        cluster.start(&programs, &address, &[])?;
        let record = self.folder.join("programs");
        let stamp = programs_stamp(&programs.bin_dir).unwrap_or_default();
        fs::write(&record, stamp).map_err(failed(&record))?;
        self.url()
    }

    fn url(&self) -> Result<String, EmbeddedError> {
        let data = self.data();
        let (socket_dir, port) = postmaster::socket(&data)
            .ok_or_else(|| failed(&data)(io::Error::other("the server has just stopped")))?;
        Ok(settings::socket_url(&socket_dir, port, NAME))
    }

    fn programs(
        &self,
        options: &EmbeddedOptions,
        account: &Account,
    ) -> Result<Programs, EmbeddedError> {
        let data = self.data();
        let needed = binaries::cluster_major(&data).map_err(failed(&data))?;
        let downloads = self.folder.join("programs.d");
        let missing = match Programs::find(options, &downloads, needed, account) {
            Ok(programs) => return Ok(programs),
            Err(missing) if options.may_download() => missing,
            Err(missing) => return Err(missing.into()),
        };
        if let Err(download) = download::install(&downloads, needed) {
            return Err(EmbeddedError::Download { missing, download });
        }
        Ok(Programs::find(options, &downloads, needed, account)?)
    }

    /// Whether the running server's programs have been replaced, and others are there to go on.
    fn upgraded_programs(&self, options: &EmbeddedOptions, account: &Account) -> bool {
        let Ok(stamp) = fs::read_to_string(self.folder.join("programs")) else {
            return false;
        };
        let bin_dir = stamp.lines().next().unwrap_or_default();
        let now = programs_stamp(Path::new(bin_dir)).unwrap_or_default();
        let data = self.data();
        let needed = binaries::cluster_major(&data).ok().flatten();
        stamp != now
            && Programs::find(options, &self.folder.join("programs.d"), needed, account).is_ok()
    }
}

/// What tells one build of the server's programs from another: place, size, time and inode.
fn programs_stamp(bin_dir: &Path) -> io::Result<String> {
    let metadata = fs::metadata(bin_dir.join("postgres"))?;
    let (size, time, inode) = (metadata.len(), metadata.mtime(), metadata.ino());
    Ok(format!("{}\n{size} {time} {inode}\n", bin_dir.display()))
}

/// Makes the missing folders of a path: private, or (for root) open to the server's account.
fn make_dirs(path: &Path) -> Result<(), EmbeddedError> {
    let mode = if account::is_root() { 0o755 } else { 0o700 };
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|folder| !folder.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(mode).create(folder) {
            // The process's umask may have taken the search permission away.
            Ok(()) => {
                fs::set_permissions(folder, Permissions::from_mode(mode)).map_err(failed(folder))?
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(folder)(error)),
        }
    }
    Ok(())
}
