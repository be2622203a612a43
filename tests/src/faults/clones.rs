//! Faults of the caches: files of clones vanish, are cut short, rot, or are left behind.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::record::CloneSeen;
use super::world::World;
use crate::git::Origin;

/// One clone, whatever follows it at its path.
type Identity = (PathBuf, u64, Option<SystemTime>);

/// What was done to clones, and what they looked like.
#[derive(Debug, Default)]
pub(super) struct Clones {
    damaged: BTreeSet<Identity>,
    seen: Vec<CloneSeen>,
}

impl Clones {
    pub(super) fn seen(&self) -> Vec<CloneSeen> {
        self.seen.clone()
    }
}

impl World {
    /// Damages a clone, which may be in use or in the making at this moment.
    pub(super) fn damage_clone(&mut self) {
        let number = self.dice.roll(self.members.len());
        let source = self.dice.roll(self.sources.len());
        let folder = self.members[number]
            .repos_dir()
            .join(&self.sources[source].id);
        let clone = folder.join("clone.git");
        let Some(identity) = identity(&clone) else {
            return;
        };
        let (kind, is_harmful): (_, fn(&Path) -> Option<()>) = match self.dice.roll(9) {
            0 => ("clone deleted", |clone| fs::remove_dir_all(clone).ok()),
            1 => ("cache of a repository deleted", |clone| {
                fs::remove_dir_all(clone.parent()?).ok()
            }),
            2 => ("pack truncated", |clone| {
                let pack = pack(clone)?;
                let length = fs::metadata(&pack).ok()?.len();
                OpenOptions::new()
                    .write(true)
                    .open(pack)
                    .ok()?
                    .set_len(length / 2)
                    .ok()
            }),
            3 => ("pack deleted", |clone| fs::remove_file(pack(clone)?).ok()),
            4 => ("pack zeroed in the middle", |clone| zero(&pack(clone)?)),
            5 => ("HEAD missing", |clone| {
                fs::remove_file(clone.join("HEAD")).ok()
            }),
            6 => ("packed-refs emptied", |clone| {
                let refs = OpenOptions::new()
                    .write(true)
                    .open(clone.join("packed-refs"));
                refs.ok()?.set_len(0).ok()
            }),
            7 => ("stale lock files", |clone| {
                fs::write(clone.join("packed-refs.lock"), "").ok()?;
                fs::write(clone.join("HEAD.lock"), "").ok()
            }),
            _ => ("stale temporaries", |clone| {
                let left = clone.parent()?.join("new-stale");
                fs::create_dir_all(&left).ok()?;
                fs::write(left.join("pack"), [0; 1_000]).ok()?;
                fs::write(clone.join("objects/pack/tmp_pack_stale"), [0; 1_000]).ok()
            }),
        };
        // Noted first: half of a damage is damage.
        self.clones.damaged.insert(identity);
        if is_harmful(&clone).is_some() {
            self.tally.count(kind);
        }
    }

    /// Looks whether a clone that nothing was done to is complete.
    pub(super) fn look_at_a_clone(&mut self) {
        let source = self.dice.roll(self.sources.len());
        let clone = self
            .shared_dir()
            .join(&self.sources[source].id)
            .join("clone.git");
        let Some(before) = identity(&clone) else {
            return;
        };
        if self.clones.damaged.contains(&before) {
            return;
        }
        let fault = fault_of(&clone);
        // It may have been replaced meanwhile.
        if identity(&clone) == Some(before) {
            self.clones.seen.push(CloneSeen {
                path: clone.display().to_string(),
                fault,
            });
        }
    }

    /// Fills the small disk.
    pub(super) fn fill_disk(&mut self) -> bool {
        let Some(disk) = &self.small_disk else {
            return false;
        };
        let ballast = OpenOptions::new()
            .create(true)
            .append(true)
            .open(disk.path().join("ballast"));
        let Ok(mut ballast) = ballast else {
            return false;
        };
        while ballast.write_all(&[0; 16 * 1024]).is_ok() {}
        self.tally.count("disk full");
        true
    }
}

/// Why a clone is not whole.
pub(super) fn fault_of(clone: &Path) -> Option<String> {
    let checked = Origin::at(clone).try_git(&["fsck", "--full", "--no-dangling"]);
    let is_whole = checked.code == Some(0);
    (!is_whole).then(|| checked.stderr.trim().to_owned())
}

fn identity(clone: &Path) -> Option<Identity> {
    let meta = fs::symlink_metadata(clone).ok()?;
    Some((clone.to_owned(), meta.ino(), meta.created().ok()))
}

fn pack(clone: &Path) -> Option<PathBuf> {
    let packs = fs::read_dir(clone.join("objects/pack")).ok()?.flatten();
    let mut packs = packs.map(|entry| entry.path());
    let pack = packs.find(|path| path.extension().is_some_and(|end| end == "pack"))?;
    fs::set_permissions(&pack, Permissions::from_mode(0o644)).ok()?;
    Some(pack)
}

fn zero(path: &Path) -> Option<()> {
    let length = fs::metadata(path).ok()?.len();
    let mut file = OpenOptions::new().write(true).open(path).ok()?;
    file.seek(SeekFrom::Start(length / 3)).ok()?;
    let zeros = vec![0; usize::try_from(length / 3).ok()?];
    file.write_all(&zeros).ok()
}
