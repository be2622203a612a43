//! What a worktree has and its object database has not: folders by the ids of the trees that they would be,
//! and files by the ids of the blobs that they would be.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice as _};
use gix::hash::Kind as HashKind;
use gix::objs::Kind;
use gix::objs::encode::loose_header;

use super::beneath::Beneath;
use crate::content::{BlobRead, DirEntry};
use crate::error::RepoError;

/// The most bytes that are hashed at a time.
const CHUNK: usize = 128 * 1024;

/// Where a blob's bytes are when no object holds them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FileAt {
    /// From the root.
    pub(super) path: BString,
    pub(super) bytes: u64,
}

/// Trees and blobs that no object holds.
#[derive(Debug)]
pub(crate) struct Overlay {
    root: Beneath,
    trees: HashMap<ObjectId, Vec<DirEntry>>,
    blobs: HashMap<ObjectId, FileAt>,
}

impl Overlay {
    pub(super) fn new(
        root: Beneath,
        trees: HashMap<ObjectId, Vec<DirEntry>>,
        blobs: HashMap<ObjectId, FileAt>,
    ) -> Self {
        Self { root, trees, blobs }
    }

    /// What stands in a folder.
    pub(crate) fn dir(&self, tree: ObjectId) -> Option<&[DirEntry]> {
        self.trees.get(&tree).map(Vec::as_slice)
    }

    /// Reads a file into `buffer`, unless it is longer than `most_bytes`; nothing when it is no file of these.
    ///
    /// # Errors
    /// [`RepoError::Changed`] when the file has other bytes by now, or cannot be read.
    pub(crate) fn blob(
        &self,
        id: ObjectId,
        most_bytes: u64,
        buffer: &mut Vec<u8>,
    ) -> Option<Result<BlobRead, RepoError>> {
        let file = self.blobs.get(&id)?;
        if file.bytes > most_bytes {
            let bytes = file.bytes;
            return Some(Ok(BlobRead::TooLong { bytes }));
        }
        Some(match self.read(id, file, buffer) {
            Some(()) => Ok(BlobRead::Whole),
            None => Err(changed(&file.path)),
        })
    }

    /// Whether these are the bytes of that blob is what the hash says, not what the file system says.
    fn read(&self, id: ObjectId, at: &FileAt, buffer: &mut Vec<u8>) -> Option<()> {
        let file = self.root.file(at.path.as_bstr()).ok()?;
        buffer.clear();
        file.take(at.bytes + 1).read_to_end(buffer).ok()?;
        let now = gix::objs::compute_hash(id.kind(), Kind::Blob, buffer).ok()?;
        (now == id).then_some(())
    }
}

/// The file at `path` is not what it was a moment ago.
pub(super) fn changed(path: &BString) -> RepoError {
    RepoError::Changed {
        path: path.to_str_lossy().into_owned(),
    }
}

/// Why a file has no hash.
#[derive(Debug)]
pub(super) enum Unhashed {
    /// It grew or shrank while it was read.
    Changed,
    /// Somebody asked to stop.
    Stopped,
    /// It cannot be read.
    Failed(io::Error),
}

impl From<io::Error> for Unhashed {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// The id that the file's bytes have as a blob, and how many they are. They are read in small pieces.
pub(super) fn hash(
    kind: HashKind,
    mut file: File,
    stop: &AtomicBool,
) -> Result<(ObjectId, u64), Unhashed> {
    let bytes = file.metadata()?.len();
    let mut hasher = gix::hash::hasher(kind);
    hasher.update(&loose_header(Kind::Blob, bytes));
    let room = usize::try_from(bytes).unwrap_or(CHUNK).clamp(1, CHUNK);
    let mut chunk = vec![0; room];
    let mut seen = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Unhashed::Stopped);
        }
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&chunk[..count]);
                seen += count as u64;
                if seen > bytes {
                    return Err(Unhashed::Changed);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if seen != bytes {
        return Err(Unhashed::Changed);
    }
    let id = hasher.try_finalize().map_err(io::Error::other)?;
    Ok((id, bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn id_of(bytes: &[u8]) -> ObjectId {
        gix::objs::compute_hash(HashKind::Sha1, Kind::Blob, bytes).unwrap()
    }

    fn hashed(bytes: &[u8]) -> ObjectId {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, bytes).unwrap();
        let never = AtomicBool::new(false);
        let (id, length) = hash(HashKind::Sha1, File::open(&path).unwrap(), &never).unwrap();
        assert_eq!(length, bytes.len() as u64);
        id
    }

    #[test]
    fn a_file_has_the_id_that_git_gives_it() {
        assert_eq!(
            hashed(b"").to_string(),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
        );
        assert_eq!(
            hashed(b"hello\n").to_string(),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
        let long = vec![7; CHUNK * 2 + 3];
        assert_eq!(hashed(&long), id_of(&long));
    }

    #[test]
    fn who_is_told_to_stop_stops() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "content").unwrap();
        let stop = AtomicBool::new(true);
        let stopped = hash(HashKind::Sha1, File::open(&path).unwrap(), &stop);
        assert!(matches!(stopped, Err(Unhashed::Stopped)));
    }

    #[test]
    fn a_file_is_read_only_while_it_is_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "before").unwrap();
        let id = id_of(b"before");
        let at = FileAt {
            path: "file".into(),
            bytes: 6,
        };
        let root = Beneath::hold(folder.path()).unwrap();
        let overlay = Overlay::new(root, HashMap::new(), [(id, at)].into());
        let mut buffer = Vec::new();
        let read = overlay.blob(id, 100, &mut buffer);
        assert!(matches!(read, Some(Ok(BlobRead::Whole))));
        assert_eq!(buffer, b"before");
        let long = overlay.blob(id, 5, &mut buffer);
        assert!(matches!(long, Some(Ok(BlobRead::TooLong { bytes: 6 }))));
        for now in [Some("behind"), Some("before and after"), Some(""), None] {
            match now {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let read = overlay.blob(id, 100, &mut buffer);
            assert!(
                matches!(read, Some(Err(RepoError::Changed { .. }))),
                "{now:?}"
            );
        }
        assert!(overlay.blob(id_of(b"other"), 100, &mut buffer).is_none());
    }
}
