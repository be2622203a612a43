//! Which file of a tree, or which dependency outside of it, an import means.
//!
//! A resolver is made from the paths of one tree and the few manifests that say how its languages
//! find modules. It reads nothing else, so an answer can be repeated: the same tree gives the same
//! answers. It never guesses between two files: what the rules of the language leave open is
//! [`Resolution::Unknown`].
//!
//! Resolved are Rust, Python, JavaScript, TypeScript and Go; for the other languages the files that
//! are named relative to the importing one (`#include "x.h"`, `require_relative`).

mod cargo;
mod coverage;
mod go;
mod javascript;
mod package_json;
mod python;
mod rust;
#[cfg(test)]
mod testing;
mod tree;
mod tsconfig;

use crate::language::Language;
use crate::tags::{Import, ImportKind};

pub use coverage::Coverage;
pub use tree::FileId;
use tree::{Tree, join, name, parent};

/// How the resolver is named among the versions with which a tree is indexed.
pub const RESOLVER: &str = "resolver";

/// Its version: raise it whenever an import may lead elsewhere than before. Trees are then resolved anew when they
/// are indexed next, and nothing is extracted for it.
pub const RESOLVER_VERSION: u32 = 1;

/// The most bytes of a manifest that are read; a larger one counts as unread.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// Whether a resolver wants the content of this file.
#[must_use]
pub fn is_manifest(path: &str) -> bool {
    let names = [
        "Cargo.toml",
        "go.mod",
        "package.json",
        "pyproject.toml",
        "setup.cfg",
    ];
    let is_installed = path.split('/').any(|part| part == "node_modules");
    !is_installed && (names.contains(&name(path)) || tsconfig::is_config(path))
}

/// A package whose files are seen together: a directory of Go files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageId(u32);

impl PackageId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an import means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// A file of the tree.
    File(FileId),
    /// A package of the tree: all its files.
    Package(PackageId),
    /// A dependency outside of the tree, by the name that its package manager knows.
    ///
    /// Python's are named by their module, because no manifest says which distribution a module
    /// comes from. Standard libraries are dependencies too: `std`, `os`, `node:fs`, `net/http`.
    External(String),
    /// Nothing that the rules find: a path of the tree that is not there, or a name defined by other
    /// means than files.
    Unknown,
}

/// Resolves the imports of one tree.
#[derive(Debug)]
pub struct Resolver {
    tree: Tree,
    unread: Vec<String>,
    rust: rust::Rust,
    python: python::Python,
    javascript: javascript::JavaScript,
    go: go::Go,
}

impl Resolver {
    /// Makes a resolver from all paths of a tree and the contents of its manifests.
    ///
    /// Manifests that [`is_manifest`] does not ask for are left alone. A manifest that cannot be read
    /// takes nothing else down; see [`Resolver::unread_manifests`].
    #[must_use]
    pub fn new<'a>(
        paths: impl IntoIterator<Item = &'a str>,
        manifests: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut resolver = Self {
            tree: Tree::new(paths),
            unread: Vec::new(),
            rust: rust::Rust::default(),
            python: python::Python::default(),
            javascript: javascript::JavaScript::default(),
            go: go::Go::default(),
        };
        for (path, content) in manifests.into_iter().filter(|(path, _)| is_manifest(path)) {
            let text = std::str::from_utf8(content).ok();
            let text = text.filter(|_| content.len() <= MAX_MANIFEST_BYTES);
            if !text.is_some_and(|text| resolver.read(path, text)) {
                resolver.unread.push(path.to_owned());
            }
        }
        resolver.rust.list(&resolver.tree);
        resolver.python.list(&resolver.tree);
        resolver.go.list(&resolver.tree);
        resolver
    }

    fn read(&mut self, path: &str, text: &str) -> bool {
        match name(path) {
            "Cargo.toml" => self.rust.manifests.read(path, text),
            "go.mod" => self.go.read(path, text),
            "package.json" => self.javascript.read_package(path, text),
            "pyproject.toml" => self.python.read_pyproject(path, text),
            "setup.cfg" => self.python.read_setup_cfg(path, text),
            _ => self.javascript.configs.read(path, text),
        }
    }

    /// The manifests that are too large or not in their format.
    pub fn unread_manifests(&self) -> impl Iterator<Item = &str> {
        self.unread.iter().map(String::as_str)
    }

    /// Tells the resolver what a file imports, before anything is resolved.
    ///
    /// Only Rust needs it, where a `#[path]` puts a module somewhere else for the whole crate.
    pub fn declare(&mut self, file: FileId, language: Language, imports: &[Import]) {
        if language == Language::Rust {
            self.rust.declare(&self.tree, file, imports);
        }
    }

    /// What an import of a file means.
    #[must_use]
    pub fn resolve(&self, file: FileId, language: Language, import: &Import) -> Resolution {
        let path = self.tree.path(file);
        match (import.kind, language) {
            (ImportKind::File, _) => self.relative(path, language, &import.target),
            (ImportKind::System, _) => Resolution::External(import.target.clone()),
            (_, Language::Rust) => self.rust.resolve(&self.tree, file, import),
            (kind, Language::Python) => self.python.resolve(&self.tree, path, kind, &import.target),
            (_, Language::JavaScript | Language::TypeScript) => {
                self.javascript.resolve(&self.tree, path, &import.target)
            }
            (_, Language::Go) => self.go.resolve(path, &import.target),
            (
                _,
                Language::Java
                | Language::C
                | Language::Cpp
                | Language::CSharp
                | Language::Ruby
                | Language::Php,
            ) => Resolution::Unknown,
        }
    }

    fn relative(&self, path: &str, language: Language, target: &str) -> Resolution {
        let place = join(parent(path), target);
        let found = place.and_then(|place| {
            let with_extension = (language == Language::Ruby).then(|| format!("{place}.rb"));
            self.tree
                .first([Some(place), with_extension].into_iter().flatten())
        });
        found.map_or(Resolution::Unknown, Resolution::File)
    }

    /// The number of a file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<FileId> {
        self.tree.id(path)
    }

    /// The path of a file of this tree.
    #[must_use]
    pub fn path(&self, file: FileId) -> &str {
        self.tree.path(file)
    }

    /// The number of files.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.tree.len()
    }

    /// The files that an importer of a package sees.
    #[must_use]
    pub fn package_files(&self, package: PackageId) -> &[FileId] {
        self.go
            .packages()
            .get(package.index())
            .map_or(&[], |package| package.files.as_slice())
    }

    /// The directory of a package.
    #[must_use]
    pub fn package_dir(&self, package: PackageId) -> &str {
        self.go
            .packages()
            .get(package.index())
            .map_or("", |package| package.dir.as_str())
    }

    /// Where in the tree an import leads, as it is stored: a file by its path, a package by its directory,
    /// the one at the top as `.`; nothing if it leads elsewhere.
    #[must_use]
    pub fn place(&self, resolution: &Resolution) -> Option<&str> {
        match resolution {
            Resolution::File(file) => Some(self.path(*file)),
            Resolution::Package(package) => match self.package_dir(*package) {
                "" => Some("."),
                dir => Some(dir),
            },
            Resolution::External(_) | Resolution::Unknown => None,
        }
    }

    /// What lies at such a place. It needs no manifests.
    #[must_use]
    pub fn at(&self, place: &str) -> Option<Resolution> {
        let dir = if place == "." { "" } else { place };
        let package = || self.go.package(dir).map(Resolution::Package);
        self.file(place).map(Resolution::File).or_else(package)
    }

    /// The package that a file belongs to, whose files it sees without an import.
    #[must_use]
    pub fn own_package(&self, file: FileId) -> Option<PackageId> {
        let path = self.tree.path(file);
        path.ends_with(".go")
            .then(|| self.go.package(parent(path)))
            .flatten()
    }

    /// The number of packages.
    pub(crate) fn package_count(&self) -> usize {
        self.go.packages().len()
    }

    /// Every package.
    pub(crate) fn package_ids(&self) -> impl Iterator<Item = PackageId> {
        (0..).map(PackageId).take(self.package_count())
    }

    /// Every file, in the order of their paths.
    pub(crate) fn file_ids(&self) -> impl Iterator<Item = FileId> {
        self.tree.iter().map(|(file, _)| file)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_manifests_of_the_tree_itself_are_asked_for() {
        assert!(is_manifest("a/Cargo.toml") && is_manifest("tsconfig.app.json"));
        assert!(!is_manifest("a/node_modules/x/package.json") && !is_manifest("Cargo.lock"));
    }

    #[test]
    fn a_broken_manifest_is_named_and_the_rest_works() {
        let files = [
            "Cargo.toml",
            "package.json",
            "go.mod",
            "src/lib.rs",
            "src/a.rs",
        ];
        let manifests: [(&str, &[u8]); 3] = [
            ("Cargo.toml", b"[package"),
            ("package.json", b"\xff"),
            ("go.mod", b"module x\n"),
        ];
        let resolver = Resolver::new(files, manifests);
        let unread: Vec<_> = resolver.unread_manifests().collect();
        assert_eq!(unread, ["Cargo.toml", "package.json"]);
        let import = Import {
            target: "crate::a::X".to_owned(),
            kind: ImportKind::Item,
            line: 1,
        };
        let a = resolver.file("src/a.rs").expect("it is there");
        assert_eq!(
            resolver.resolve(a, Language::Rust, &import),
            Resolution::File(a)
        );
    }

    #[test]
    fn a_place_means_the_same_without_manifests() {
        let files = ["go.mod", "main.go", "store/a.go", "src/x.rs"];
        let manifests: [(&str, &[u8]); 1] = [("go.mod", b"module m\n")];
        let (resolver, bare) = (Resolver::new(files, manifests), Resolver::new(files, []));
        let import = |target: &str| Import {
            target: target.to_owned(),
            kind: ImportKind::Module,
            line: 1,
        };
        let main = resolver.file("main.go").expect("it is there");
        let leads = |target| resolver.resolve(main, Language::Go, &import(target));
        let source = Resolution::File(resolver.file("src/x.rs").expect("it is there"));
        for (leads, place) in [
            (leads("m"), "."),
            (leads("m/store"), "store"),
            (source, "src/x.rs"),
        ] {
            assert_eq!(resolver.place(&leads), Some(place));
            assert_eq!(bare.at(place), Some(leads));
        }
        assert_eq!(resolver.place(&leads("fmt")), None);
        assert_eq!((bare.at("src"), bare.at("gone.rs")), (None, None));
    }

    #[test]
    fn files_named_relative_to_a_file_are_found_in_every_language() {
        let resolver = Resolver::new(["src/a.c", "include/x.h", "lib/a.rb", "lib/b/c.rb"], []);
        let of = |path, language, target: &str| {
            let import = Import {
                target: target.to_owned(),
                kind: ImportKind::File,
                line: 1,
            };
            let file = resolver.file(path).expect("it is there");
            match resolver.resolve(file, language, &import) {
                Resolution::File(file) => resolver.path(file).to_owned(),
                Resolution::Package(_) | Resolution::External(_) => "elsewhere".to_owned(),
                Resolution::Unknown => "unknown".to_owned(),
            }
        };
        assert_eq!(of("src/a.c", Language::C, "../include/x.h"), "include/x.h");
        assert_eq!(of("src/a.c", Language::C, "x.h"), "unknown");
        assert_eq!(of("lib/a.rb", Language::Ruby, "b/c"), "lib/b/c.rb");
    }

    proptest! {
        #[test]
        fn hostile_targets_and_manifests_never_panic(
            target in "[a-z./:@#*\\\\~ä-]{0,24}",
            manifest in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let files = ["Cargo.toml", "go.mod", "package.json", "tsconfig.json", "pyproject.toml",
                "setup.cfg", "src/lib.rs", "a/b.py", "a/__init__.py", "x.ts", "g/g.go"];
            let manifests = files.iter().take(6).map(|path| (*path, manifest.as_slice()));
            let resolver = Resolver::new(files, manifests);
            for path in &files[6..] {
                let file = resolver.file(path).expect("it is there");
                for language in Language::ALL {
                    for kind in ImportKind::ALL {
                        let import = Import { target: target.clone(), kind, line: 1 };
                        let _ = resolver.resolve(file, language, &import);
                    }
                }
            }
        }
    }
}
