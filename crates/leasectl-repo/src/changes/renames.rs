//! Which of the files that are gone are the ones that are new, as Git decides it with its default settings.
//!
//! First come files of equal content; then files whose name was gone once and is new once; then what is left
//! is compared, each with each, and paired by likeness.

use std::collections::{BTreeMap, HashMap};

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice as _};
use tokio_util::sync::CancellationToken;

use super::error::StudyError;
use super::lines;
use super::objects::Objects;
use super::similarity::{self, LEAST, LEAST_OF_EQUAL_NAMES, Pieces};
use super::trees::{PathChange, Side};

/// The most pairs that are compared are this many files with as many.
const MOST_SQUARED: usize = 1_000;

/// The most bytes of files that are read to compare them. What is kept of them is no larger than a few times that.
const MOST_READ: u64 = 64 << 20;

/// How many candidates a new file keeps.
const CANDIDATES: usize = 4;

/// How many equal files are looked at for one with the right name.
const MOST_EQUAL: usize = 100;

/// What is compared: a file on both sides, or on one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePair {
    pub(super) path: BString,
    pub(super) old_path: Option<BString>,
    pub(super) old: Option<Side>,
    pub(super) new: Option<Side>,
}

impl From<PathChange> for FilePair {
    fn from(change: PathChange) -> Self {
        Self {
            path: change.path,
            old_path: None,
            old: change.old,
            new: change.new,
        }
    }
}

/// Pairs what is gone with what is new; says whether there was too much to compare.
pub(super) fn pair(
    objects: &Objects,
    changes: Vec<PathChange>,
    most_bytes: u64,
    cancel: &CancellationToken,
) -> Result<(Vec<FilePair>, bool), StudyError> {
    let is_gone = |change: &PathChange| change.new.is_none();
    let is_new = |change: &PathChange| change.old.is_none();
    if !changes.iter().any(is_gone) || !changes.iter().any(is_new) {
        return Ok((changes.into_iter().map(FilePair::from).collect(), false));
    }
    let (mut gone, mut new, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        match (change.old, change.new) {
            (Some(side), None) => gone.push(File::new(change.path, side)),
            (None, Some(side)) => new.push(File::new(change.path, side)),
            (Some(_), Some(_)) | (None, None) => pairs.push(FilePair::from(change)),
        }
    }
    let mut matching = Matching {
        objects,
        cancel,
        most_bytes,
        gone,
        new,
        left: MOST_READ,
        buffer: Vec::new(),
    };
    matching.by_content();
    matching.by_name()?;
    let limited = matching.by_likeness()?;
    pairs.extend(matching.into_pairs());
    pairs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((pairs, limited))
}

/// A file that is gone or new.
struct File {
    path: BString,
    side: Side,
    /// The file on the other side that it is paired with.
    partner: Option<usize>,
    /// Its length, once it was asked for.
    bytes: Option<u64>,
    pieces: Option<Pieces>,
}

impl File {
    fn new(path: BString, side: Side) -> Self {
        Self {
            path,
            side,
            partner: None,
            bytes: None,
            pieces: None,
        }
    }

    fn name(&self) -> &BStr {
        let from = self.path.rfind_byte(b'/').map_or(0, |at| at + 1);
        self.path[from..].as_bstr()
    }

    fn is_free(&self) -> bool {
        self.partner.is_none()
    }
}

struct Matching<'a> {
    objects: &'a Objects,
    cancel: &'a CancellationToken,
    /// Larger files are like no other.
    most_bytes: u64,
    gone: Vec<File>,
    new: Vec<File>,
    /// How many bytes may be read still; nothing is compared any more when a file is larger.
    left: u64,
    buffer: Vec<u8>,
}

/// How well a file that is gone fits one that is new: the better the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    score: u64,
    equal_names: bool,
}

impl Matching<'_> {
    fn join(&mut self, gone: usize, new: usize) {
        self.gone[gone].partner = Some(new);
        self.new[new].partner = Some(gone);
    }

    /// Files of equal content; one with the right name is preferred.
    fn by_content(&mut self) {
        let mut by_id = HashMap::<ObjectId, Vec<usize>>::new();
        for (at, file) in self.gone.iter().enumerate() {
            by_id.entry(file.side.id).or_default().push(at);
        }
        for at in 0..self.new.len() {
            let new = &self.new[at];
            let equal = by_id.get(&new.side.id).map_or(&[][..], Vec::as_slice);
            let free = equal.iter().copied().take(MOST_EQUAL).filter(|&gone| {
                let gone = &self.gone[gone];
                let same_kind = gone.side.is_regular() && new.side.is_regular()
                    || gone.side.kind == new.side.kind;
                gone.is_free() && same_kind
            });
            let named = free
                .clone()
                .find(|&gone| self.gone[gone].name() == new.name());
            let found = named.or_else(|| { free }.next());
            if let Some(gone) = found {
                self.join(gone, at);
            }
        }
    }

    /// Files whose name is gone once and new once, if they are very much alike.
    fn by_name(&mut self) -> Result<(), StudyError> {
        let unique = |files: &[File]| {
            let mut names = BTreeMap::<BString, Option<usize>>::new();
            for (at, file) in files.iter().enumerate().filter(|(_, file)| file.is_free()) {
                let entry = names.entry(file.name().to_owned());
                entry.and_modify(|only| *only = None).or_insert(Some(at));
            }
            names
        };
        let (gone, new) = (unique(&self.gone), unique(&self.new));
        for (name, gone) in gone {
            let new = new.get(&name).copied().flatten();
            if let (Some(gone), Some(new)) = (gone, new)
                && self.score(gone, new, LEAST_OF_EQUAL_NAMES)? >= Some(LEAST_OF_EQUAL_NAMES)
            {
                self.join(gone, new);
            }
        }
        Ok(())
    }

    /// What is left, each with each; says whether that is too much.
    fn by_likeness(&mut self) -> Result<bool, StudyError> {
        let free = |files: &[File]| -> Vec<usize> {
            let free = files.iter().enumerate().filter(|(_, file)| file.is_free());
            free.map(|(at, _)| at).collect()
        };
        let (gone, new) = (free(&self.gone), free(&self.new));
        if gone.len().saturating_mul(new.len()) > MOST_SQUARED * MOST_SQUARED {
            return Ok(true);
        }
        let mut fits = Vec::new();
        for &new in &new {
            let mut best = Vec::<(Fit, usize)>::with_capacity(CANDIDATES + 1);
            for &gone in &gone {
                let Some(score) = self.score(gone, new, LEAST)? else {
                    return Ok(true);
                };
                let fit = Fit {
                    score,
                    equal_names: self.gone[gone].name() == self.new[new].name(),
                };
                if fit.score >= LEAST {
                    keep_better(&mut best, fit, gone);
                }
            }
            fits.extend(best.into_iter().map(|(fit, gone)| (fit, gone, new)));
        }
        // What is equally good stays in the order of the paths.
        fits.sort_by(|(a, ..), (b, ..)| b.cmp(a));
        for (_, gone, new) in fits {
            if self.gone[gone].is_free() && self.new[new].is_free() {
                self.join(gone, new);
            }
        }
        Ok(false)
    }

    /// How alike the two are, or 0 if they cannot reach `least`; nothing when that would read too much.
    fn score(&mut self, gone: usize, new: usize, least: u64) -> Result<Option<u64>, StudyError> {
        if self.cancel.is_cancelled() {
            return Err(StudyError::Cancelled);
        }
        let (old, new) = (&mut self.gone[gone], &mut self.new[new]);
        if !old.side.is_regular() || !new.side.is_regular() {
            return Ok(Some(0));
        }
        let mut sizes = [0; 2];
        for (size, file) in sizes.iter_mut().zip([&mut *old, &mut *new]) {
            *size = match file.bytes {
                Some(bytes) => bytes,
                None => *file.bytes.insert(self.objects.blob_bytes(&file.side.id)?),
            };
        }
        let [old_bytes, new_bytes] = sizes;
        if old_bytes.max(new_bytes) > self.most_bytes
            || !similarity::is_possible(old_bytes, new_bytes, least)
        {
            return Ok(Some(0));
        }
        for (bytes, file) in sizes.into_iter().zip([&mut *old, &mut *new]) {
            if file.pieces.is_none() {
                let Some(left) = self.left.checked_sub(bytes) else {
                    return Ok(None);
                };
                self.left = left;
                self.objects.blob(&file.side.id, &mut self.buffer)?;
                let is_binary = lines::is_binary(&self.buffer);
                file.pieces = Some(Pieces::of(&self.buffer, is_binary));
            }
        }
        let pieces = old.pieces.as_ref().zip(new.pieces.as_ref());
        Ok(Some(pieces.map_or(0, |(old, new)| old.score(new))))
    }

    fn into_pairs(self) -> Vec<FilePair> {
        let mut gone = self.gone;
        let mut pairs = Vec::with_capacity(gone.len() + self.new.len());
        for file in self.new {
            let source = file.partner.map(|at| &mut gone[at]);
            let (old_path, old) = source
                .map(|gone| (std::mem::take(&mut gone.path), gone.side))
                .unzip();
            pairs.push(FilePair {
                path: file.path,
                old_path,
                old,
                new: Some(file.side),
            });
        }
        pairs.extend(gone.into_iter().filter(File::is_free).map(|file| FilePair {
            path: file.path,
            old_path: None,
            old: Some(file.side),
            new: None,
        }));
        pairs
    }
}

/// Keeps a few of the best. A better one takes the place of the first of the worst ones.
fn keep_better(best: &mut Vec<(Fit, usize)>, fit: Fit, gone: usize) {
    if best.len() < CANDIDATES {
        best.push((fit, gone));
        return;
    }
    let worst = (1..best.len()).fold(0, |worst, at| {
        if best[at].0 < best[worst].0 {
            at
        } else {
            worst
        }
    });
    if best[worst].0 < fit {
        best[worst] = (fit, gone);
    }
}
