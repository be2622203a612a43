//! Shards: assembled from the index, kept beside the clone, never relied upon.

use std::collections::HashMap;

use leasectl_core::database::{Client, Database};
use leasectl_core::index::{self, BlobId, IndexError};
use leasectl_index::{Shard, ShardBuilder, TRIGRAM_EXTRACTOR_VERSION, TrigramVector};
use leasectl_repo::Content;
use sha2::{Digest as _, Sha256};

use super::{IndexedTree, SearchFailure, has_text};

/// The version of the vectors that a shard is made of.
const FORMAT: u32 = TRIGRAM_EXTRACTOR_VERSION;

/// Files of one question.
const ASKED: usize = 1_024;

/// The shard of a tree: the one on this disk if it is whole, else a new one.
pub(super) async fn open(
    database: &Database,
    tree: &IndexedTree,
    content: &Content,
) -> Result<Shard<Vec<u8>>, SearchFailure> {
    let name = name(tree);
    let (read, from) = (content.clone(), name.clone());
    let kept = blocking(move || {
        let bytes = read.clone_read()?.derived(&from)?;
        // Cut off, rotten, or of another release: it is made anew.
        Shard::open(bytes).ok()
    });
    if let Some(shard) = kept.await? {
        return Ok(shard);
    }
    let client = database.client().await.map_err(IndexError::from)?;
    let bytes = assemble(&client, tree).await?;
    drop(client);
    let beside = content.clone();
    blocking(move || {
        // A worktree is somebody else's; nothing is put beside it.
        if let Some(Err(error)) = beside
            .clone_read()
            .map(|clone| clone.keep_derived(&name, &bytes))
        {
            tracing::debug!(%error, "the shard is not kept");
        }
        Ok(Shard::open(bytes)?)
    })
    .await?
}

/// A shard numbers these files, and knows the text of those that are not left out.
fn name(tree: &IndexedTree) -> String {
    let mut digest = Sha256::new();
    for file in &tree.files {
        for part in [file.path.as_bytes(), file.oid.as_bytes()] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        digest.update([u8::from(has_text(file))]);
    }
    let digest = digest.finalize();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}.{FORMAT}.shard")
}

/// Assembles the shard in bounded memory: a few files at a time.
async fn assemble(client: &Client, tree: &IndexedTree) -> Result<Vec<u8>, SearchFailure> {
    let mut builder = ShardBuilder::new(Vec::new());
    let mut rest = &tree.files[..];
    let mut number = 0;
    while !rest.is_empty() {
        let blobs: Vec<BlobId> = rest.iter().take(ASKED).map(|file| file.blob).collect();
        let (vectors, looked_at) = index::vectors(client, &tree.state.root, &blobs).await?;
        let vectors: HashMap<BlobId, Vec<u8>> = vectors.into_iter().collect();
        for file in &rest[..looked_at] {
            // A file that is not pushed is no candidate, whatever is asked.
            if has_text(file) {
                let payload = vectors.get(&file.blob).ok_or(IndexError::Gone)?;
                builder.push(number, &TrigramVector::decode(payload)?)?;
            }
            number += 1;
        }
        rest = &rest[looked_at..];
    }
    Ok(builder.finish()?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SearchFailure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_panicked| SearchFailure::Ended)
}
