//! What Cargo's manifests say about the packages of a tree.

use std::collections::BTreeMap;

use toml_edit::{DocumentMut, Item};

use super::tree::{Tree, ancestors, join, name, parent};

/// The manifests of a tree, by their directory.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    by_dir: BTreeMap<String, DocumentMut>,
}

/// A package and what its crates are made of.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) dir: String,
    /// The name under which the others import its library.
    pub(super) lib_name: String,
    /// The root file of the library, if there is one.
    pub(super) lib: Option<String>,
    /// The root files of all crates, the library among them.
    pub(super) roots: Vec<String>,
    /// By the name that the source uses.
    pub(super) dependencies: BTreeMap<String, Dependency>,
}

/// Where a dependency comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dependency {
    /// From a package of the tree, in this directory.
    Inside(String),
    /// From elsewhere, by its package's name.
    Outside(String),
}

impl Manifests {
    pub(super) fn read(&mut self, path: &str, content: &str) -> bool {
        let document = content.parse::<DocumentMut>();
        document.is_ok_and(|document| {
            self.by_dir.insert(parent(path).to_owned(), document);
            true
        })
    }

    /// The packages, by their directory.
    pub(super) fn packages(&self, tree: &Tree) -> BTreeMap<String, Package> {
        let named = |dir: &str, document: &DocumentMut| {
            let name = document.get("package")?.get("name")?.as_str()?;
            Some((dir.to_owned(), self.package(tree, dir, document, name)))
        };
        self.by_dir
            .iter()
            .filter_map(|(dir, document)| named(dir, document))
            .collect()
    }

    fn package(&self, tree: &Tree, dir: &str, document: &DocumentMut, name: &str) -> Package {
        let text = |table: &Item, key: &str| Some(table.get(key)?.as_str()?.to_owned());
        let lib_table = document.get("lib");
        let lib_name = lib_table
            .and_then(|lib| text(lib, "name"))
            .unwrap_or(name.to_owned());
        let lib_path = lib_table.and_then(|lib| text(lib, "path"));
        let lib = join(dir, lib_path.as_deref().unwrap_or("src/lib.rs"));
        let lib = lib.filter(|path| tree.id(path).is_some());
        let mut roots: Vec<String> = lib.iter().cloned().collect();
        for kind in ["bin", "test", "example", "bench"] {
            let tables = document.get(kind).and_then(Item::as_array_of_tables);
            let paths = tables
                .into_iter()
                .flatten()
                .filter_map(|table| table.get("path")?.as_str());
            roots.extend(paths.filter_map(|path| join(dir, path)));
        }
        let build = document
            .get("package")
            .and_then(|package| text(package, "build"));
        roots.extend(join(dir, build.as_deref().unwrap_or("build.rs")));
        let mut dependencies = BTreeMap::new();
        for table in dependency_tables(document) {
            for (key, value) in table
                .as_table_like()
                .into_iter()
                .flat_map(|table| table.iter())
            {
                let dependency = self.dependency(dir, key, value);
                dependencies.insert(key.replace('-', "_"), dependency);
            }
        }
        Package {
            dir: dir.to_owned(),
            lib_name: lib_name.replace('-', "_"),
            lib,
            roots,
            dependencies,
        }
    }

    fn dependency(&self, dir: &str, key: &str, value: &Item) -> Dependency {
        let root = self.workspace(dir);
        let inherits = value.get("workspace").and_then(Item::as_bool) == Some(true);
        let (base, value) = match root {
            Some((root_dir, root)) if inherits => {
                let shared = root
                    .get("workspace")
                    .and_then(|it| it.get("dependencies")?.get(key));
                (root_dir, shared.unwrap_or(value))
            }
            Some(_) | None => (dir, value),
        };
        let name = value.get("package").and_then(Item::as_str).unwrap_or(key);
        let path = value
            .get("path")
            .and_then(Item::as_str)
            .and_then(|path| join(base, path));
        let patched = || {
            let (root_dir, root) = root?;
            let sources = root.get("patch")?.as_table_like()?.iter();
            let mut patches = sources.filter_map(|(_, patches)| patches.get(name)?.get("path"));
            join(root_dir, patches.next()?.as_str()?)
        };
        match path
            .or_else(patched)
            .filter(|dir| self.by_dir.contains_key(dir))
        {
            Some(dir) => Dependency::Inside(dir),
            None => Dependency::Outside(name.to_owned()),
        }
    }

    /// The manifest with `[workspace]` at or above a directory.
    fn workspace(&self, dir: &str) -> Option<(&str, &DocumentMut)> {
        ancestors(dir).find_map(|dir| {
            let (dir, document) = self.by_dir.get_key_value(dir)?;
            document.get("workspace").map(|_| (dir.as_str(), document))
        })
    }
}

fn dependency_tables(document: &DocumentMut) -> Vec<&Item> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = document.get("target").and_then(Item::as_table_like);
    let by_target = targets
        .into_iter()
        .flat_map(|targets| targets.iter())
        .map(|(_, item)| item);
    by_target
        .chain([document.as_item()])
        .flat_map(|place| kinds.into_iter().filter_map(|kind| place.get(kind)))
        .collect()
}

/// Whether Cargo takes this file of a package for the root of a crate without being told.
///
/// `path` is relative to the package's directory.
pub(super) fn is_conventional_root(path: &str) -> bool {
    let dir = parent(path);
    match dir {
        "" => name(path) == "build.rs",
        "src" => matches!(name(path), "lib.rs" | "main.rs"),
        "src/bin" | "tests" | "examples" | "benches" => true,
        _ => {
            name(path) == "main.rs"
                && matches!(parent(dir), "src/bin" | "tests" | "examples" | "benches")
        }
    }
}
