//! What becomes of files that lose pages while they are mapped; see `leasectl_sigbus`.

use std::io;
use std::path::Path;

use crate::stamp::Stamp;

/// From now on a pack that is cut short while this process has it mapped, or that the disk cannot read, is a
/// damaged clone for whoever reads it ([`RepoError::Corrupt`](crate::RepoError::Corrupt)), and no longer the end
/// of the process. For programs: a library leaves the signals of its process alone.
///
/// # Errors
/// When the handler of the signal cannot be installed; the process then ends as before.
pub fn survive_lost_pages() -> io::Result<()> {
    leasectl_sigbus::survive(tells_zeros)
}

/// Whether Git's reader of the file tells zeros from what was there: no entry of a pack begins with them, each has to
/// end where it says and with its checksum, an index of packs leads to no entry there, and no line of references
/// has them. A loose object's reader stops at its length, so it could take zeros for content.
fn tells_zeros(name: &[u8]) -> bool {
    name.starts_with(b"pack-") || name == b"multi-pack-index" || name == b"packed-refs"
}

/// A moment after which pages may have been lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since(u64);

impl Since {
    pub(crate) fn now() -> Self {
        Self(leasectl_sigbus::lost())
    }

    /// Whether this process lost pages since, of this clone or another.
    pub(crate) fn has_lost(self) -> bool {
        leasectl_sigbus::lost() != self.0
    }
}

/// Reads through maps that are made now what older ones deny. What is left of those may be zeros, by which nothing is
/// found; where the kernel filled up the last page of what is left of a file, it has not even been counted. The
/// answer counts only if nothing is lost now either: gix passes over an index of a pack that it cannot read.
///
/// # Errors
/// Those of the reading; and that the repository is damaged.
pub(crate) fn anew<T, E>(
    repo: &gix::Repository,
    of_git: impl Fn(gix::Error) -> E,
    read: impl FnOnce(gix::Repository) -> Result<T, E>,
) -> Result<T, E> {
    let opened = Since::now();
    let mut anew = repo.clone();
    anew.reload().map_err(&of_git)?;
    let read = read(anew);
    if opened.has_lost() || !has_its_packs(repo.git_dir()) {
        let lost = io::Error::other("packs are not what they were");
        return Err(of_git(gix::Error::from_error(lost)));
    }
    read
}

/// Whether the repository really does not have an object that was not found in it.
///
/// # Errors
/// When that cannot be told.
pub(crate) fn lacks(repo: &gix::Repository, id: &gix::oid) -> gix::Result<bool> {
    let found = anew(repo, |error| error, |anew| anew.try_find_header(id));
    Ok(found?.is_none())
}

/// Whether the packs of a clone are those of its stamp; other repositories have none.
fn has_its_packs(dir: &Path) -> bool {
    // Somebody who joins packs writes the stamp meanwhile.
    const LOOKS: usize = 2;
    (0..LOOKS).any(|_| Stamp::read(dir).map_or(true, |stamp| stamp.fits_packs(dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_whose_readers_find_zeros_are_covered_and_no_others() {
        let pack = "pack-9f3c86c71b7a1e3d0f6cbd9e1f0a4f6f3c2d1b0a";
        for name in [
            &format!("{pack}.pack"),
            &format!("{pack}.idx"),
            "multi-pack-index",
            "packed-refs",
        ] {
            assert!(tells_zeros(name.as_bytes()), "{name}");
        }
        // Zeros would be an empty history, files that nobody changed, or the end of a loose object.
        let loose = "3c86c71b7a1e3d0f6cbd9e1f0a4f6f3c2d1b0a";
        for name in ["commit-graph", "index", loose, "worker", "libc.so.6", ""] {
            assert!(!tells_zeros(name.as_bytes()), "{name}");
        }
    }
}
