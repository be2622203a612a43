//! Damage to the files of a clone.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The first pack of a clone.
///
/// # Panics
/// When it has none.
#[must_use]
#[track_caller]
pub fn pack_of(clone: &Path) -> PathBuf {
    let entries = fs::read_dir(clone.join("objects/pack")).expect("the folder of the packs");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .find(|path| path.extension().is_some_and(|end| end == "pack"))
        .expect("a pack")
}

/// Overwrites the middle of a file with zeros.
///
/// # Panics
/// When it cannot be written.
#[track_caller]
pub fn zero_the_middle(path: &Path) {
    let length = fs::metadata(path).expect("a file").len();
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("a file of this test");
    let mut file = OpenOptions::new().write(true).open(path).expect("a file");
    file.seek(SeekFrom::Start(length / 3)).expect("a place");
    let zeros = vec![0; usize::try_from(length / 3).expect("a small file")];
    file.write_all(&zeros).expect("written");
}

/// The same with bits that rotted: neither the size nor the time shows it.
///
/// # Panics
/// When it cannot be written.
#[track_caller]
pub fn rot(path: &Path) {
    let seen = fs::metadata(path).expect("a file");
    let times = FileTimes::new()
        .set_modified(seen.modified().expect("a time"))
        .set_accessed(seen.accessed().expect("a time"));
    zero_the_middle(path);
    let file = File::options().write(true).open(path).expect("a file");
    file.set_times(times).expect("a time that can be set");
}
