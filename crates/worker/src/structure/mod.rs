//! Answers about the structure of an indexed tree: what a file depends on, and what depends on it.
//!
//! Both need PostgreSQL alone. Only names of what lies outside of the tree come from its manifests, which are
//! read from the clone, and only where something that the file reaches leads out of the tree.
//!
//! **Invariant.** Where in the tree an import leads is what the view `leasectl.index_imports` says; nothing is
//! resolved a second time.

mod imports;
mod manifests;

use std::collections::HashMap;
use std::sync::Arc;

use leasectl_core::database::Database;
use leasectl_core::index::{self, IndexError, IndexedFile};
use leasectl_index::{
    Coverage, FileId, Grammar, Graph, Language, Resolver, extractor_id, is_manifest,
};
use serde::Serialize;

pub use self::imports::{Outside, TreeImports};
pub use self::manifests::{Manifest, read_manifests};
use crate::search::IndexedTree;

/// A file of an indexed tree among the others.
#[derive(Debug)]
pub struct Structure {
    tree: IndexedTree,
    file: FileId,
    language: Option<Language>,
    skip: Option<String>,
    imports: TreeImports,
    resolver: Resolver,
    /// Of the files, without what lies outside.
    graph: Graph,
}

/// How far an answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// One import.
    Direct,
    /// As many as there are.
    Transitive,
}

/// What a file depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dependencies {
    /// The files of the tree, nearest first.
    pub files: Vec<Dependency>,
    /// What the file itself imports from outside, by name.
    pub external: Vec<String>,
    /// What only the files that it depends on import from outside; nothing when they were not looked at.
    pub transitive_external: Option<Vec<String>>,
    /// What the file itself imports of which nobody knows what it means, as it is written.
    pub unresolved: Vec<String>,
}

/// A file on which another one depends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Dependency {
    /// The file.
    pub path: String,
    /// The least number of imports between the two files.
    pub distance: u32,
}

/// A file that depends on another one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Dependent {
    /// The file.
    pub path: String,
    /// The least number of imports between the two files.
    pub distance: u32,
    /// Whether it holds tests.
    pub test: bool,
}

/// The index cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum StructureFailure {
    /// The index cannot be read.
    #[error("the index cannot be read")]
    Index(#[from] IndexError),
    /// The thread that follows the imports ended early.
    #[error("following the imports ended early")]
    Ended,
}

impl Structure {
    /// Reads the imports of the tree around one of its files. Nothing when the tree has no file of that path.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn of(
        database: &Database,
        tree: IndexedTree,
        path: &str,
    ) -> Result<Option<Self>, StructureFailure> {
        let Some(file) = tree.files.iter().find(|file| file.path == path) else {
            return Ok(None);
        };
        let client = database.client().await.map_err(IndexError::from)?;
        let root = &tree.state.root;
        let language = language(file);
        let skip = match (&file.skip, language) {
            (None, Some(language)) => {
                index::left_out(&client, root, file.blob, &extractors(language)).await?
            }
            (reason, _) => reason.clone(),
        };
        let found = index::imports(&client, root.dir, root.links).await?;
        drop(client);
        let path = path.to_owned();
        blocking(move || {
            let imports = TreeImports::new(&languages(&tree.files), found);
            let resolver = imports.resolver(paths(&tree.files), &[]);
            let graph = imports.graph(&resolver, Outside::LeftOut);
            Some(Self {
                file: resolver.file(&path)?,
                tree,
                language,
                skip,
                imports,
                resolver,
                graph,
            })
        })
        .await
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> &IndexedTree {
        &self.tree
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.resolver.path(self.file)
    }

    /// The file's language, if it is one of those whose imports are known.
    #[must_use]
    pub fn language(&self) -> Option<Language> {
        self.language
    }

    /// Why it is not known what the file imports, such as `vendored`.
    #[must_use]
    pub fn skip(&self) -> Option<&str> {
        self.skip.as_deref()
    }

    /// How far it is known what the file imports.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        match (&self.skip, self.language) {
            (None, Some(language)) => Coverage::of(language),
            (Some(_), _) | (None, None) => Coverage::None,
        }
    }

    /// How far it is known what imports the file. One without a language can be imported by its path.
    #[must_use]
    pub fn impact_coverage(&self) -> Coverage {
        self.language.map_or(Coverage::Relative, Coverage::of)
    }

    /// The manifests without which [`Self::dependencies`] cannot name what lies outside; none where nothing
    /// that the file reaches leads out of the tree.
    #[must_use]
    pub fn wanted_manifests(&self, depth: Depth) -> Vec<IndexedFile> {
        let reached = match depth {
            Depth::Direct => Vec::new(),
            Depth::Transitive => self.graph.dependencies(self.file).inside,
        };
        let reached = reached.iter().map(|reached| reached.file);
        let leads_elsewhere = |file| self.imports.leads_elsewhere(self.resolver.path(file));
        if !std::iter::once(self.file)
            .chain(reached)
            .any(leads_elsewhere)
        {
            return Vec::new();
        }
        let files = self.tree.files.iter();
        files
            .filter(|file| is_manifest(&file.path))
            .cloned()
            .collect()
    }

    /// What the file depends on. `manifests` are those that [`Self::wanted_manifests`] asks for.
    ///
    /// # Errors
    /// When the thread that follows the imports breaks.
    pub async fn dependencies(
        self: &Arc<Self>,
        manifests: Vec<Manifest>,
        depth: Depth,
    ) -> Result<Dependencies, StructureFailure> {
        let this = Arc::clone(self);
        blocking(move || this.depends_on(&manifests, depth)).await
    }

    fn depends_on(&self, manifests: &[Manifest], depth: Depth) -> Dependencies {
        // The same paths, so the files have the same numbers.
        let resolver = self.imports.resolver(paths(&self.tree.files), manifests);
        let graph = self.imports.graph(&resolver, Outside::Named);
        let found = graph.dependencies(self.file);
        let near = found
            .inside
            .iter()
            .take_while(|it| depth.reaches(it.distance));
        let dependency = |file, distance| Dependency {
            path: resolver.path(file).to_owned(),
            distance,
        };
        Dependencies {
            files: near.map(|it| dependency(it.file, it.distance)).collect(),
            external: found.externals,
            transitive_external: match depth {
                Depth::Direct => None,
                Depth::Transitive => Some(found.transitive_externals),
            },
            unresolved: self.imports.unresolved(&resolver, self.path()),
        }
    }

    /// What depends on the file, nearest first.
    #[must_use]
    pub fn impact(&self, depth: Depth) -> Vec<Dependent> {
        let by_path = languages(&self.tree.files);
        let language = |file| by_path.get(self.resolver.path(file)).copied();
        let found = self.graph.impact(&self.resolver, language, self.file);
        let near = found.iter().take_while(|it| depth.reaches(it.distance));
        near.map(|it| Dependent {
            path: self.resolver.path(it.file).to_owned(),
            distance: it.distance,
            test: it.is_test,
        })
        .collect()
    }
}

impl Depth {
    fn reaches(self, distance: u32) -> bool {
        match self {
            Self::Direct => distance <= 1,
            Self::Transitive => true,
        }
    }
}

fn language(file: &IndexedFile) -> Option<Language> {
    Language::from_name(file.language.as_deref()?)
}

/// The languages of the files that have one, by path.
#[must_use]
pub fn languages(files: &[IndexedFile]) -> HashMap<&str, Language> {
    files
        .iter()
        .filter_map(|file| Some((file.path.as_str(), language(file)?)))
        .collect()
}

/// The paths of the files.
pub fn paths(files: &[IndexedFile]) -> impl Iterator<Item = &str> {
    files.iter().map(|file| file.path.as_str())
}

/// The names of the extractors that may have read a file of that language.
fn extractors(language: Language) -> Vec<&'static str> {
    let grammars = Grammar::ALL.into_iter();
    grammars
        .filter(|grammar| grammar.language() == language)
        .map(|grammar| extractor_id(grammar).0)
        .collect()
}

/// A large tree takes its time, in which Ctrl-C is heard.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StructureFailure> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|_panicked| StructureFailure::Ended)
}
