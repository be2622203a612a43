//! Files that a caller makes from what a clone holds and can make again at any time. They lie beside the
//! clone, so that they count for the disk budget and go when it is evicted.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tempfile::NamedTempFile;

use super::ReadyClone;
use crate::layout;

/// Files that are kept for one clone; the oldest go first.
const KEPT: usize = 8;

impl ReadyClone {
    /// A derived file, if it is there. Whoever wrote it may have been another release, and disks rot: the
    /// reader checks what it reads. Blocks on the disk.
    #[must_use]
    pub fn derived(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.derived_path(name)?).ok()
    }

    /// Keeps a derived file, in place of an older one of that name. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be written; nothing is lost by that but time. Also when `name` is not a bare file name.
    pub fn keep_derived(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self
            .derived_path(name)
            .ok_or(io::ErrorKind::InvalidFilename)?;
        let dir = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
        fs::create_dir_all(dir)?;
        let mut file = NamedTempFile::new_in(dir)?;
        io::Write::write_all(&mut file, content)?;
        file.persist(&path)?;
        prune(dir)
    }

    fn derived_path(&self, name: &str) -> Option<PathBuf> {
        let is_bare = Path::new(name).file_name().is_some_and(|bare| bare == name);
        is_bare.then(|| self.path().with_file_name("derived").join(name))
    }
}

/// Deletes all but the newest files, and with them what a killed writer left.
fn prune(dir: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let written = entry.metadata().and_then(|meta| meta.modified());
        files.push((written.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
    }
    files.sort_unstable_by(|one, other| other.cmp(one));
    for (_, path) in files.iter().skip(KEPT) {
        layout::remove_all(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::lock::InUse;

    fn clone_in(root: &Path) -> ReadyClone {
        let usage = InUse::mark(&root.join("use")).unwrap().unwrap();
        let clone = root.join("clone.git");
        fs::create_dir_all(&clone).unwrap();
        ReadyClone::new(Uuid::nil(), clone, usage).unwrap()
    }

    #[test]
    fn what_was_kept_is_read_again_and_the_oldest_goes() {
        let root = tempfile::tempdir().unwrap();
        let clone = clone_in(root.path());
        assert_eq!(clone.derived("a"), None);
        clone.keep_derived("a", b"first").unwrap();
        clone.keep_derived("a", b"second").unwrap();
        assert_eq!(clone.derived("a").as_deref(), Some(&b"second"[..]));
        let dir = root.path().join("derived");
        let old = fs::File::options().write(true).open(dir.join("a")).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        for number in 0..KEPT {
            clone.keep_derived(&format!("b{number}"), b"x").unwrap();
        }
        assert_eq!(clone.derived("a"), None);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), KEPT);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let clone = clone_in(root.path());
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd"] {
            assert!(clone.keep_derived(name, b"x").is_err(), "{name:?}");
            assert_eq!(clone.derived(name), None, "{name:?}");
        }
    }
}
