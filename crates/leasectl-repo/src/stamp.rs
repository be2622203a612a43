//! The stamp: what a healthy clone looks like from outside.
//!
//! gix opens a clone whose packs are gone and even verifies it as healthy, so names, sizes and
//! times, written when the clone was known to be good, are what proves that its objects are there.
//! Checking it takes a handful of `stat` calls.
//!
//! **Invariant:** the stamp is written before references are published and then accepts both the
//! old and the new version of them. A crash anywhere leaves a clone that fits its stamp.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{cache::RecloneReason, layout};

/// Name of the stamp inside the clone.
const FILE: &str = "leasectl-stamp.json";
/// Raised when stamps of older versions must not be trusted any more.
const VERSION: u32 = 1;

/// Size and modification time: enough to notice truncation, replacement and most rot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Print {
    size: u64,
    mtime_s: i64,
    mtime_ns: i64,
}

impl Print {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Self {
            size: meta.size(),
            mtime_s: meta.mtime(),
            mtime_ns: meta.mtime_nsec(),
        })
    }
}

/// One file in `objects/pack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PackFile {
    name: String,
    print: Print,
}

/// The stamp itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    version: u32,
    url: String,
    packs: Vec<PackFile>,
    head: Vec<Print>,
    packed_refs: Vec<Print>,
    config: Print,
}

impl Stamp {
    /// Describes the clone in `dir` as it is, expecting the given next versions of HEAD and of the
    /// packed references as well.
    ///
    /// Packs that the stamp before this one vouched for stay as they were then: looked at anew, one
    /// that was damaged or deleted since would pass for healthy from now on.
    pub(crate) fn take(dir: &Path, url: &str, next: &[(Published, Print)]) -> io::Result<Self> {
        let mut packs = Self::read(dir).map_or_else(|_| Vec::new(), |former| former.packs);
        for entry in fs::read_dir(pack_dir(dir))? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && is_pack_file(&name)
                && !packs.iter().any(|pack| pack.name == name)
            {
                packs.push(PackFile {
                    print: Print::of(&entry.path())?,
                    name,
                });
            }
        }
        packs.sort_by(|a, b| a.name.cmp(&b.name));
        let accepted = |what: Published| -> io::Result<Vec<Print>> {
            let current = match Print::of(&dir.join(what.file())) {
                Ok(print) => Some(print),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
            let next = next
                .iter()
                .filter(|(which, _)| *which == what)
                .map(|(_, print)| *print);
            Ok(current.into_iter().chain(next).collect())
        };
        Ok(Self {
            version: VERSION,
            url: url.to_owned(),
            packs,
            head: accepted(Published::Head)?,
            packed_refs: accepted(Published::PackedRefs)?,
            config: Print::of(&dir.join("config"))?,
        })
    }

    /// Vouches no more for packs that are gone: after they were joined, that is as it should be.
    pub(crate) fn without_missing_packs(mut self, dir: &Path) -> Self {
        let packs = pack_dir(dir);
        self.packs
            .retain(|pack| fs::symlink_metadata(packs.join(&pack.name)).is_ok());
        self
    }

    /// Puts the stamp into the clone, in one step.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        layout::replace_synced(&path(dir), &text)
    }

    /// Reads the stamp of the clone in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, RecloneReason> {
        let text = match fs::read(path(dir)) {
            Ok(text) => text,
            Err(_) if fs::symlink_metadata(dir).is_err() => return Err(RecloneReason::Missing),
            Err(_) => return Err(RecloneReason::Unfinished),
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(stamp) if stamp.version == VERSION => Ok(stamp),
            Ok(_) | Err(_) => Err(RecloneReason::Unfinished),
        }
    }

    /// Compares the clone in `dir` with the stamp.
    pub(crate) fn check(&self, dir: &Path, url: &str) -> Result<(), RecloneReason> {
        if self.url != url {
            return Err(RecloneReason::OtherRemote);
        }
        if !self.fits_packs(dir) {
            return Err(RecloneReason::DamagedPack);
        }
        if !accepts(&self.head, &dir.join(Published::Head.file())) {
            return Err(RecloneReason::DamagedHead);
        }
        if !accepts(&self.packed_refs, &dir.join(Published::PackedRefs.file())) {
            return Err(RecloneReason::DamagedRefs);
        }
        let is_dir = |name: &str| fs::symlink_metadata(dir.join(name)).is_ok_and(|m| m.is_dir());
        if Print::of(&dir.join("config")).ok() != Some(self.config)
            || !is_dir("refs")
            || (self.packs.is_empty() && !is_dir("objects/pack"))
        {
            return Err(RecloneReason::DamagedLayout);
        }
        Ok(())
    }

    /// Whether all packs that it vouches for are in the clone as they were.
    pub(crate) fn fits_packs(&self, dir: &Path) -> bool {
        let packs = pack_dir(dir);
        let mut file = PathBuf::new();
        self.packs.iter().all(|pack| {
            file.clone_from(&packs);
            file.push(&pack.name);
            Print::of(&file).ok() == Some(pack.print)
        })
    }

    /// Whether the stamp vouches for this file of `objects/pack`.
    pub(crate) fn knows_pack(&self, name: &str) -> bool {
        self.packs.iter().any(|pack| pack.name == name)
    }
}

/// What is published by renaming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    Head,
    PackedRefs,
}

impl Published {
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Head => "HEAD",
            Self::PackedRefs => "packed-refs",
        }
    }
}

/// Where the stamp of the clone in `dir` lies.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Where the packs of the clone in `dir` lie.
pub(crate) fn pack_dir(dir: &Path) -> PathBuf {
    dir.join("objects/pack")
}

fn accepts(prints: &[Print], file: &Path) -> bool {
    Print::of(file).is_ok_and(|print| prints.contains(&print))
}

fn is_pack_file(name: &str) -> bool {
    name.starts_with("pack-") && (name.ends_with(".pack") || name.ends_with(".idx"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://example.org/a/b";

    /// A folder with the files that a stamp is about, and its stamp.
    fn stamped() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(pack_dir(dir.path())).unwrap();
        fs::create_dir(dir.path().join("refs")).unwrap();
        for file in ["HEAD", "packed-refs", "config", "objects/pack/pack-1.pack"] {
            fs::write(dir.path().join(file), "content").unwrap();
        }
        Stamp::take(dir.path(), URL, &[])
            .unwrap()
            .write(dir.path())
            .unwrap();
        dir
    }

    #[test]
    fn a_new_stamp_does_not_vouch_for_damage_since_the_last_one() {
        type Damage = fn(&Path) -> io::Result<()>;
        let damages: [Damage; 2] = [|pack| fs::write(pack, "rot"), |pack| fs::remove_file(pack)];
        for damage in damages {
            let dir = stamped();
            damage(&pack_dir(dir.path()).join("pack-1.pack")).unwrap();
            fs::write(pack_dir(dir.path()).join("pack-2.pack"), "fetched").unwrap();
            let stamp = Stamp::take(dir.path(), URL, &[]).unwrap();
            assert!(stamp.knows_pack("pack-2.pack"));
            assert_eq!(
                stamp.check(dir.path(), URL),
                Err(RecloneReason::DamagedPack)
            );
        }
    }

    #[test]
    fn packs_that_were_joined_are_forgotten() {
        let dir = stamped();
        fs::write(pack_dir(dir.path()).join("pack-2.pack"), "joined").unwrap();
        fs::remove_file(pack_dir(dir.path()).join("pack-1.pack")).unwrap();
        let stamp = Stamp::take(dir.path(), URL, &[]).unwrap();
        let stamp = stamp.without_missing_packs(dir.path());
        assert_eq!(stamp.check(dir.path(), URL), Ok(()));
        assert!(!stamp.knows_pack("pack-1.pack"));
    }
}
