//! Servers that are thrown away, for tests and benchmarks: quick to start, and never left behind.
//!
//! A new cluster is a copy of a template that is made once per user and version. A server ends with
//! its [`ScratchServer`]; when the process is killed first, a small guardian process notices the end
//! of its standard input and cleans up; when that is killed too, the next start sweeps.

mod nursery;

use std::fs;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use self::nursery::{Hatched, Nursery};
use crate::account::{Account, AccountError};
use crate::binaries::{FindError, Programs};
use crate::cluster::{Cluster, ClusterError, Mode};
use crate::config::EmbeddedOptions;
use crate::lock::ExclusiveLock;
use crate::postmaster::ServerState;
use crate::process::{self, RunError};
use crate::settings::{self, Address, NAME};
use crate::sql::{self, SqlError};

/// How long the guardian may take to remove the files.
const CLEAN_LIMIT: Duration = Duration::from_secs(30);
/// Another program may take a free port between the look and the start.
const PORT_ATTEMPTS: u32 = 3;

/// Settings that make a throw-away server quick.
const QUICK: [(&str, &str); 5] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "200"),
    ("shared_buffers", "64MB"),
    ("max_wal_size", "512MB"),
];

/// How a scratch server differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct ScratchSettings {
    durable: bool,
    tcp: bool,
    settings: Vec<(String, String)>,
}

impl ScratchSettings {
    /// Quick and not durable, on a Unix socket only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes through to the disk, as a server in production does (for benchmarks).
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Also listens on the loopback address, with a password ([`ScratchServer::tcp_url`]).
    #[must_use]
    pub fn on_tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Sets one line of `postgresql.conf`; the last one wins.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    fn lines(&self) -> Vec<(String, String)> {
        let quick = if self.durable { &[][..] } else { &QUICK[..] };
        let quick = quick
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        quick.chain(self.settings.iter().cloned()).collect()
    }
}

/// A scratch server could not be started or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// No account can run it.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// No server programs are installed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It could not be made, started or stopped.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A program that helps could not be run.
    #[error(transparent)]
    Program(#[from] RunError),
    /// It refused a statement.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The folder of all scratch servers belongs to somebody else.
    #[error("{} belongs to another account; remove it", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
    },
    /// A file could not be written.
    #[error("could not prepare {} for a scratch server", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The server has no TCP port.
    #[error("this scratch server was not started with `on_tcp`")]
    NoTcp,
}

/// A running throw-away server; dropping it stops the server and removes its files.
#[derive(Debug)]
pub struct ScratchServer {
    cluster: Cluster,
    programs: Programs,
    folder: PathBuf,
    port: u16,
    password: Option<String>,
    settings: ScratchSettings,
    databases: AtomicU32,
    /// Held over starts and stops, so that two threads cannot do both at once.
    power: Mutex<()>,
    guardian: Child,
    /// Tells the sweep of other processes that this server is in use.
    _lock: ExclusiveLock,
}

impl ScratchServer {
    /// Starts a server of its own for the caller. Blocks for some hundred milliseconds.
    ///
    /// # Errors
    /// When no server programs are installed, or the server does not start.
    pub fn start(settings: ScratchSettings) -> Result<Self, ScratchError> {
        let account = Account::for_new_cluster()?;
        let nursery = Nursery::open(account)?;
        let options = EmbeddedOptions::from_environment();
        let downloads = nursery.folder.join("programs.d");
        let programs = Programs::find(&options, &downloads, None, &nursery.account)?;
        match Self::launch_new(&nursery, &programs, &settings) {
            // A cleaner of temporary files may have taken parts of the template.
            Err(ScratchError::Cluster(ClusterError::DidNotStart { log })) => {
                tracing::warn!(log, "making the scratch template anew");
                nursery.remove_template(&programs)?;
                Self::launch_new(&nursery, &programs, &settings)
            }
            result => result,
        }
    }

    fn launch_new(
        nursery: &Nursery,
        programs: &Programs,
        settings: &ScratchSettings,
    ) -> Result<Self, ScratchError> {
        let Hatched {
            cluster,
            folder,
            guardian,
            lock,
        } = nursery.hatch(programs)?;
        let mut server = Self {
            cluster,
            programs: programs.clone(),
            folder,
            port: settings::DEFAULT_PORT,
            password: None,
            settings: settings.clone(),
            databases: AtomicU32::new(0),
            power: Mutex::new(()),
            guardian,
            _lock: lock,
        };
        if server.settings.tcp {
            server.launch_on_free_port()?;
            server.set_password()?;
        } else {
            server.launch()?;
        }
        Ok(server)
    }

    /// The URL of the database `leasectl`, over the Unix socket.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(NAME)
    }

    /// The URL of a database of this server, over the Unix socket.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        settings::socket_url(&self.folder, self.port, database)
    }

    /// The URL of a database over TCP on the loopback address, with the password.
    ///
    /// # Errors
    /// [`ScratchError::NoTcp`] unless started with [`ScratchSettings::on_tcp`].
    pub fn tcp_url(&self, database: &str) -> Result<String, ScratchError> {
        let password = self.password.as_ref().ok_or(ScratchError::NoTcp)?;
        Ok(format!(
            "postgres://{NAME}:{password}@127.0.0.1:{}/{database}",
            self.port
        ))
    }

    /// The port, of the socket's name and (when asked for) on the loopback address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.folder
    }

    /// The server's log file.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.cluster.log
    }

    /// Makes an empty database and returns its URL.
    ///
    /// # Errors
    /// When the server does not run or refuses.
    pub fn create_database(&self) -> Result<String, ScratchError> {
        self.create_database_from(&self.url_of("template1"))
    }

    /// Copies a database (its URL is given; nobody may be connected to it) and returns the copy's URL.
    ///
    /// # Errors
    /// When the server does not run or refuses.
    pub fn create_database_from(&self, template_url: &str) -> Result<String, ScratchError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("scratch_{number}");
        let template = template_url.rsplit('/').next().unwrap_or(template_url);
        let statement = format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template}""#);
        sql::execute(&self.url_of("postgres"), &statement)?;
        Ok(self.url_of(&name))
    }

    /// The server's process id, or `None` while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        Some(self.cluster.state().pid()?.as_raw_pid().cast_unsigned())
    }

    /// Stops the server; its files stay.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&self, mode: Mode) -> Result<(), ScratchError> {
        let _power = self.power.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.cluster.stop(mode)?)
    }

    /// Starts a stopped (or killed) server again, at the same address.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&self) -> Result<(), ScratchError> {
        let _power = self.power.lock().unwrap_or_else(PoisonError::into_inner);
        self.launch()
    }

    /// Stops the server and starts it again, at the same address.
    ///
    /// # Errors
    /// When it does not end or start.
    pub fn restart(&self, mode: Mode) -> Result<(), ScratchError> {
        let _power = self.power.lock().unwrap_or_else(PoisonError::into_inner);
        self.cluster.stop(mode)?;
        self.launch()
    }

    fn launch(&self) -> Result<(), ScratchError> {
        if let ServerState::Ready(_) = self.cluster.settle()? {
            return Ok(());
        }
        let address = Address {
            socket_dir: &self.folder,
            port: self.port,
            tcp: self.settings.tcp,
        };
        self.cluster
            .start(&self.programs, &address, &self.settings.lines())?;
        Ok(())
    }

    fn launch_on_free_port(&mut self) -> Result<(), ScratchError> {
        let mut attempt = 1;
        loop {
            self.port = free_port().map_err(failed(Path::new("127.0.0.1")))?;
            match self.launch() {
                Err(ScratchError::Cluster(ClusterError::DidNotStart { .. }))
                    if attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn set_password(&mut self) -> Result<(), ScratchError> {
        let password = random_hex().map_err(failed(Path::new("/dev/urandom")))?;
        let statement = format!("ALTER ROLE {NAME} PASSWORD '{password}'");
        sql::execute(&self.url_of("postgres"), &statement)?;
        self.password = Some(password);
        Ok(())
    }
}

impl Drop for ScratchServer {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.stop(Mode::Immediate) {
            tracing::warn!(%error, "a scratch server is left to its guardian");
        }
        // The end of its input tells the guardian to remove the files.
        drop(self.guardian.stdin.take());
        if let Err(error) = process::wait(&mut self.guardian, Instant::now() + CLEAN_LIMIT) {
            tracing::warn!(%error, "could not wait for a scratch server's guardian");
        }
    }
}

/// One server for the whole process, started on first use.
///
/// Its guardian ends it when the process ends, however that happens.
///
/// # Errors
/// The error of the first start, on every call.
pub fn shared() -> Result<&'static ScratchServer, &'static ScratchError> {
    static SHARED: OnceLock<Result<ScratchServer, ScratchError>> = OnceLock::new();
    SHARED
        .get_or_init(|| ScratchServer::start(ScratchSettings::new()))
        .as_ref()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ScratchError {
    let path = path.to_owned();
    move |source| ScratchError::Io { path, source }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
