//! Reads and extracts blobs on every processor, within bounded memory.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use leasectl_core::index::{
    self as stored, ExtractorId, IndexScope, KnownBlob, NewBlob, ObjectId, TagsPayload, TextPayload,
};
use leasectl_index::{
    Extractor, Grammar, ImportKind, Limits, MAX_FILE_BYTES, Outcome, PREFIX_BYTES, SkipReason,
    Stop, Tags, TrigramExtractor, TrigramExtractorError, extractor_id,
};
use leasectl_repo::{BlobRead, Content, Handle, ObjectId as GitId, RepoError};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::facts::{ByPath, Facts};

/// Extracted blobs that wait to be stored; with those under way this bounds the memory. So many that no
/// processor waits while a batch is stored.
const WAITING: usize = 256;

/// A blob that may have to be read.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) git: GitId,
    pub(super) oid: ObjectId,
    pub(super) known: Option<KnownBlob>,
    /// What its paths say, each once.
    pub(super) paths: Vec<ByPath>,
}

/// What came of a blob.
#[derive(Debug)]
pub(super) struct Extracted {
    pub(super) git: GitId,
    pub(super) new: NewBlob,
    pub(super) facts: Facts,
}

impl Task {
    /// What is known of the content without reading it.
    pub(super) fn facts(&self) -> Option<Facts> {
        let text = self.known.as_ref()?.text.as_ref()?;
        Some(Facts::from_hint(text.hint.as_deref()))
    }

    /// Whether everything that its paths ask for is there.
    pub(super) fn is_done(&self, scope: &IndexScope) -> bool {
        let Some((known, facts)) = self.known.as_ref().zip(self.facts()) else {
            return false;
        };
        let is_skipped = known.text.as_ref().is_some_and(|text| text.skip.is_some());
        is_skipped || self.missing_grammars(scope, facts).is_empty()
    }

    /// The grammars that its paths ask for and whose payloads are not there.
    fn missing_grammars(&self, scope: &IndexScope, facts: Facts) -> Vec<(Grammar, ExtractorId)> {
        let there = self.known.as_ref().map_or(&[][..], |known| &known.tags);
        let wanted: HashSet<Grammar> = self
            .paths
            .iter()
            .filter_map(|path| path.wanted(facts))
            .collect();
        let numbered = wanted.into_iter().filter_map(|grammar| {
            let id = scope.extractor(extractor_id(grammar).0)?;
            Some((grammar, id))
        });
        numbered.filter(|(_, id)| !there.contains(id)).collect()
    }
}

/// Threads that extract; they end when this is dropped.
pub(super) struct Extraction {
    stop: Arc<AtomicBool>,
    results: Receiver<Result<Extracted, RepoError>>,
}

impl Drop for Extraction {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Extraction {
    /// Starts to work through the tasks.
    pub(super) fn start(content: &Content, scope: &IndexScope, tasks: Vec<Task>) -> Self {
        let threads = available_parallelism()
            .map_or(1, usize::from)
            .min(tasks.len());
        let (sender, results) = mpsc::channel(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let queue = Arc::new(Queue {
            tasks: Mutex::new(tasks.into_iter()),
            scope: scope.clone(),
        });
        for _ in 0..threads {
            let (content, queue) = (content.clone(), Arc::clone(&queue));
            let (stop, sender) = (Arc::clone(&stop), sender.clone());
            tokio::task::spawn_blocking(move || queue.work(&content.handle(), &stop, &sender));
        }
        Self { stop, results }
    }

    /// The next blob, in no order; nothing when all are done.
    pub(super) async fn next(&mut self) -> Option<Result<Extracted, RepoError>> {
        self.results.recv().await
    }
}

struct Queue {
    tasks: Mutex<std::vec::IntoIter<Task>>,
    scope: IndexScope,
}

impl Queue {
    fn next(&self) -> Option<Task> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.next()
    }

    fn work(
        &self,
        handle: &Handle,
        stop: &AtomicBool,
        results: &Sender<Result<Extracted, RepoError>>,
    ) {
        let mut bench = Bench::default();
        while let Some(task) = self.next() {
            match bench.extract(handle, &task, &self.scope, Stop::when(stop)) {
                Ok(Some(extracted)) => {
                    if results.blocking_send(Ok(extracted)).is_err() {
                        return;
                    }
                }
                // Asked to stop.
                Ok(None) => return,
                Err(error) => {
                    // Nobody may want to know any more.
                    let _ = results.blocking_send(Err(error));
                    return;
                }
            }
        }
    }
}

/// What one thread works with, used again for every blob.
#[derive(Default)]
struct Bench {
    buffer: Vec<u8>,
    trigrams: TrigramExtractor,
    tags: Extractor,
}

impl Bench {
    fn extract(
        &mut self,
        handle: &Handle,
        task: &Task,
        scope: &IndexScope,
        stop: Stop<'_>,
    ) -> Result<Option<Extracted>, RepoError> {
        let read = handle.blob(task.git, MAX_FILE_BYTES, &mut self.buffer)?;
        let mut new = NewBlob {
            oid: task.oid,
            bytes: 0,
            text: None,
            tags: Vec::new(),
        };
        let facts = match read {
            BlobRead::TooLong { bytes } => {
                new.bytes = bytes;
                new.text = Some(skipped(SkipReason::Oversized.as_str(), None));
                Facts::default()
            }
            BlobRead::NoBlob => {
                new.text = Some(skipped(SkipReason::Binary.as_str(), None));
                Facts::default()
            }
            BlobRead::Whole => {
                new.bytes = self.buffer.len() as u64;
                match self.read_whole(task, scope, stop, &mut new) {
                    Some(facts) => facts,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Extracted {
            git: task.git,
            new,
            facts,
        }))
    }

    /// Extracts what is in the buffer; nothing when it was asked to stop.
    fn read_whole(
        &mut self,
        task: &Task,
        scope: &IndexScope,
        stop: Stop<'_>,
        new: &mut NewBlob,
    ) -> Option<Facts> {
        let head = &self.buffer[..self.buffer.len().min(PREFIX_BYTES)];
        if head.contains(&0) {
            new.text = Some(skipped(SkipReason::Binary.as_str(), None));
            return Some(Facts::default());
        }
        let facts = Facts::of(&self.buffer);
        if task.facts().is_none() {
            new.text = Some(self.text(facts, stop)?);
        }
        for (grammar, id) in task.missing_grammars(scope, facts) {
            new.tags.push((id, self.tags(grammar, stop)?));
        }
        Some(facts)
    }

    fn text(&mut self, facts: Facts, stop: Stop<'_>) -> Option<TextPayload> {
        let hint = facts.to_hint();
        match self.trigrams.extract(&self.buffer, &stop) {
            Ok(vector) => Some(TextPayload::Vector {
                lines: lines(&self.buffer),
                vector: vector.encode(),
                hint,
            }),
            Err(TrigramExtractorError::Stopped(_)) => None,
            Err(TrigramExtractorError::TooMany) => {
                Some(skipped(SkipReason::Oversized.as_str(), hint))
            }
        }
    }

    fn tags(&mut self, grammar: Grammar, stop: Stop<'_>) -> Option<TagsPayload> {
        let (tags, buffer) = (&mut self.tags, &self.buffer);
        // One file on which a parser breaks must not keep the rest of the tree from being indexed.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            tags.extract(grammar, buffer, &Limits::default(), stop)
        }));
        let reason = match outcome {
            Ok(Ok(Outcome::Extracted(tags))) => return Some(found(tags)),
            Ok(Ok(Outcome::Cancelled)) => return None,
            Ok(Ok(Outcome::Skipped(limit))) => limit.name(),
            Ok(Err(error)) => {
                tracing::error!(%error, "a grammar cannot be used");
                "no_grammar"
            }
            Err(_panic) => {
                self.tags = Extractor::new();
                "extractor_failed"
            }
        };
        Some(TagsPayload::Skipped {
            reason: reason.to_owned(),
        })
    }
}

fn skipped(reason: &str, hint: Option<String>) -> TextPayload {
    TextPayload::Skipped {
        reason: reason.to_owned(),
        hint,
    }
}

/// As `wc -l` counts, and one more for a last line without an end.
fn lines(content: &[u8]) -> u32 {
    let ends = memchr::memchr_iter(b'\n', content).count();
    let open = usize::from(content.last().is_some_and(|last| *last != b'\n'));
    u32::try_from(ends + open).unwrap_or(u32::MAX)
}

fn found(tags: Tags) -> TagsPayload {
    TagsPayload::Found {
        symbols: tags.symbols.into_iter().map(symbol).collect(),
        imports: tags.imports.into_iter().map(import).collect(),
    }
}

fn symbol(symbol: leasectl_index::Symbol) -> stored::Symbol {
    stored::Symbol {
        // Both sides have the same names; a test holds them together.
        kind: stored::SymbolKind::from_name(symbol.kind.name()).unwrap_or(stored::SymbolKind::Type),
        name: symbol.name,
        line_start: symbol.line_start,
        line_end: symbol.line_end,
    }
}

fn import(import: leasectl_index::Import) -> stored::Import {
    stored::Import {
        kind: stored_import_kind(import.kind),
        target: import.target,
        line: import.line,
    }
}

fn stored_import_kind(kind: ImportKind) -> stored::ImportKind {
    match kind {
        ImportKind::Module => stored::ImportKind::Module,
        ImportKind::Item => stored::ImportKind::Item,
        ImportKind::Declaration => stored::ImportKind::Declaration,
        ImportKind::File => stored::ImportKind::File,
        ImportKind::System => stored::ImportKind::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_symbol_has_its_name_in_the_index() {
        for kind in leasectl_index::SymbolKind::ALL {
            let stored = stored::SymbolKind::from_name(kind.name());
            assert_eq!(stored.map(stored::SymbolKind::name), Some(kind.name()));
        }
    }

    #[test]
    fn lines_are_counted_with_or_without_an_end() {
        for (content, count) in [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2)] {
            assert_eq!(lines(content.as_bytes()), count, "{content:?}");
        }
    }
}
