//! Which directories of a tree are not in the index yet, and what is in them.
//!
//! The walk goes down level by level and asks at each which directories are there: below those nothing is
//! read. So it costs what the tree differs by from the trees that were indexed before.

use std::collections::{HashMap, HashSet};

use leasectl_core::index::{Context, DirId, EntryName, ObjectId};
use leasectl_index::{Attributes, MAX_FILE_BYTES, SkipReason, classify};
use leasectl_repo::bstr::{BString, ByteSlice as _};
use leasectl_repo::{AttributeRules, DirEntry, EntryKind, Handle, ObjectId as GitId, RepoError};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::facts::ByPath;

/// The most directories, and files, of one walk; a tree in which a few directories name each other often can
/// stand for any number.
const MAX_ENTRIES: usize = 1_000_000;

/// The longest path, in bytes, as most systems have it; it bounds the depth too.
const MAX_PATH_BYTES: usize = 4_096;

/// A directory as it is treated: the tree object, and what is decided above it.
pub(super) type DirKey = (ObjectId, Context);

/// A directory that is looked at next.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: DirKey,
    tree: GitId,
    /// From the root, without a slash at the end.
    path: BString,
    rules: AttributeRules,
}

/// A directory that is not in the index yet.
#[derive(Debug)]
pub(super) struct UnknownDir {
    pub(super) key: DirKey,
    pub(super) files: Vec<TreeFile>,
    pub(super) dirs: Vec<(EntryName, DirKey)>,
}

/// A file of such a directory.
#[derive(Debug)]
pub(super) struct TreeFile {
    pub(super) name: EntryName,
    pub(super) blob: GitId,
    pub(super) by_path: ByPath,
}

/// What a walk has found so far.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The directories that are there.
    pub(super) known: HashMap<DirKey, DirId>,
    /// Those that are not, from the root down.
    pub(super) levels: Vec<Vec<UnknownDir>>,
    seen: HashSet<DirKey>,
    files: usize,
}

/// The tree cannot be walked.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    /// It has more directories or files than are indexed.
    #[error("the tree has more than {MAX_ENTRIES} directories or files")]
    TooLarge,
    /// It has a path that no system would check out.
    #[error("the tree has a path of more than {MAX_PATH_BYTES} bytes")]
    TooDeep,
    /// A name in it is none.
    #[error("the tree holds a name that is empty, too long, or has a slash in it")]
    BadName,
    /// The job was asked to stop.
    #[error("the job was asked to stop")]
    Stopped,
    /// It cannot be read.
    #[error(transparent)]
    Repo(#[from] RepoError),
}

impl Walk {
    /// A walk that has found nothing, and where it begins.
    pub(super) fn from(root: GitId) -> Result<(Self, Vec<Place>), WalkError> {
        let place = Place {
            key: (object(root)?, Context::default()),
            tree: root,
            path: BString::default(),
            rules: AttributeRules::default(),
        };
        Ok((Self::default(), vec![place]))
    }

    /// Reads the directories of one level that are not known, and answers those below them. A level may be most of a
    /// large tree, so it asks at each directory whether to stop: nobody waits any more for a thread that goes on.
    pub(super) fn descend(
        &mut self,
        handle: &Handle,
        level: Vec<Place>,
        known: Vec<Option<DirId>>,
        stop: &CancellationToken,
    ) -> Result<Vec<Place>, WalkError> {
        let mut unknown = Vec::new();
        let mut below = Vec::new();
        for (place, known) in level.into_iter().zip(known) {
            match known {
                Some(id) => {
                    self.known.insert(place.key, id);
                }
                None if stop.is_cancelled() => return Err(WalkError::Stopped),
                None => unknown.push(self.read(handle, &place, &mut below)?),
            }
        }
        self.levels.push(unknown);
        Ok(below)
    }

    fn read(
        &mut self,
        handle: &Handle,
        place: &Place,
        below: &mut Vec<Place>,
    ) -> Result<UnknownDir, WalkError> {
        let entries = handle.dir(place.tree)?;
        let rules = handle.rules_beneath(&place.rules, place.path.as_bstr(), &entries)?;
        let mut reader = rules.reader();
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        for entry in entries {
            let name = EntryName::from_bytes(&entry.name).map_err(|_| WalkError::BadName)?;
            let path = join(&place.path, &entry);
            if path.len() > MAX_PATH_BYTES {
                return Err(WalkError::TooDeep);
            }
            match entry.kind {
                EntryKind::File => {
                    self.files += 1;
                    if self.files > MAX_ENTRIES {
                        return Err(WalkError::TooLarge);
                    }
                    let marks = reader.marks(path.as_bstr());
                    files.push(TreeFile {
                        name,
                        blob: entry.id,
                        by_path: ByPath::of(&path.to_str_lossy(), marks),
                    });
                }
                EntryKind::Dir => {
                    let key = (object(entry.id)?, context(&path, &rules)?);
                    dirs.push((name, key));
                    if self.seen.insert(key) {
                        if self.seen.len() > MAX_ENTRIES {
                            return Err(WalkError::TooLarge);
                        }
                        below.push(Place {
                            key,
                            tree: entry.id,
                            path,
                            rules: rules.clone(),
                        });
                    }
                }
                // Where a link points is no content of this tree, and a submodule is another repository.
                EntryKind::Link | EntryKind::Submodule => {}
            }
        }
        Ok(UnknownDir {
            key: place.key,
            files,
            dirs,
        })
    }
}

fn join(dir: &BString, entry: &DirEntry) -> BString {
    if dir.is_empty() {
        entry.name.clone()
    } else {
        [dir.as_slice(), b"/", entry.name.as_slice()]
            .concat()
            .into()
    }
}

/// A digest of what is decided above the directory at `path`: nothing, for most.
fn context(path: &BString, rules: &AttributeRules) -> Result<Context, WalkError> {
    let inside = format!("{}/x", path.to_str_lossy());
    let verdict = classify(&inside, 1, MAX_FILE_BYTES, b"", &Attributes::default());
    let is_vendored = verdict.no_symbols() == Some(SkipReason::Vendored);
    if rules.is_empty() && !is_vendored {
        return Ok(Context::default());
    }
    let mut digest = Sha256::new();
    digest.update([u8::from(is_vendored)]);
    if !rules.is_empty() {
        // Their patterns are matched against whole paths. Each part with its length: two chains of rules
        // must not become one by what a file holds.
        for part in std::iter::once(path.as_slice()).chain(rules.parts()) {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
    }
    Context::from_bytes(&digest.finalize()).map_err(|_| WalkError::BadName)
}

pub(super) fn object(id: GitId) -> Result<ObjectId, WalkError> {
    // Both lengths that Git has are known.
    ObjectId::from_bytes(id.as_slice()).map_err(|_| WalkError::BadName)
}
