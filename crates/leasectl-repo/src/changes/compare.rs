//! Two trees side by side: which files differ, and in which lines.

use gix::ObjectId;
use gix::objs::tree::EntryKind;
use tokio_util::sync::CancellationToken;

use super::error::StudyError;
use super::facts::{FileFacts, FileStatus, HunkFacts, StudyLimit};
use super::lines::{self, Asked, Hunk};
use super::objects::Objects;
use super::renames::{self, FilePair};
use super::trees;

/// The most files of one comparison that are looked at.
const MOST_FILES: usize = 10_000;

/// The most bytes that their paths have together.
const MOST_PATH_BYTES: usize = 8 << 20;

/// The most hunks of one comparison that are listed.
const MOST_HUNKS: usize = 20_000;

/// The most bytes of a file whose lines are compared.
const MOST_BLOB_BYTES: u64 = 8 << 20;

/// A file on both sides, or on one, and what differs in it.
pub(super) struct Compared<'a> {
    pub(super) pair: &'a FilePair,
    /// What it was; nothing if it is new, or if the lines were not compared.
    pub(super) old: &'a [u8],
    /// What it is; nothing if it is gone, or if the lines were not compared.
    pub(super) new: &'a [u8],
    pub(super) lines: Lines,
}

/// What is known of a file's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lines {
    Text(Vec<Hunk>),
    Binary,
    TooLarge,
}

/// How a comparison went.
#[derive(Debug, Default)]
pub(super) struct Extent {
    /// How many files differ, looked at or not.
    pub(super) files: u64,
    pub(super) limits: Vec<StudyLimit>,
}

/// Visits each file that differs, by path; nothing stands for the empty tree.
pub(super) fn compare(
    objects: &Objects,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
    asked: Asked,
    cancel: &CancellationToken,
    visit: &mut dyn FnMut(&Compared<'_>),
) -> Result<Extent, StudyError> {
    let mut extent = Extent::default();
    let mut changes = Vec::new();
    let (mut found, mut path_bytes) = (0, 0);
    trees::differences(objects, old, new, cancel, &mut |change| {
        found += 1;
        path_bytes += change.path.len();
        if changes.len() < MOST_FILES && path_bytes <= MOST_PATH_BYTES {
            changes.push(change);
        }
    })?;
    let mut pairs: Vec<FilePair>;
    if found > changes.len() {
        extent.limits.push(StudyLimit::Files);
        pairs = changes.into_iter().map(FilePair::from).collect();
        extent.files = found as u64;
    } else {
        let limited;
        (pairs, limited) = renames::pair(objects, changes, MOST_BLOB_BYTES, cancel)?;
        if limited {
            extent.limits.push(StudyLimit::Renames);
        }
        extent.files = pairs.len() as u64;
    }
    // A tree may name a file twice, which no honest one does; one of them is enough.
    pairs.dedup_by(|next, kept| next.path == kept.path);
    let mut sides = Sides {
        objects,
        asked,
        old: Vec::new(),
        new: Vec::new(),
    };
    for pair in &pairs {
        if cancel.is_cancelled() {
            return Err(StudyError::Cancelled);
        }
        let compared = sides.compare(pair)?;
        if compared.lines == Lines::TooLarge {
            extent.limits.push(StudyLimit::BlobBytes);
        }
        visit(&compared);
    }
    Ok(extent)
}

struct Sides<'a> {
    objects: &'a Objects,
    asked: Asked,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Sides<'_> {
    fn compare<'a>(&'a mut self, pair: &'a FilePair) -> Result<Compared<'a>, StudyError> {
        let lines = self.lines(pair)?;
        let is_text = matches!(lines, Lines::Text(_));
        Ok(Compared {
            pair,
            old: if is_text { &self.old } else { &[] },
            new: if is_text { &self.new } else { &[] },
            lines,
        })
    }

    fn lines(&mut self, pair: &FilePair) -> Result<Lines, StudyError> {
        for (side, buffer) in [(pair.old, &mut self.old), (pair.new, &mut self.new)] {
            buffer.clear();
            let Some(side) = side else { continue };
            if side.kind == EntryKind::Commit {
                buffer.extend_from_slice(format!("Subproject commit {}\n", side.id).as_bytes());
            } else if self.objects.blob_bytes(&side.id)? > MOST_BLOB_BYTES {
                return Ok(Lines::TooLarge);
            } else {
                self.objects.blob(&side.id, buffer)?;
            }
        }
        if lines::is_binary(&self.old) || lines::is_binary(&self.new) {
            return Ok(Lines::Binary);
        }
        if self.old == self.new {
            return Ok(Lines::Text(Vec::new()));
        }
        let hunks = lines::compare(&self.old, &self.new, self.asked);
        Ok(hunks.map_or(Lines::TooLarge, Lines::Text))
    }
}

/// The files, and if their places are asked for the hunks, of a comparison, as they are handed out.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<FileFacts>,
    pub(super) hunks: Vec<HunkFacts>,
    pub(super) additions: u64,
    pub(super) deletions: u64,
    pub(super) found: u64,
    pub(super) limits: Vec<StudyLimit>,
}

impl Listing {
    /// What differs between the two trees.
    pub(super) fn of(
        objects: &Objects,
        old: Option<ObjectId>,
        new: Option<ObjectId>,
        asked: Asked,
        cancel: &CancellationToken,
    ) -> Result<Self, StudyError> {
        let mut listing = Self::default();
        let mut visit = |compared: &Compared<'_>| listing.add(compared, asked);
        let extent = compare(objects, old, new, asked, cancel, &mut visit)?;
        listing.found = extent.files;
        listing.limits.extend(extent.limits);
        listing.limits.sort_unstable();
        listing.limits.dedup();
        Ok(listing)
    }

    fn add(&mut self, compared: &Compared<'_>, asked: Asked) {
        let pair = compared.pair;
        let Some(shown) = pair.new.or(pair.old) else {
            return;
        };
        let counts = match &compared.lines {
            Lines::Text(hunks) => {
                if asked == Asked::Places {
                    self.add_hunks(compared, hunks);
                }
                let additions = hunks.iter().map(Hunk::new_lines).sum::<u32>();
                let deletions = hunks.iter().map(Hunk::old_lines).sum::<u32>();
                self.additions += u64::from(additions);
                self.deletions += u64::from(deletions);
                Some((additions, deletions))
            }
            Lines::Binary | Lines::TooLarge => None,
        };
        self.files.push(FileFacts {
            path: pair.path.clone(),
            old_path: pair.old_path.clone(),
            status: status(pair),
            additions: counts.map(|(additions, _)| additions),
            deletions: counts.map(|(_, deletions)| deletions),
            blob: shown.id,
        });
    }

    fn add_hunks(&mut self, compared: &Compared<'_>, hunks: &[Hunk]) {
        let file = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let replaced;
        let hunks = if status(compared.pair) == FileStatus::TypeChanged {
            // Git shows what became something else as gone and new.
            let halves = [
                Hunk::whole(compared.old, &[]),
                Hunk::whole(&[], compared.new),
            ];
            replaced = halves.into_iter().flatten().collect::<Vec<_>>();
            &replaced
        } else {
            hunks
        };
        let room = MOST_HUNKS - self.hunks.len();
        if hunks.len() > room {
            self.limits.push(StudyLimit::Hunks);
        }
        self.hunks.extend(hunks.iter().take(room).map(|hunk| {
            let start = |lines: &std::ops::Range<u32>| lines.start + u32::from(!lines.is_empty());
            HunkFacts {
                file,
                old_start: start(&hunk.old),
                old_lines: hunk.old_lines(),
                new_start: start(&hunk.new),
                new_lines: hunk.new_lines(),
            }
        }));
    }
}

fn status(pair: &FilePair) -> FileStatus {
    match (pair.old, pair.new) {
        (None, _) => FileStatus::Added,
        (Some(_), None) => FileStatus::Deleted,
        (Some(_), Some(_)) if pair.old_path.is_some() => FileStatus::Renamed,
        (Some(old), Some(new))
            if old.kind == new.kind || (old.is_regular() && new.is_regular()) =>
        {
            FileStatus::Modified
        }
        (Some(_), Some(_)) => FileStatus::TypeChanged,
    }
}
