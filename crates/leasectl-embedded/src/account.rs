//! Which operating-system account the server runs as.
//!
//! PostgreSQL refuses to run as root, so root starts it as another account and hands the folders over.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, lchown};
use std::path::{Path, PathBuf};

/// Accounts that root tries, best first.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The account that owns a cluster's files and runs its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// This process's own account, which is not root.
    Own,
    /// Another account; only root can choose it.
    Other { uid: u32, gid: u32 },
}

/// Why no account could be found to run the server, or why it cannot reach its folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// `/etc/passwd` could not be read.
    #[error("could not read /etc/passwd to find an account for the database server")]
    Passwd(#[source] io::Error),
    /// Root needs another account, and the machine has none.
    #[error(
        "the database server cannot run as root, and this machine has neither an account `postgres` nor `nobody`; create one of them"
    )]
    NoAccount,
    /// A folder above the data directory keeps the server's account out.
    #[error(
        "the database server's account (uid {uid}) cannot enter {}; choose another data directory, such as /var/lib/leasectl",
        folder.display()
    )]
    Unreachable {
        /// The folder that lacks the search permission.
        folder: PathBuf,
        /// The account's user id.
        uid: u32,
    },
    /// The cluster belongs to an account that this process cannot act as.
    #[error(
        "{} belongs to another account (uid {owner}); run as that account or choose another data directory",
        folder.display()
    )]
    Foreign {
        /// The cluster's data folder.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Ownership or permissions could not be read or changed.
    #[error("could not prepare {} for the database server", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Account {
    /// The account for a cluster that does not exist yet.
    pub(crate) fn for_new_cluster() -> Result<Self, AccountError> {
        if !is_root() {
            return Ok(Self::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(AccountError::Passwd)?;
        CANDIDATES
            .iter()
            .find_map(|name| find_in_passwd(&passwd, name))
            .ok_or(AccountError::NoAccount)
    }

    /// The account for an existing cluster: the one that owns its data folder.
    pub(crate) fn of_cluster(data: &Path) -> Result<Self, AccountError> {
        let metadata = fs::symlink_metadata(data).map_err(|source| AccountError::Io {
            folder: data.to_owned(),
            source,
        })?;
        let own = rustix::process::geteuid().as_raw();
        match metadata.uid() {
            owner if own != 0 && owner == own => Ok(Self::Own),
            owner if own == 0 && owner != 0 => Ok(Self::Other {
                uid: owner,
                gid: metadata.gid(),
            }),
            owner => Err(AccountError::Foreign {
                folder: data.to_owned(),
                owner,
            }),
        }
    }

    /// The numeric user id.
    pub(crate) fn uid(&self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// Gives a file or folder to this account.
    pub(crate) fn take(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => lchown(path, Some(*uid), Some(*gid)),
        }
    }

    /// Writes a file of the cluster: the old text or the new one, never half of it.
    ///
    /// The folder belongs to the account, so root must not follow a link that was put there.
    pub(crate) fn replace_file(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?
            .write_all(text.as_bytes())?;
        self.take(&new)?;
        fs::rename(&new, path)
    }

    /// Checks that this account may search every folder above `path`.
    pub(crate) fn check_reach(&self, path: &Path) -> Result<(), AccountError> {
        let Self::Other { uid, gid } = *self else {
            return Ok(());
        };
        for folder in path.ancestors().skip(1) {
            let metadata = fs::metadata(folder).map_err(|source| AccountError::Io {
                folder: folder.to_owned(),
                source,
            })?;
            let search = if metadata.uid() == uid {
                0o100
            } else if metadata.gid() == gid {
                0o010
            } else {
                0o001
            };
            if metadata.mode() & search == 0 {
                return Err(AccountError::Unreachable {
                    folder: folder.to_owned(),
                    uid,
                });
            }
        }
        Ok(())
    }
}

fn find_in_passwd(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?;
        let gid = fields.next()?;
        // Some systems write `nobody` as -2.
        let number = |text: &str| {
            text.parse::<u32>()
                .ok()
                .or_else(|| Some(text.parse::<i32>().ok()?.cast_unsigned()))
        };
        match (number(uid)?, number(gid)?) {
            (0, _) => None,
            (uid, gid) => Some(Account::Other { uid, gid }),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, find_in_passwd};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        nobody:*:-2:-2:Unprivileged:/var/empty:/usr/bin/false\n\
        postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn an_account_is_found_by_its_exact_name() {
        assert_eq!(
            find_in_passwd(PASSWD, "postgres"),
            Some(Account::Other { uid: 101, gid: 104 })
        );
        assert_eq!(find_in_passwd(PASSWD, "post"), None);
    }

    #[test]
    fn a_negative_user_id_is_read_as_the_system_means_it() {
        assert_eq!(
            find_in_passwd(PASSWD, "nobody"),
            Some(Account::Other {
                uid: u32::MAX - 1,
                gid: u32::MAX - 1
            })
        );
    }

    #[test]
    fn root_is_never_chosen_to_run_the_server() {
        assert_eq!(find_in_passwd(PASSWD, "root"), None);
    }
}
