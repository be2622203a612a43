//! What becomes of files that lose pages while they are mapped; see `leasectl_sigbus`.

use std::io;

/// From now on a pack that is cut short while this process has it mapped, or that the disk cannot read, is a
/// damaged clone for whoever reads it ([`RepoError::Corrupt`](crate::RepoError::Corrupt)), and no longer the end
/// of the process. For programs: a library leaves the signals of its process alone.
///
/// # Errors
/// When the handler of the signal cannot be installed; the process then ends as before.
pub fn survive_lost_pages() -> io::Result<()> {
    leasectl_sigbus::survive(tells_zeros)
}

/// Whether Git's reader of the file tells zeros from what was there: no entry of a pack and no compressed object
/// begins or ends with them, an index of packs that leads there leads to no entry, and no line of references has
/// them.
fn tells_zeros(name: &[u8]) -> bool {
    let is_of_packs = name.starts_with(b"pack-") || name == b"multi-pack-index";
    // A loose object is named by its id, without the two digits that name its folder.
    let is_loose = matches!(name.len(), 38 | 62) && name.iter().all(u8::is_ascii_hexdigit);
    is_of_packs || is_loose || name == b"packed-refs"
}

/// A moment after which pages may have been lost: what is not found then was perhaps there.
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
            "3c86c71b7a1e3d0f6cbd9e1f0a4f6f3c2d1b0a",
        ] {
            assert!(tells_zeros(name.as_bytes()), "{name}");
        }
        // Zeros would be an empty history, or files that nobody changed.
        for name in ["commit-graph", "index", "worker", "libc.so.6", "", "[heap]"] {
            assert!(!tells_zeros(name.as_bytes()), "{name}");
        }
    }
}
