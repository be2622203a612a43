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
    pub(crate) fn take(dir: &Path, url: &str, next: &[(Published, Print)]) -> io::Result<Self> {
        let mut packs = Vec::new();
        for entry in fs::read_dir(pack_dir(dir))? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && is_pack_file(&name)
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
        let packs = pack_dir(dir);
        let mut file = PathBuf::new();
        for pack in &self.packs {
            file.clone_from(&packs);
            file.push(&pack.name);
            if Print::of(&file).ok() != Some(pack.print) {
                return Err(RecloneReason::DamagedPack);
            }
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
