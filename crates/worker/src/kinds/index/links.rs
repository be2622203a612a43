//! To what the imports of a tree lead, which depends on all of its paths and a few manifests.

use std::collections::HashMap;
use std::sync::Arc;

use leasectl_core::index::{
    DirId, FileImport, IndexScope, IndexedFile, LinksId, Resolutions, files, imports, store_links,
};
use leasectl_index::{
    Import, ImportKind, Language, MAX_MANIFEST_BYTES, Resolution, Resolver, is_manifest,
};
use leasectl_repo::{BlobRead, Content, ObjectId as GitId};

use super::run::{Failure, Run, ask};

/// A manifest's path and content.
type Manifest<'a> = (&'a str, Arc<[u8]>);

/// The most bytes of all manifests of a tree.
const MAX_MANIFESTS_BYTES: usize = 64 << 20;

impl Run<'_> {
    /// Resolves the imports of a tree and stores where they lead.
    pub(super) async fn link(
        &self,
        scope: &IndexScope,
        content: &Content,
        root: DirId,
    ) -> Result<Option<LinksId>, Failure> {
        let files = ask!(self, client => files(client, root));
        let found = ask!(self, client => imports(client, root, None));
        let content = content.clone();
        let resolutions = self
            .blocking(move || {
                let manifests = read_manifests(&content, &files)?;
                Ok(resolve(&files, &manifests, found))
            })
            .await?;
        let author = self.author;
        Ok(ask!(self, client => store_links(client, author, scope, root, &resolutions)))
    }
}

/// The manifests of the tree, each blob once and all together within bounds: one that is left out counts as
/// unread, and what it would say stays unresolved.
fn read_manifests<'a>(
    content: &Content,
    files: &'a [IndexedFile],
) -> Result<Vec<Manifest<'a>>, Failure> {
    let handle = content.handle();
    let mut by_blob: HashMap<GitId, Arc<[u8]>> = HashMap::new();
    let mut manifests = Vec::new();
    let mut total = 0;
    for file in files.iter().filter(|file| is_manifest(&file.path)) {
        let Ok(id) = GitId::try_from(file.oid.as_bytes()) else {
            continue;
        };
        if let Some(bytes) = by_blob.get(&id) {
            manifests.push((file.path.as_str(), Arc::clone(bytes)));
            continue;
        }
        let mut bytes = Vec::new();
        let read = handle.blob(id, MAX_MANIFEST_BYTES as u64, &mut bytes)?;
        total += bytes.len();
        if read == BlobRead::Whole && total <= MAX_MANIFESTS_BYTES {
            let bytes: Arc<[u8]> = bytes.into();
            by_blob.insert(id, Arc::clone(&bytes));
            manifests.push((file.path.as_str(), bytes));
        }
    }
    Ok(manifests)
}

fn resolve(
    files: &[IndexedFile],
    manifests: &[Manifest<'_>],
    found: Vec<FileImport>,
) -> Resolutions {
    let languages: HashMap<&str, Language> = files
        .iter()
        .filter_map(|file| {
            let language = Language::from_name(file.language.as_deref()?)?;
            Some((file.path.as_str(), language))
        })
        .collect();
    let paths = files.iter().map(|file| file.path.as_str());
    let manifests = manifests.iter().map(|(path, bytes)| (*path, &bytes[..]));
    let mut resolver = Resolver::new(paths, manifests);
    let mut by_file: HashMap<String, Vec<Import>> = HashMap::new();
    for one in found {
        by_file
            .entry(one.path)
            .or_default()
            .push(import(one.import));
    }
    for (path, imports) in &by_file {
        if let (Some(file), Some(language)) = (resolver.file(path), languages.get(path.as_str())) {
            resolver.declare(file, *language, imports);
        }
    }
    let mut resolutions = Resolutions::new();
    for (path, imports) in by_file {
        let (Some(file), Some(language)) = (resolver.file(&path), languages.get(path.as_str()))
        else {
            continue;
        };
        let leads: Vec<Option<String>> = imports
            .iter()
            .map(|import| place(&resolver, resolver.resolve(file, *language, import)))
            .collect();
        if leads.iter().any(Option::is_some) {
            resolutions.insert(path, leads);
        }
    }
    resolutions
}

/// The path inside the tree, if it leads to one: of a package its directory.
fn place(resolver: &Resolver, resolution: Resolution) -> Option<String> {
    match resolution {
        Resolution::File(file) => Some(resolver.path(file).to_owned()),
        Resolution::Package(package) => match resolver.package_dir(package) {
            "" => Some(".".to_owned()),
            dir => Some(dir.to_owned()),
        },
        Resolution::External(_) | Resolution::Unknown => None,
    }
}

fn import(stored: leasectl_core::index::Import) -> Import {
    Import {
        kind: kind(stored.kind),
        target: stored.target,
        line: stored.line,
    }
}

fn kind(stored: leasectl_core::index::ImportKind) -> ImportKind {
    use leasectl_core::index::ImportKind as Stored;
    match stored {
        Stored::Module => ImportKind::Module,
        Stored::Item => ImportKind::Item,
        Stored::Declaration => ImportKind::Declaration,
        Stored::File => ImportKind::File,
        Stored::System => ImportKind::System,
    }
}
