//! The manifests of a tree, read from its clone: they say how its languages find modules.

use std::collections::HashMap;
use std::sync::Arc;

use leasectl_core::index::IndexedFile;
use leasectl_index::{MAX_MANIFEST_BYTES, is_manifest};
use leasectl_repo::{BlobRead, Content, ObjectId, RepoError};

/// The most bytes of all manifests of a tree.
const MAX_MANIFESTS_BYTES: usize = 64 << 20;

/// A manifest's path and content.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub(super) path: String,
    pub(super) content: Arc<[u8]>,
}

/// Reads the manifests among these files, each blob once and all together within bounds: one that is left
/// out counts as unread, and what it would say stays unresolved.
///
/// # Errors
/// When the clone is damaged.
pub fn read_manifests(
    content: &Content,
    files: &[IndexedFile],
) -> Result<Vec<Manifest>, RepoError> {
    let handle = content.handle();
    let mut by_blob: HashMap<ObjectId, Arc<[u8]>> = HashMap::new();
    let mut manifests = Vec::new();
    let mut total = 0;
    for file in files.iter().filter(|file| is_manifest(&file.path)) {
        let Ok(id) = ObjectId::try_from(file.oid.as_bytes()) else {
            continue;
        };
        let path = file.path.clone();
        if let Some(content) = by_blob.get(&id).cloned() {
            manifests.push(Manifest { path, content });
            continue;
        }
        let mut bytes = Vec::new();
        let read = handle.blob(id, MAX_MANIFEST_BYTES as u64, &mut bytes)?;
        total += bytes.len();
        if read == BlobRead::Whole && total <= MAX_MANIFESTS_BYTES {
            let content: Arc<[u8]> = bytes.into();
            by_blob.insert(id, Arc::clone(&content));
            manifests.push(Manifest { path, content });
        }
    }
    Ok(manifests)
}
