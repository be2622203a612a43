//! Whether the default branch has what a change does, under another commit id.
//!
//! Two patches are equal if they change the same files in the same way: equal paths and modes, and the same
//! lines removed and added in the same order, wherever in the file they stand. Comparing the lines costs
//! much more than comparing which paths a commit changes, so the paths decide first.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use gix::ObjectId;
use gix::bstr::BStr;
use gix::diff::blob::sources::byte_lines;
use tokio_util::sync::CancellationToken;

use super::ancestry::{Ancestry, Beyond};
use super::compare::{Compared, Lines, compare};
use super::error::StudyError;
use super::facts::MergedAs;
use super::lines::Asked;
use super::objects::Objects;
use super::trees::{self, Side};

/// The most commits of the default branch that are looked at for one change.
const MOST_LANDED: usize = 100_000;

/// The most commits of a change that are looked for in the default branch one by one.
const MOST_COMMITS: usize = 1_000;

/// What is known of the patches of the default branch's commits.
pub(super) struct Patches {
    paths: Vec<OnceLock<Option<u64>>>,
    digests: Mutex<HashMap<u32, Option<ObjectId>>>,
}

/// Two trees; nothing stands for the empty one.
#[derive(Clone, Copy)]
pub(super) struct Patch {
    pub(super) old: Option<ObjectId>,
    pub(super) new: ObjectId,
}

/// What came of looking for a change.
pub(super) enum Found {
    Merged(MergedAs),
    Nowhere,
    /// There was too much to look at.
    Unknown,
}

/// What came of looking for one patch.
enum Equal {
    Commit(u32),
    None,
    /// It is too large to compare it with those that change the same paths.
    Unknown,
}

impl Patches {
    pub(super) fn new(commits: usize) -> Self {
        Self {
            paths: std::iter::repeat_with(OnceLock::new)
                .take(commits)
                .collect(),
            digests: Mutex::default(),
        }
    }
}

/// Looks for the patch of a change among commits of the default branch.
pub(super) struct Search<'a> {
    pub(super) objects: &'a Objects,
    pub(super) ancestry: &'a Ancestry,
    pub(super) patches: &'a Patches,
    pub(super) landed: Beyond,
    pub(super) cancel: &'a CancellationToken,
}

impl Search<'_> {
    /// As one commit that does all of it, or as one commit for each of its commits.
    pub(super) fn find(&self, whole: Patch, commits: &[ObjectId]) -> Result<Found, StudyError> {
        if self.landed.most() > MOST_LANDED {
            return Ok(Found::Unknown);
        }
        match self.find_patch(whole)? {
            Equal::Commit(number) => {
                let commit = self.ancestry.graph().id(number);
                Ok(Found::Merged(MergedAs::Squash { commit }))
            }
            Equal::Unknown => Ok(Found::Unknown),
            Equal::None if commits.len() > MOST_COMMITS => Ok(Found::Unknown),
            Equal::None => self.find_each(commits),
        }
    }

    /// Whether each commit that changes something and is no merge has an equal one.
    fn find_each(&self, commits: &[ObjectId]) -> Result<Found, StudyError> {
        let mut buffer = Vec::new();
        let mut found = Found::Nowhere;
        for id in commits {
            let node = self.objects.node(id, &mut buffer)?;
            let old = match node.parents[..] {
                [] => None,
                [parent] => Some(self.objects.node(&parent, &mut buffer)?.tree),
                _ => continue,
            };
            let new = node.tree;
            if old == Some(new) {
                continue;
            }
            match self.find_patch(Patch { old, new })? {
                Equal::Commit(_) => found = Found::Merged(MergedAs::Rebase),
                Equal::None => return Ok(Found::Nowhere),
                Equal::Unknown => return Ok(Found::Unknown),
            }
        }
        Ok(found)
    }

    /// The first commit of the default branch with an equal patch.
    fn find_patch(&self, patch: Patch) -> Result<Equal, StudyError> {
        let paths = match self.paths(patch) {
            Ok(Some(paths)) => paths,
            Ok(None) => return Ok(Equal::None),
            Err(StudyError::Change { .. }) => return Ok(Equal::Unknown),
            Err(error) => return Err(error),
        };
        let mut known = None;
        for number in self.landed.numbers() {
            if self.paths_of(number)? != Some(paths) {
                continue;
            }
            let wanted = match known {
                Some(digest) => digest,
                None => match readable(Some(self.digest(patch)))? {
                    Some(digest) => *known.insert(digest),
                    None => return Ok(Equal::Unknown),
                },
            };
            if self.digest_of(number)? == Some(wanted) {
                return Ok(Equal::Commit(number));
            }
        }
        Ok(Equal::None)
    }

    /// The patch of a commit of the default branch; merges have none.
    fn patch_of(&self, number: u32) -> Option<Patch> {
        let graph = self.ancestry.graph();
        let new = graph.tree(number);
        match *graph.parents(number) {
            [] => Some(Patch { old: None, new }),
            [parent] => Some(Patch {
                old: Some(graph.tree(parent)),
                new,
            }),
            _ => None,
        }
    }

    fn paths_of(&self, number: u32) -> Result<Option<u64>, StudyError> {
        let known = self.patches.paths.get(number as usize);
        if let Some(paths) = known.and_then(OnceLock::get) {
            return Ok(*paths);
        }
        let patch = self.patch_of(number);
        let paths = readable(patch.map(|patch| self.paths(patch)))?;
        if let Some(known) = known {
            // Another thread may have been faster, with the same.
            let _ = known.set(paths);
        }
        Ok(paths)
    }

    fn digest_of(&self, number: u32) -> Result<Option<ObjectId>, StudyError> {
        let digests = &self.patches.digests;
        let known = digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known.get(&number) {
            return Ok(*digest);
        }
        drop(known);
        let patch = self.patch_of(number);
        let digest = readable(patch.map(|patch| self.digest(patch)))?;
        let mut known = digests.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(number, digest);
        Ok(digest)
    }

    /// Which paths a patch changes from what to what kind of thing, as one number; none if it changes none.
    fn paths(&self, patch: Patch) -> Result<Option<u64>, StudyError> {
        let mut hasher = DefaultHasher::new();
        let mut any = false;
        trees::differences(
            self.objects,
            patch.old,
            Some(patch.new),
            self.cancel,
            &mut |change| {
                any = true;
                change.path.hash(&mut hasher);
                for side in [change.old, change.new] {
                    mode(side).hash(&mut hasher);
                }
            },
        )?;
        Ok(any.then(|| hasher.finish()))
    }

    /// What a patch does; nothing if it is too large to say.
    fn digest(&self, patch: Patch) -> Result<Option<ObjectId>, StudyError> {
        let mut digest = Digest(gix::hash::hasher(gix::hash::Kind::Sha256));
        let mut visit = |compared: &Compared<'_>| digest.file(compared);
        let Patch { old, new } = patch;
        let new = Some(new);
        let extent = compare(
            self.objects,
            old,
            new,
            Asked::Lines,
            self.cancel,
            &mut visit,
        )?;
        if !extent.limits.is_empty() {
            return Ok(None);
        }
        let hashed = digest.0.try_finalize();
        hashed
            .map(Some)
            .map_err(|_| StudyError::invalid(&patch.new))
    }
}

/// What was found of a patch, if it can be read: one odd commit of the default branch must not fail every change
/// that is compared with it.
fn readable<T>(found: Option<Result<Option<T>, StudyError>>) -> Result<Option<T>, StudyError> {
    match found {
        Some(Err(StudyError::Change { .. })) | None => Ok(None),
        Some(found) => found,
    }
}

fn mode(side: Option<Side>) -> Option<&'static BStr> {
    side.map(|side| side.kind.as_octal_str())
}

struct Digest(gix::hash::Hasher);

impl Digest {
    fn file(&mut self, compared: &Compared<'_>) {
        let pair = compared.pair;
        self.text(pair.old_path.as_ref().unwrap_or(&pair.path));
        self.text(&pair.path);
        for side in [pair.old, pair.new] {
            self.text(mode(side).unwrap_or_default());
        }
        match &compared.lines {
            Lines::Text(hunks) => {
                for hunk in hunks {
                    self.lines(b"-", compared.old, &hunk.old);
                    self.lines(b"+", compared.new, &hunk.new);
                }
            }
            Lines::Binary | Lines::TooLarge => {
                for side in [pair.old, pair.new].into_iter().flatten() {
                    self.text(side.id.as_slice());
                }
            }
        }
    }

    fn lines(&mut self, sign: &[u8], text: &[u8], lines: &Range<u32>) {
        let (from, to) = (lines.start as usize, lines.end as usize);
        for line in byte_lines(text).take(to).skip(from) {
            self.0.update(sign);
            self.text(line);
        }
    }

    /// The length comes first, so that no two sequences of texts are one.
    fn text(&mut self, text: &[u8]) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text);
    }
}
