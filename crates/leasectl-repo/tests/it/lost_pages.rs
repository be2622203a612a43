//! Clones whose packs lose bytes while they are open and mapped: an error for whoever reads what is gone, and
//! nothing for anybody else.

use std::fs;

use leasectl_repo::{
    BlobRead, Changes, CloneCache, Content, DirEntry, ObjectId, RecloneReason, RepoError, Snapshot,
    StudyError, survive_lost_pages,
};
use tokio_util::sync::CancellationToken;

use crate::damage::truncate;
use crate::story::threads;
use crate::support::{World, ensure};

/// A clone of many blobs, opened and not read.
struct Opened {
    world: World,
    cache: CloneCache,
    content: Content,
    snapshot: Snapshot,
    entries: Vec<DirEntry>,
}

impl Opened {
    async fn new() -> Self {
        survive_lost_pages().unwrap();
        let world = World::new();
        world.origin.fatten("main", 600_000);
        let cache = world.cache();
        let clone = ensure(&cache, &world.target()).await.unwrap();
        // Which blobs there are is read through maps of its own.
        let handle = cache.content(&clone).await.unwrap().handle();
        let snapshot = handle.resolve(None).unwrap();
        let entries = handle.dir(snapshot.tree).unwrap();
        let content = cache.content(&clone).await.unwrap();
        // The packs are mapped when the first object is read.
        content.handle().resolve(None).unwrap();
        Self {
            world,
            cache,
            content,
            snapshot,
            entries,
        }
    }

    /// How many blobs can be read; those that can are what they were.
    fn readable(&self) -> usize {
        let handle = self.content.handle();
        let is_readable = |entry: &&DirEntry| {
            let mut buffer = Vec::new();
            match handle.blob(entry.id, 1 << 20, &mut buffer) {
                Ok(BlobRead::Whole) => {
                    let blob = self.world.origin.write("blob", &buffer);
                    assert_eq!(blob, entry.id.to_string(), "{}", entry.name);
                }
                Err(RepoError::Corrupt { .. }) => return false,
                other => panic!("{}: {other:?}", entry.name),
            }
            // What is whole is known to be too long as well.
            let bytes = buffer.len() as u64;
            let read = handle.blob(entry.id, bytes - 1, &mut Vec::new());
            assert_eq!(read.unwrap(), BlobRead::TooLong { bytes });
            true
        };
        self.entries.iter().filter(is_readable).count()
    }

    /// Keeps so many tenths of a file of the only pack.
    fn cut(&self, extension: &str, tenths: u64) {
        let file = self.world.pack().with_extension(extension);
        let bytes = fs::metadata(&file).unwrap().len();
        truncate(&file, bytes * tenths / 10);
    }

    /// The commits of the default branch, through the maps that are open.
    fn history(&self) -> Result<usize, StudyError> {
        let changes = Changes::open(&self.content, Some(self.snapshot.commit));
        let cancel = CancellationToken::new();
        let mut history = changes.history(&|_| false, &cancel)?;
        Ok(history.read(usize::MAX, threads(2), &cancel)?.len())
    }
}

#[tokio::test]
async fn a_pack_that_is_cut_short_while_it_is_mapped_gives_errors_for_what_is_gone() {
    for tenths in 0..10 {
        let opened = Opened::new().await;
        opened.cut("pack", tenths);
        assert!(opened.readable() < opened.entries.len(), "{tenths} tenths");
    }
}

#[tokio::test]
async fn nothing_counts_as_missing_when_the_index_of_the_pack_is_cut_short() {
    for tenths in 0..10 {
        let opened = Opened::new().await;
        opened.cut("idx", tenths);
        let readable = opened.readable();
        assert!(readable < opened.entries.len(), "{tenths} tenths");
        match opened.content.handle().resolve(None) {
            Ok(resolved) => assert_eq!(resolved, opened.snapshot, "{tenths} tenths"),
            Err(RepoError::Corrupt { .. }) => {}
            Err(other) => panic!("{tenths} tenths: {other}"),
        }
        match opened.history() {
            Ok(commits) => assert_eq!(commits, 4, "{tenths} tenths"),
            Err(StudyError::Clone(RepoError::Corrupt { .. })) => {}
            Err(other) => panic!("{tenths} tenths: {other}"),
        }
    }
}

#[tokio::test]
async fn a_clone_that_took_the_place_of_a_damaged_one_is_not_put_aside_with_it() {
    let opened = Opened::new().await;
    let (cache, target) = (&opened.cache, opened.world.target());
    let old = ensure(cache, &target).await.unwrap();
    opened.cut("pack", 5);
    let new = ensure(cache, &target).await.unwrap();
    assert!(new.recloned().is_some());
    // Somebody who still reads the old one finds out.
    cache.quarantine(&old).unwrap();
    assert_eq!(ensure(cache, &target).await.unwrap().recloned(), None);
    cache.quarantine(&new).unwrap();
    let again = ensure(cache, &target).await.unwrap();
    assert_eq!(again.recloned(), Some(RecloneReason::CorruptObject));
}

#[tokio::test]
async fn the_history_of_a_pack_that_is_cut_short_is_that_of_a_damaged_clone() {
    let opened = Opened::new().await;
    assert_eq!(opened.history().unwrap(), 4);
    for tenths in [9, 5, 0] {
        opened.cut("pack", tenths);
        match opened.history() {
            Ok(commits) => assert_eq!(commits, 4, "{tenths} tenths hold all commits and trees"),
            Err(StudyError::Clone(RepoError::Corrupt { .. })) => {}
            Err(other) => panic!("{tenths} tenths: {other}"),
        }
    }
    assert!(opened.history().is_err());
}

#[tokio::test]
async fn a_clone_that_lost_pages_is_read_anew_and_made_again() {
    let opened = Opened::new().await;
    let (cache, target) = (&opened.cache, opened.world.target());
    let cancel = CancellationToken::new();
    let needs: [ObjectId; 1] = [opened.snapshot.commit];
    let progress = leasectl_repo::NoProgress;
    let ensure = || cache.ensure_clone(&target, &needs, &progress, &cancel);
    assert_eq!(ensure().await.unwrap().recloned(), None);
    opened.cut("pack", 5);
    assert!(opened.readable() < opened.entries.len());
    let clone = ensure().await.unwrap();
    assert!(clone.recloned().is_some());
    let handle = cache.content(&clone).await.unwrap().handle();
    let mut buffer = Vec::new();
    for entry in &opened.entries {
        let read = handle.blob(entry.id, 1 << 20, &mut buffer).unwrap();
        assert_eq!(read, BlobRead::Whole);
    }
}
