//! Where the Unix socket lies. Its path must be short, whatever the data directory's path is.

use std::path::{Path, PathBuf};

use crate::account::Account;

/// The longest socket path in bytes: 107 on Linux, 103 on macOS and the BSDs.
const LONGEST_PATH: usize = 103;
/// The longest name that this crate puts below a temporary folder, with the socket's own name.
const SCRATCH_BYTES: usize = "/leasectl-scratch-4294967295/s-XXXXXX/.s.PGSQL.65535".len();

/// The folder for temporary files if it is short and open enough, else `/tmp`.
pub(crate) fn short_temporary_dir(account: &Account) -> PathBuf {
    let folder = std::env::temp_dir();
    let folder = std::fs::canonicalize(&folder).unwrap_or(folder);
    let short = folder.as_os_str().len() + SCRATCH_BYTES <= LONGEST_PATH;
    if short && is_plain(&folder) && account.check_reach(&folder.join("any")).is_ok() {
        folder
    } else {
        PathBuf::from("/tmp")
    }
}

/// Whether a path needs no quoting in the server's list of socket folders.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|text| {
        text.chars()
            .all(|it| it.is_ascii_alphanumeric() || "/._-+@ ".contains(it))
    })
}
