//! What the caller may choose, and the only place of this crate that reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;

/// Whether the server's programs may be downloaded when none are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Downloads {
    /// A missing server is an error.
    #[default]
    Never,
    /// Downloaded once, into the data directory.
    WhenMissing,
}

/// Where to look for the server's programs.
#[derive(Debug, Clone, Default)]
pub struct EmbeddedOptions {
    /// Folder with `postgres` and `initdb` (`LEASECTL_POSTGRES_BIN`); when set, no other is tried.
    pub bin_dir: Option<PathBuf>,
    /// A list of folders in the form of `PATH`, tried before the usual distribution folders.
    pub search_path: Option<OsString>,
    /// What to do when no server is installed; never used together with [`Self::bin_dir`].
    pub downloads: Downloads,
}

impl EmbeddedOptions {
    pub(crate) fn may_download(&self) -> bool {
        self.bin_dir.is_none() && self.downloads == Downloads::WhenMissing
    }

    /// Options from `LEASECTL_POSTGRES_BIN` (when it is not empty) and `PATH`; downloads allowed.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the crate's configuration module"
    )]
    pub fn from_environment() -> Self {
        Self {
            bin_dir: std::env::var_os("LEASECTL_POSTGRES_BIN")
                .filter(|value| !value.is_empty())
                .map(PathBuf::from),
            search_path: std::env::var_os("PATH"),
            downloads: Downloads::WhenMissing,
        }
    }
}
