//! Keeping the number of packs small: every fetch with news adds one, and every look-up and every
//! check of the stamp goes through all of them.
//!
//! Only the git program can do this. Where it is missing or fails, the clone stays as it is.

use std::{fs, io, path::Path};

use crate::{
    process,
    stamp::{self, Stamp},
};

/// With more packs than this, the small ones are joined.
pub(super) const MOST_PACKS: usize = 24;

/// Joins small packs if there are many, and describes the result in a new stamp. Needs the lock.
///
/// A crash between the two leaves a clone that does not fit its stamp, and so costs one new clone.
pub(super) fn repack_if_many(dir: &Path, url: &str) -> io::Result<()> {
    let mut packs = 0;
    for entry in fs::read_dir(stamp::pack_dir(dir))? {
        packs += usize::from(
            entry?
                .path()
                .extension()
                .is_some_and(|extension| extension == "pack"),
        );
    }
    if packs <= MOST_PACKS {
        return Ok(());
    }
    if let Ok(mut git) = process::spawn(&mut process::repack(dir)) {
        git.wait()?;
    }
    // Whatever git did or did not do, this is what is there now.
    Stamp::take(dir, url, &[])?
        .without_missing_packs(dir)
        .write(dir)
}
