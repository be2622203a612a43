//! Where the Unix socket lies. Its path must be short, whatever the data directory's path is.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::cluster::make_private_dir;

/// The longest socket path in bytes: 107 on Linux, 103 on macOS and the BSDs.
const LONGEST_PATH: usize = 103;
/// The socket's own name with the longest port.
const NAME_BYTES: usize = "/.s.PGSQL.65535".len();
/// The longest folder name that this crate puts below a temporary folder.
const SCRATCH_BYTES: usize = "/leasectl-scratch-4294967295/s-XXXXXX".len();
/// Names the socket's folder when it is not the usual one.
const RECORD: &str = "socket-dir";

/// The folder for temporary files if it is short and open enough, else `/tmp`.
pub(crate) fn short_temporary_dir(account: &Account) -> PathBuf {
    let folder = std::env::temp_dir();
    let folder = fs::canonicalize(&folder).unwrap_or(folder);
    let fits = fits_socket(&folder, SCRATCH_BYTES);
    if fits && account.check_reach(&folder.join("any")).is_ok() {
        folder
    } else {
        PathBuf::from("/tmp")
    }
}

/// The private folder for the socket of the cluster below `home`, made if need be.
///
/// The usual place is `home` itself. Where that path is too long, a folder below the temporary
/// folder serves, and a file in `home` remembers it. The caller holds the gate.
pub(crate) fn choose(home: &Path, account: &Account) -> io::Result<PathBuf> {
    let usual = home.join("socket");
    if fits_socket(&usual, 0) {
        make_private_dir(&usual, account)?;
        return Ok(usual);
    }
    if let Some(folder) = recorded(home)
        && is_private_dir(&folder, account)
    {
        return Ok(folder);
    }
    let folder = tempfile::Builder::new()
        .prefix("leasectl-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(short_temporary_dir(account))?;
    account.take(folder.path())?;
    let path = folder.path().to_owned();
    fs::write(home.join(RECORD), path.as_os_str().as_encoded_bytes())?;
    Ok(folder.keep()).inspect(|_| tracing::debug!(path = %path.display(), "short socket folder"))
}

/// Removes a folder that [`choose`] made outside `home`, once the server has stopped.
pub(crate) fn forget(home: &Path, account: &Account) -> io::Result<()> {
    let Some(folder) = recorded(home) else {
        return Ok(());
    };
    if is_private_dir(&folder, account) {
        // Only an empty folder goes: the server has removed its socket.
        fs::remove_dir(&folder)?;
    }
    fs::remove_file(home.join(RECORD))
}

fn recorded(home: &Path) -> Option<PathBuf> {
    fs::read_to_string(home.join(RECORD))
        .ok()
        .map(PathBuf::from)
}

fn fits_socket(folder: &Path, below: usize) -> bool {
    folder.as_os_str().len() + below + NAME_BYTES <= LONGEST_PATH && is_plain(folder)
}

/// Whether a path needs no quoting in the server's list of socket folders.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|text| {
        text.chars()
            .all(|it| it.is_ascii_alphanumeric() || "/._-+@ ".contains(it))
    })
}

/// Whether the folder is one that only the account can enter, and no link to one.
fn is_private_dir(path: &Path, account: &Account) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == account.uid() && metadata.mode() & 0o077 == 0
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Account, choose, forget};

    #[test]
    fn a_short_data_directory_holds_its_socket() {
        let home = tempfile::tempdir_in("/tmp").expect("a folder");
        let folder = choose(home.path(), &Account::Own).expect("made");
        assert_eq!(folder, home.path().join("socket"));
    }

    #[test]
    fn a_long_data_directory_gets_a_short_folder_and_keeps_it() {
        let root = tempfile::tempdir().expect("a folder");
        let home = root.path().join("x".repeat(120));
        std::fs::create_dir(&home).expect("made");
        let folder = choose(&home, &Account::Own).expect("made");
        assert!(folder.as_os_str().len() < 80, "{}", folder.display());
        assert_eq!(choose(&home, &Account::Own).expect("found"), folder);
        forget(&home, &Account::Own).expect("removed");
        assert!(!folder.exists());
    }

    #[test]
    fn a_recorded_folder_that_others_can_enter_is_not_used() {
        let root = tempfile::tempdir().expect("a folder");
        let home = root.path().join("a,b");
        std::fs::create_dir(&home).expect("made");
        std::fs::write(home.join("socket-dir"), "/tmp").expect("written");
        let folder = choose(&home, &Account::Own).expect("made");
        assert_ne!(folder, Path::new("/tmp"));
        forget(&home, &Account::Own).expect("removed");
    }
}
