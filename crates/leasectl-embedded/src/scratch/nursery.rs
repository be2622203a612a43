//! The folder of one user's scratch servers: the template, and what killed processes left.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use super::{ScratchError, failed};
use crate::account::{self, Account};
use crate::binaries::Programs;
use crate::cluster::{Cluster, Mode};
use crate::lock::ExclusiveLock;
use crate::process::Program;
use crate::socket;

/// How long another process may take to make the template or to sweep.
const GATE_LIMIT: Duration = Duration::from_secs(180);
const COPY_LIMIT: Duration = Duration::from_secs(60);

/// `$1` is the server's folder. It never signals a process that is not this cluster's server.
const GUARDIAN: &str = r#"
trap '' HUP INT TERM
while read -r line; do :; done
pidfile="$1/data/postmaster.pid"
if [ -r "$pidfile" ] && read -r pid < "$pidfile"; then
    if [ ! -e /proc/self ] || [ "$(readlink "/proc/$pid/cwd")" = "$1/data" ]; then
        kill -QUIT "$pid"
        turns=100
        while [ -e "$pidfile" ] && [ "$turns" -gt 0 ]; do sleep 0.1; turns=$((turns - 1)); done
        [ ! -e "$pidfile" ] || kill -KILL "$pid"
    fi
fi
rm -rf "$1"
"#;

/// A stopped scratch server, and what keeps it from being swept.
pub(super) struct Hatched {
    pub(super) cluster: Cluster,
    pub(super) folder: PathBuf,
    pub(super) guardian: Child,
    pub(super) lock: ExclusiveLock,
}

/// The folder of all scratch servers of one user.
pub(super) struct Nursery {
    pub(super) folder: PathBuf,
    pub(super) account: Account,
}

impl Nursery {
    pub(super) fn open(account: Account) -> Result<Self, ScratchError> {
        let own_uid = rustix::process::geteuid().as_raw();
        let name = format!("leasectl-scratch-{own_uid}");
        let temporary = socket::short_temporary_dir(&account);
        let folder = temporary.join(name);
        // The server's account only has to pass through.
        let mode = if account::is_root() { 0o711 } else { 0o700 };
        match DirBuilder::new().mode(mode).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&folder)(error));
            }
            _ => {}
        }
        let metadata = fs::symlink_metadata(&folder).map_err(failed(&folder))?;
        if !metadata.is_dir() || metadata.uid() != own_uid {
            return Err(ScratchError::Foreign { folder });
        }
        let folder = fs::canonicalize(&folder).map_err(failed(&folder))?;
        Ok(Self { folder, account })
    }

    /// Locks out other processes that make the template, sweep, or start a server.
    fn gate(&self) -> Result<ExclusiveLock, ScratchError> {
        let path = self.folder.join("gate");
        ExclusiveLock::acquire(&path, GATE_LIMIT).map_err(failed(&path))
    }

    fn template(&self, programs: &Programs) -> Cluster {
        let name = format!("template-{}", programs.version).replace('.', "_");
        Cluster {
            data: self.folder.join(name),
            log: self.folder.join("template.log"),
            account: self.account.clone(),
        }
    }

    pub(super) fn remove_template(&self, programs: &Programs) -> Result<(), ScratchError> {
        let _gate = self.gate()?;
        let data = self.template(programs).data;
        fs::remove_dir_all(&data).map_err(failed(&data))
    }

    /// Makes a stopped server of the template's content, in a folder of its own, with a guardian.
    pub(super) fn hatch(&self, programs: &Programs) -> Result<Hatched, ScratchError> {
        let gate = self.gate()?;
        self.sweep();
        let template = self.template(programs);
        if !template.data.join("PG_VERSION").exists() {
            template.create(programs, false)?;
        }
        let folder = tempfile::Builder::new()
            .prefix("s-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&self.folder)
            .map_err(failed(&self.folder))?
            .keep();
        self.account.take(&folder).map_err(failed(&folder))?;
        let lock_path = folder.join("lock");
        let lock = ExclusiveLock::acquire(&lock_path, GATE_LIMIT).map_err(failed(&lock_path))?;
        drop(gate);
        let guardian = Program::new(Path::new("/bin/sh"), &Account::Own)
            .args(["-c", GUARDIAN, "leasectl-guardian"])
            .arg(&folder)
            .spawn_guardian()?;
        let cluster = self.cluster(&folder);
        Program::new(Path::new("cp"), &self.account)
            .arg("-R")
            .arg(&template.data)
            .arg(&cluster.data)
            .run(COPY_LIMIT)?;
        Ok(Hatched {
            cluster,
            folder,
            guardian,
            lock,
        })
    }

    fn cluster(&self, folder: &Path) -> Cluster {
        Cluster {
            data: folder.join("data"),
            log: folder.join("server.log"),
            account: self.account.clone(),
        }
    }

    /// Ends servers and removes folders whose owner is gone. The caller holds the gate.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let folders = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("s-"))
            .map(|entry| entry.path());
        for folder in folders {
            // The guardian may be at it as well, so errors mean nothing here.
            let Ok(Some(_lock)) = ExclusiveLock::try_acquire(&folder.join("lock")) else {
                continue;
            };
            if let Err(error) = self.cluster(&folder).stop(Mode::Immediate) {
                tracing::warn!(%error, "could not stop a stale scratch server");
                continue;
            }
            drop(fs::remove_dir_all(&folder));
        }
    }
}
