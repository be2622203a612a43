//! Rust: a path leads through modules, and a module is a file by Cargo's and the compiler's rules.
//!
//! A module is known here by the directory that its child modules lie in: `src/a` for `crate::a`,
//! whether that is `src/a.rs` or `src/a/mod.rs`. A path ends at the deepest module that has a file;
//! what follows are the items in it. Re-exports are not followed: the file that re-exports depends on
//! the other in its own right.

use std::collections::{BTreeMap, BTreeSet};

use super::Resolution;
use super::cargo::{Dependency, Manifests, Package, is_conventional_root};
use super::tree::{FileId, Tree, ancestors, join, name, parent};
use crate::tags::{Import, ImportKind};

#[derive(Debug, Default)]
pub(super) struct Rust {
    pub(super) manifests: Manifests,
    packages: BTreeMap<String, Package>,
    /// The root files of crates, by their directory.
    roots: BTreeMap<String, BTreeSet<FileId>>,
    /// By module directory: the file that `#[path]` gave the module.
    moved: BTreeMap<String, FileId>,
    /// By such a file: the directory of the module that declared it.
    declared_in: BTreeMap<FileId, String>,
}

impl Rust {
    pub(super) fn list(&mut self, tree: &Tree) {
        self.packages = self.manifests.packages(tree);
        let explicit = self.packages.values().flat_map(|package| &package.roots);
        let mut roots: Vec<FileId> = explicit.filter_map(|path| tree.id(path)).collect();
        for (file, path) in tree.iter().filter(|(_, path)| path.ends_with(".rs")) {
            let is_root = match self.package(path) {
                Some(package) => is_conventional_root(relative(&package.dir, path)),
                None => matches!(name(path), "lib.rs" | "main.rs" | "build.rs"),
            };
            if is_root {
                roots.push(file);
            }
        }
        for root in roots {
            self.roots
                .entry(parent(tree.path(root)).to_owned())
                .or_default()
                .insert(root);
        }
    }

    /// Remembers the modules of a file that have a `#[path]`.
    pub(super) fn declare(&mut self, tree: &Tree, file: FileId, imports: &[Import]) {
        let home = self.module_dir(tree, file);
        for pair in imports.windows(2) {
            let [module, place] = pair else { continue };
            let belongs = module.kind == ImportKind::Declaration
                && place.kind == ImportKind::File
                && module.line == place.line;
            let moved = || tree.id(&join(parent(tree.path(file)), &place.target)?);
            if let Some(moved) = belongs.then(moved).flatten() {
                self.moved.insert(
                    format!("{home}/{}", module.target.replace("::", "/")),
                    moved,
                );
                self.declared_in.insert(moved, home.clone());
            }
        }
    }

    pub(super) fn resolve(&self, tree: &Tree, file: FileId, import: &Import) -> Resolution {
        let home = self.module_dir(tree, file);
        let target = import.target.trim_end_matches('*').trim_end_matches("::");
        let names: Vec<&str> = target.split("::").filter(|name| !name.is_empty()).collect();
        let Some((first, rest)) = names.split_first() else {
            return Resolution::Unknown;
        };
        let found = match import.kind {
            ImportKind::Declaration => self.child(tree, &home, &names.join("/")),
            ImportKind::Item => match *first {
                "crate" => self.within_crate(tree, file, rest),
                "self" => self.walk(tree, &home, Some(file), rest),
                "super" => self.above(tree, file, &names),
                _ => return self.by_name(tree, file, &home, &names),
            },
            ImportKind::Module => return self.by_name(tree, file, "\0", &names),
            ImportKind::File | ImportKind::System => None,
        };
        found.map_or(Resolution::Unknown, Resolution::File)
    }

    /// A path whose first name is a module here, the own library, a dependency or a built-in crate.
    fn by_name(&self, tree: &Tree, file: FileId, home: &str, names: &[&str]) -> Resolution {
        let Some((first, rest)) = names.split_first() else {
            return Resolution::Unknown;
        };
        if self.child(tree, home, first).is_some() {
            let found = self.walk(tree, home, None, names);
            return found.map_or(Resolution::Unknown, Resolution::File);
        }
        let path = tree.path(file);
        let package = self.package(path);
        if let Some(own) = package.filter(|own| own.lib_name == *first) {
            return self.in_library(tree, own, rest);
        }
        match package.and_then(|package| self.dependency(package, first)) {
            Some(Dependency::Inside(dir)) => match self.packages.get(dir) {
                Some(package) => self.in_library(tree, package, rest),
                None => Resolution::Unknown,
            },
            Some(Dependency::Outside(name)) => Resolution::External(name.clone()),
            None if is_built_in(first) => Resolution::External((*first).to_owned()),
            // Edition 2015 tells paths from the root of the crate.
            None => match self
                .base(path)
                .filter(|base| self.child(tree, base, first).is_some())
            {
                Some(base) => self
                    .walk(tree, base, None, names)
                    .map_or(Resolution::Unknown, Resolution::File),
                None if package.is_none() => Resolution::External((*first).to_owned()),
                None => Resolution::Unknown,
            },
        }
    }

    /// A dependency by its name in the manifest, or by the name of its library.
    fn dependency<'a>(&'a self, package: &'a Package, name: &str) -> Option<&'a Dependency> {
        package.dependencies.get(name).or_else(|| {
            package
                .dependencies
                .values()
                .find(|dependency| match dependency {
                    Dependency::Inside(dir) => self
                        .packages
                        .get(dir)
                        .is_some_and(|package| package.lib_name == name),
                    Dependency::Outside(_) => false,
                })
        })
    }

    fn in_library(&self, tree: &Tree, package: &Package, names: &[&str]) -> Resolution {
        let lib = package.lib.as_deref().and_then(|path| tree.id(path));
        let found = lib.and_then(|lib| self.walk(tree, parent(tree.path(lib)), Some(lib), names));
        found.map_or(Resolution::Unknown, Resolution::File)
    }

    fn within_crate(&self, tree: &Tree, file: FileId, names: &[&str]) -> Option<FileId> {
        let base = self.base(tree.path(file))?;
        self.walk(tree, base, self.root(tree, base, file), names)
    }

    fn above(&self, tree: &Tree, file: FileId, names: &[&str]) -> Option<FileId> {
        let base = self.base(tree.path(file)).unwrap_or_default();
        let supers = names.iter().take_while(|name| **name == "super").count();
        let mut dir = match self.declared_in.get(&file) {
            Some(dir) => dir.clone(),
            None => parent(&self.module_dir(tree, file)).to_owned(),
        };
        for _ in 1..supers {
            if dir == base {
                return None;
            }
            dir = parent(&dir).to_owned();
        }
        let start = if dir == base {
            self.root(tree, base, file)
        } else {
            self.file_of(tree, &dir)
        };
        self.walk(tree, &dir, start, &names[supers..])
    }

    /// Follows names from a module; the deepest module with a file is the answer.
    fn walk(
        &self,
        tree: &Tree,
        dir: &str,
        start: Option<FileId>,
        names: &[&str],
    ) -> Option<FileId> {
        let (mut dir, mut found) = (dir.to_owned(), start);
        for name in names {
            let next = join(&dir, name)?;
            if let Some(file) = self.file_of(tree, &next) {
                found = Some(file);
                dir = if self.moved.contains_key(&next) {
                    parent(tree.path(file)).to_owned()
                } else {
                    next
                };
            } else if tree.has_dir(&next) {
                // A module written in place whose own modules are files.
                dir = next;
            } else {
                break;
            }
        }
        found
    }

    fn child(&self, tree: &Tree, dir: &str, name: &str) -> Option<FileId> {
        self.file_of(tree, &join(dir, name)?)
    }

    /// The file of the module whose children lie in this directory.
    fn file_of(&self, tree: &Tree, dir: &str) -> Option<FileId> {
        let moved = self.moved.get(dir).copied();
        moved.or_else(|| tree.first([format!("{dir}.rs"), format!("{dir}/mod.rs")]))
    }

    /// The directory in which the child modules of a file lie.
    fn module_dir(&self, tree: &Tree, file: FileId) -> String {
        let path = tree.path(file);
        let dir = parent(path);
        let is_root = self
            .roots
            .get(dir)
            .is_some_and(|roots| roots.contains(&file));
        if is_root || name(path) == "mod.rs" || self.declared_in.contains_key(&file) {
            return dir.to_owned();
        }
        path.strip_suffix(".rs").unwrap_or(path).to_owned()
    }

    /// The directory of the crate that a file belongs to: the nearest one with a root file.
    fn base<'p>(&self, path: &'p str) -> Option<&'p str> {
        let end = self
            .package(path)
            .map_or("", |package| package.dir.as_str());
        ancestors(parent(path))
            .take_while(|dir| dir.len() >= end.len())
            .find(|dir| self.roots.contains_key(*dir))
    }

    /// The root file that a file hangs on: itself, else the library, else the only one.
    fn root(&self, tree: &Tree, base: &str, file: FileId) -> Option<FileId> {
        let roots = self.roots.get(base)?;
        if roots.contains(&file) {
            return Some(file);
        }
        let named = |wanted: &str| roots.iter().find(|root| name(tree.path(**root)) == wanted);
        let only = || (roots.len() == 1).then(|| roots.first()).flatten();
        named("lib.rs")
            .or_else(|| named("main.rs"))
            .or_else(only)
            .copied()
    }

    fn package(&self, path: &str) -> Option<&Package> {
        ancestors(parent(path)).find_map(|dir| self.packages.get(dir))
    }
}

fn relative<'p>(dir: &str, path: &'p str) -> &'p str {
    path.strip_prefix(dir)
        .unwrap_or(path)
        .trim_start_matches('/')
}

fn is_built_in(name: &str) -> bool {
    matches!(name, "std" | "core" | "alloc" | "proc_macro" | "test")
}

#[cfg(test)]
mod tests;
