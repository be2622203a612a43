//! Answers from the index: a shard of one tree is assembled from what is stored, and what it proposes is
//! confirmed in the bytes of the clone, or of the worktree.
//!
//! **Invariant.** Answers come from the ref's own tree: nothing else that the index holds is looked at. The
//! shard on the disk is a cache: it is checked when it is opened, and one that is lost or rotten is made anew.

mod answer;
mod shards;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use leasectl_core::database::Database;
use leasectl_core::index::{self, FileSymbol, IndexError, IndexedFile, RefState, WorktreeRef};
use leasectl_core::repository::Repository;
use leasectl_index::{
    MAX_FILE_BYTES, PathFilter, Place, Query, SearchAnswer, SearchError, SearchFile, SearchLimits,
    Shard, ShardBuilderError, ShardError, SkipReason, Stop, TrigramVectorError, Verdict, readable,
    search,
};
use leasectl_repo::bstr::BString;
use leasectl_repo::{BlobRead, Content, Handle, ObjectId, RepoError};

pub use self::answer::{Answer, Around, Found, Wanted};

/// The most bytes of a line in an answer.
const LINE_BYTES: usize = 1_000;

/// The most bytes of blobs that a searcher keeps for each of the queries that run at once.
const KEPT_BYTES: usize = 64 << 20;

/// The index cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchFailure {
    /// The index cannot be read.
    #[error("the index cannot be read")]
    Index(#[from] IndexError),
    /// What is stored of a file is damaged.
    #[error("what the index holds of a file is damaged")]
    Vector(#[from] TrigramVectorError),
    /// The shard cannot be assembled.
    #[error("the tree is too large to search")]
    Assemble(#[from] ShardBuilderError),
    /// The shard that was just assembled cannot be used.
    #[error("the search failed")]
    Search(#[from] ShardError),
    /// The clone cannot be read.
    #[error(transparent)]
    Clone(#[from] RepoError),
    /// A thread of the search ended early.
    #[error("the search ended early")]
    Ended,
}

/// An indexed tree that is ready to be searched, again and again.
#[derive(Debug)]
pub struct Searcher {
    tree: IndexedTree,
    /// What each file is to people, in the order of the tree's files.
    places: Vec<Place>,
    shard: Shard<Vec<u8>>,
    content: Content,
    /// Those of earlier queries, with the blobs that they have read.
    handles: Mutex<Vec<Handle>>,
}

/// One indexed tree.
#[derive(Clone, Debug)]
pub struct IndexedTree {
    pub(crate) name: String,
    pub(crate) state: RefState,
    /// In the order of their paths, by which the shard numbers them.
    pub(crate) files: Vec<IndexedFile>,
}

impl IndexedTree {
    /// The tree to which a ref was last published; nothing when it was never indexed. Without a name, the
    /// default branch.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn of(
        database: &Database,
        repository: &Repository,
        name: Option<&str>,
    ) -> Result<Option<Self>, SearchFailure> {
        let client = database.client().await.map_err(IndexError::from)?;
        for name in names(repository.default_branch.as_deref(), name) {
            if let Some(state) = index::ref_state(&client, repository.id, &name).await? {
                let mut files = index::files(&client, state.root.dir).await?;
                files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
                return Ok(Some(Self { name, state, files }));
            }
        }
        Ok(None)
    }

    /// The commit that was indexed; nothing when its name is none that Git has.
    #[must_use]
    pub fn commit(&self) -> Option<ObjectId> {
        ObjectId::try_from(self.state.commit.as_bytes()).ok()
    }

    /// Whether it is that of a worktree, of which no clone needs to have everything.
    #[must_use]
    pub fn is_worktree(&self) -> bool {
        WorktreeRef::is_one(&self.name)
    }

    /// The blobs, each with a path that it has and its length in bytes.
    pub fn blobs(&self) -> impl Iterator<Item = (ObjectId, BString, u64)> {
        self.files.iter().filter_map(|file| {
            let path = index::path_bytes(&file.path).into();
            Some((object(file)?, path, file.bytes))
        })
    }

    /// Reads a blob into `bytes`; nothing when only the worktree had it, and has it no more.
    fn read(
        &self,
        handle: &Handle,
        id: ObjectId,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<BlobRead>, RepoError> {
        match handle.blob(id, MAX_FILE_BYTES, bytes) {
            Err(RepoError::Changed { .. }) => Ok(None),
            Err(_) if self.is_worktree() && !handle.has(id) => Ok(None),
            read => read.map(Some),
        }
    }

    /// Makes the tree ready to be searched: with the shard that lies beside the clone, or else with a new one
    /// from what the index holds; no blob is read for it.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn open(
        self,
        database: &Database,
        content: Content,
    ) -> Result<Searcher, SearchFailure> {
        let shard = shards::open(database, &self, &content).await?;
        let place = |file: &IndexedFile| {
            let reason = file.skip.as_deref().and_then(SkipReason::parse);
            Place::of(&file.path, Verdict::stored(reason), None)
        };
        Ok(Searcher {
            places: self.files.iter().map(place).collect(),
            tree: self,
            shard,
            content,
            handles: Mutex::default(),
        })
    }

    /// Where symbols of that name are defined.
    ///
    /// # Errors
    /// When the index or the clone cannot be read.
    pub async fn symbols(
        self,
        database: &Database,
        content: Content,
        name: &str,
        filter: Option<PathFilter>,
        wanted: Wanted,
    ) -> Result<Answer, SearchFailure> {
        let client = database.client().await.map_err(IndexError::from)?;
        let mut symbols = index::symbols_named(&client, self.state.root.dir, name).await?;
        drop(client);
        symbols.retain(|one| {
            filter
                .as_ref()
                .is_none_or(|filter| filter.accepts(&one.path))
        });
        let complete = symbols.len() <= wanted.lines;
        symbols.truncate(wanted.lines);
        let showing = move || self.show(&content, symbols, wanted.context);
        let shown = tokio::task::spawn_blocking(showing).await;
        let (found, changed) = shown.map_err(|_panicked| SearchFailure::Ended)??;
        Ok(Answer {
            found,
            complete,
            changed,
        })
    }

    fn show(
        &self,
        content: &Content,
        symbols: Vec<FileSymbol>,
        context: usize,
    ) -> Result<(Vec<Found>, usize), SearchFailure> {
        let handle = content.handle();
        let by_path: HashMap<&str, &IndexedFile> = self
            .files
            .iter()
            .map(|file| (file.path.as_str(), file))
            .collect();
        let mut found = Vec::with_capacity(symbols.len());
        let mut bytes = Vec::new();
        let mut held: Option<ObjectId> = None;
        let mut changed = HashSet::new();
        for FileSymbol { path, symbol } in symbols {
            let Some(file) = by_path.get(path.as_str()) else {
                continue;
            };
            let Some(id) = object(file) else { continue };
            if held != Some(id) {
                let read = self.read(&handle, id, &mut bytes)?;
                held = (read == Some(BlobRead::Whole)).then_some(id);
                if read.is_none() {
                    changed.insert(id);
                }
            }
            if changed.contains(&id) {
                continue;
            }
            let place = symbol.line_start.saturating_sub(1) as usize;
            let (text, around) = excerpt(&bytes, place, context);
            let column = text.find(&symbol.name).unwrap_or_default() as u64 + 1;
            let line = u64::from(symbol.line_start);
            found.push(self.found(file, (line, column), text, around));
        }
        Ok((found, changed.len()))
    }

    fn found(
        &self,
        file: &IndexedFile,
        (line, column): (u64, u64),
        text: String,
        around: Option<Around>,
    ) -> Found {
        Found {
            reference: self.name.clone(),
            path: file.path.clone(),
            line,
            column,
            text,
            blob: file.oid.to_string(),
            around,
        }
    }
}

impl Searcher {
    fn handle(&self) -> Handle {
        let mut kept = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop()
            .unwrap_or_else(|| self.content.handle_keeping(KEPT_BYTES))
    }

    fn keep(&self, handle: Handle) {
        let mut kept = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(handle);
    }

    /// The lines that match, the best file first. Candidates of the shard are confirmed in their bytes. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// When the clone cannot be read.
    pub fn search(
        &self,
        query: &Query,
        filter: Option<&PathFilter>,
        wanted: Wanted,
    ) -> Result<Answer, SearchFailure> {
        let handle = self.handle();
        let files = self.tree.files.iter().zip(&self.places);
        let files: Vec<SearchFile<'_>> = files
            .map(|(file, place)| SearchFile {
                path: &file.path,
                place: *place,
            })
            .collect();
        let limits = SearchLimits {
            hits: wanted.lines,
            line_bytes: LINE_BYTES,
            context_lines: wanted.context,
            ..SearchLimits::default()
        };
        let mut changed = 0;
        let read = |number: u32| {
            let mut bytes = Vec::new();
            if let Some(id) = self.tree.files.get(number as usize).and_then(object)
                && self.tree.read(&handle, id, &mut bytes)?.is_none()
            {
                changed += 1;
                bytes.clear();
            }
            Ok(bytes)
        };
        let never = AtomicBool::new(false);
        let stop = Stop::when(&never);
        let answer = search(&self.shard, &files, query, filter, limits, read, &stop);
        let SearchAnswer { hits, complete } = answer.map_err(failure)?;
        self.keep(handle);
        let found = hits.into_iter().filter_map(|hit| {
            let file = self.tree.files.get(hit.file as usize)?;
            let (before, after) = (hit.before, hit.after);
            let around = (wanted.context > 0).then_some(Around { before, after });
            let place = (hit.line, hit.column);
            Some(self.tree.found(file, place, hit.text.text, around))
        });
        Ok(Answer {
            found: found.collect(),
            complete,
            changed,
        })
    }
}

/// One line of a text, counted from 0, and those around it if any are wanted.
fn excerpt(bytes: &[u8], place: usize, context: usize) -> (String, Option<Around>) {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let first = place.saturating_sub(context);
    let lines = bytes.split(|byte| *byte == b'\n').skip(first);
    let mut lines = lines.map(|line| readable(line, LINE_BYTES));
    let before: Vec<String> = lines.by_ref().take(place - first).collect();
    let text = lines.next().unwrap_or_default();
    let after = lines.take(context).collect();
    (text, (context > 0).then_some(Around { before, after }))
}

/// Under which names a ref may have been published: a branch, then a tag, then as it was given.
fn names(default_branch: Option<&str>, given: Option<&str>) -> Vec<String> {
    match given {
        None => default_branch.map(str::to_owned).into_iter().collect(),
        Some(given) => {
            let short = given.strip_prefix("refs/heads/").unwrap_or(given);
            let full = format!("refs/{given}");
            let tag = format!("refs/tags/{given}");
            let named = vec![short.to_owned(), full, tag];
            // A commit is published by its id as Git writes it.
            let id = ObjectId::from_hex(given.as_bytes()).map(|id| id.to_string());
            named.into_iter().chain(id).collect()
        }
    }
}

/// Whether the text is searched: a path may say that a file is none, whatever its bytes are.
fn has_text(file: &IndexedFile) -> bool {
    let reason = file.skip.as_deref().and_then(SkipReason::parse);
    Verdict::stored(reason).no_text().is_none()
}

fn object(file: &IndexedFile) -> Option<ObjectId> {
    ObjectId::try_from(file.oid.as_bytes()).ok()
}

fn failure(error: SearchError<RepoError>) -> SearchFailure {
    match error {
        SearchError::Shard(error) => error.into(),
        SearchError::Read { source, .. } => source.into(),
        SearchError::UnknownFile(_) | SearchError::Stopped(_) => SearchFailure::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_those_around_it_that_there_are() {
        let text = b"one\ntwo\nthree\nfour\n";
        let around = |before: &[&str], after: &[&str]| {
            let owned = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
            let (before, after) = (owned(before), owned(after));
            Some(Around { before, after })
        };
        assert_eq!(excerpt(text, 1, 0), ("two".to_owned(), None));
        let two = around(&["one"], &["three", "four"]);
        assert_eq!(excerpt(text, 1, 2), ("two".to_owned(), two));
        let four = around(&["three"], &[]);
        assert_eq!(excerpt(text, 3, 1), ("four".to_owned(), four));
        assert_eq!(excerpt(text, 9, 0), (String::new(), None));
    }

    #[test]
    fn a_ref_is_looked_for_as_a_branch_then_as_a_tag_and_a_commit_by_its_id() {
        let id = "ABCDEF0123456789ABCDEF0123456789ABCDEF01";
        assert_eq!(names(Some("main"), None), ["main"]);
        assert!(names(None, None).is_empty());
        assert_eq!(
            names(Some("main"), Some("v1")),
            ["v1", "refs/v1", "refs/tags/v1"]
        );
        assert_eq!(names(None, Some("refs/heads/x"))[0], "x");
        assert_eq!(names(None, Some("tags/v1"))[1], "refs/tags/v1");
        assert_eq!(names(None, Some(id)).last(), Some(&id.to_ascii_lowercase()));
        // Refs are case-sensitive.
        assert!(!names(None, Some("Main")).contains(&"main".to_owned()));
    }
}
