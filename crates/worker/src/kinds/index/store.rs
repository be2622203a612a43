//! Puts into the index what a walk found to be missing: payloads first, directories after everything
//! below them.

use std::collections::HashMap;
use std::time::Duration;

use leasectl_core::index::{
    BlobId, DirId, IndexScope, NewBlob, NewDir, NewFile, Treatment, TreatmentId, known_blobs,
    known_dirs, store_dirs, store_payloads, treatment_ids,
};
use leasectl_core::time::BootInstant;
use leasectl_repo::{Content, ObjectId as GitId};

use super::extract::{Extraction, Task};
use super::facts::{ByPath, Facts};
use super::run::{Failure, Run, ask};
use super::walk::{DirKey, UnknownDir, Walk, object};
use super::waves::waves;

/// Blobs of one question.
const ASKED: usize = 5_000;

/// Blobs, and about the bytes of their payloads, that are stored together.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 2 << 20;
/// After so long they are stored however few they are: files that take long must not be lost with a worker.
const BATCH_TIME: Duration = Duration::from_secs(5);

/// What is known of a blob that a directory names.
#[derive(Clone, Copy, Debug)]
struct Stored {
    id: BlobId,
    facts: Facts,
}

/// What was stored for a tree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// Blobs that were read.
    pub(super) blobs: u64,
    /// The bytes that they have.
    pub(super) bytes: u64,
}

impl Run<'_> {
    /// Walks the tree down to what is there. With `from_nothing` nothing counts as there.
    pub(super) async fn walk(
        &self,
        scope: &IndexScope,
        content: &Content,
        root: GitId,
        from_nothing: bool,
    ) -> Result<Walk, Failure> {
        let (mut walk, mut level) = Walk::from(root)?;
        while !level.is_empty() {
            let keys: Vec<DirKey> = level.iter().map(|place| place.key).collect();
            let known = if from_nothing {
                vec![None; keys.len()]
            } else {
                ask!(self, client => known_dirs(client, scope, &keys))
            };
            let (content, stop) = (content.clone(), self.cancel.clone());
            (walk, level) = self
                .blocking(move || {
                    let below = walk.descend(&content.handle(), level, known, &stop)?;
                    Ok((walk, below))
                })
                .await?;
        }
        Ok(walk)
    }

    /// Stores what is missing of the tree, and answers its directory.
    pub(super) async fn store(
        &self,
        scope: &IndexScope,
        content: &Content,
        root: DirKey,
        walk: Walk,
    ) -> Result<(DirId, Written), Failure> {
        let Walk { known, levels, .. } = walk;
        let (blobs, written) = self.store_blobs(scope, content, &levels).await?;
        let dirs = self.store_levels(scope, levels, known, &blobs).await?;
        let root = dirs.get(&root).copied().ok_or(Failure::Gone)?;
        Ok((root, written))
    }

    async fn store_blobs(
        &self,
        scope: &IndexScope,
        content: &Content,
        levels: &[Vec<UnknownDir>],
    ) -> Result<(HashMap<GitId, Stored>, Written), Failure> {
        let mut blobs = HashMap::new();
        let mut tasks = Vec::new();
        for mut task in self.tasks(scope, levels).await? {
            match (task.known.as_ref(), task.facts()) {
                (Some(known), Some(facts)) if task.is_done(scope) => {
                    let id = known.id;
                    blobs.insert(task.git, Stored { id, facts });
                }
                _ => {
                    task.paths.shrink_to_fit();
                    tasks.push(task);
                }
            }
        }
        let total = tasks.len() as u64;
        let mut written = Written::default();
        if total == 0 {
            return Ok((blobs, written));
        }
        let mut extraction = Extraction::start(content, scope, tasks);
        let mut batch = Batch::default();
        self.progress(written, total);
        while let Some(extracted) = self.or_cancelled(extraction.next()).await? {
            let extracted = extracted?;
            self.progress.advanced();
            batch.push(extracted.git, extracted.facts, extracted.new);
            if batch.is_full() {
                self.store_batch(scope, &mut batch, &mut blobs, &mut written)
                    .await?;
                self.progress(written, total);
            }
        }
        self.store_batch(scope, &mut batch, &mut blobs, &mut written)
            .await?;
        self.progress(written, total);
        if written.blobs < total {
            return Err(Failure::Unfinished);
        }
        Ok((blobs, written))
    }

    /// Every blob of the directories once, with what is known of it.
    async fn tasks(
        &self,
        scope: &IndexScope,
        levels: &[Vec<UnknownDir>],
    ) -> Result<Vec<Task>, Failure> {
        let mut paths: HashMap<GitId, Vec<ByPath>> = HashMap::new();
        for file in levels.iter().flatten().flat_map(|dir| &dir.files) {
            let of_blob = paths.entry(file.blob).or_default();
            if !of_blob.contains(&file.by_path) {
                of_blob.push(file.by_path.clone());
            }
        }
        let mut wanted: Vec<(GitId, Vec<ByPath>)> = paths.into_iter().collect();
        wanted.sort_unstable_by_key(|(git, _)| *git);
        let mut tasks = Vec::with_capacity(wanted.len());
        while !wanted.is_empty() {
            let some = wanted.split_off(wanted.len().saturating_sub(ASKED));
            let oids = some.iter().map(|(git, _)| object(*git));
            let oids = oids.collect::<Result<Vec<_>, _>>()?;
            let known = ask!(self, client => known_blobs(client, scope, &oids));
            let asked = some.into_iter().zip(oids).zip(known);
            tasks.extend(asked.map(|(((git, paths), oid), known)| Task {
                git,
                oid,
                known,
                paths,
            }));
        }
        Ok(tasks)
    }

    async fn store_batch(
        &self,
        scope: &IndexScope,
        batch: &mut Batch,
        blobs: &mut HashMap<GitId, Stored>,
        written: &mut Written,
    ) -> Result<(), Failure> {
        let Batch { names, new, .. } = std::mem::take(batch);
        if new.is_empty() {
            return Ok(());
        }
        let author = self.author;
        let ids = ask!(self, client => store_payloads(client, author, scope, &new));
        let stored = names.into_iter().zip(ids);
        blobs.extend(stored.map(|((git, facts), id)| (git, Stored { id, facts })));
        written.blobs += new.len() as u64;
        written.bytes += new.iter().map(|blob| blob.bytes).sum::<u64>();
        Ok(())
    }

    async fn store_levels(
        &self,
        scope: &IndexScope,
        levels: Vec<Vec<UnknownDir>>,
        known: HashMap<DirKey, DirId>,
        blobs: &HashMap<GitId, Stored>,
    ) -> Result<HashMap<DirKey, DirId>, Failure> {
        let author = self.author;
        let treatments = self.treatments(&levels, blobs).await?;
        let mut dirs = known;
        for wave in waves(levels) {
            let new = wave
                .into_iter()
                .map(|dir| new_dir(dir, blobs, &treatments, &dirs))
                .collect::<Option<Vec<NewDir>>>()
                .ok_or(Failure::Gone)?;
            let ids = ask!(self, client => store_dirs(client, author, scope, &new));
            let keys = new.iter().map(|dir| (dir.oid, dir.context));
            dirs.extend(keys.zip(ids));
        }
        Ok(dirs)
    }

    async fn treatments(
        &self,
        levels: &[Vec<UnknownDir>],
        blobs: &HashMap<GitId, Stored>,
    ) -> Result<HashMap<Treatment, TreatmentId>, Failure> {
        let files = levels.iter().flatten().flat_map(|dir| &dir.files);
        let mut wanted: Vec<Treatment> = Vec::new();
        for file in files {
            let stored = blobs.get(&file.blob).ok_or(Failure::Gone)?;
            let treatment = file.by_path.treatment(stored.facts);
            if !wanted.contains(&treatment) {
                wanted.push(treatment);
            }
        }
        let author = self.author;
        let ids = ask!(self, client => treatment_ids(client, author, &wanted));
        Ok(wanted.into_iter().zip(ids).collect())
    }
}

/// A directory by the numbers of what it names; nothing when one is missing.
fn new_dir(
    dir: UnknownDir,
    blobs: &HashMap<GitId, Stored>,
    treatments: &HashMap<Treatment, TreatmentId>,
    dirs: &HashMap<DirKey, DirId>,
) -> Option<NewDir> {
    let files = dir.files.into_iter().map(|file| {
        let stored = blobs.get(&file.blob)?;
        Some(NewFile {
            name: file.name,
            blob: stored.id,
            treatment: *treatments.get(&file.by_path.treatment(stored.facts))?,
        })
    });
    let below = dir.dirs.into_iter();
    let below = below.map(|(name, key)| Some((name, *dirs.get(&key)?)));
    Some(NewDir {
        oid: dir.key.0,
        context: dir.key.1,
        files: files.collect::<Option<_>>()?,
        dirs: below.collect::<Option<_>>()?,
    })
}

/// Payloads that are stored together.
#[derive(Default)]
struct Batch {
    names: Vec<(GitId, Facts)>,
    new: Vec<NewBlob>,
    bytes: usize,
    /// When the first of them came.
    since: Option<BootInstant>,
}

impl Batch {
    fn push(&mut self, git: GitId, facts: Facts, new: NewBlob) {
        self.since.get_or_insert_with(BootInstant::now);
        self.bytes += new.weight();
        self.names.push((git, facts));
        self.new.push(new);
    }

    fn is_full(&self) -> bool {
        self.new.len() >= BATCH
            || self.bytes >= BATCH_BYTES
            || self
                .since
                .is_some_and(|since| since.elapsed() >= BATCH_TIME)
    }
}
