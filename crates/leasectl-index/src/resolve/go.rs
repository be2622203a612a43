//! Go: an import path names a package, and a package is a directory.
//!
//! Every module of the tree is found by its `go.mod`, the longest module path that fits wins, and a
//! `replace` with a local directory leads there. What `internal` forbids is not resolved. Files of
//! one directory see each other without an import, so each belongs to its package.

use std::collections::BTreeMap;

use super::tree::{FileId, Tree, ancestors, join, parent};
use super::{PackageId, Resolution};

#[derive(Debug, Default)]
pub(super) struct Go {
    /// By directory.
    modules: BTreeMap<String, Module>,
    /// The directories with Go files; a package's number is its place.
    packages: Vec<Package>,
}

#[derive(Debug)]
pub(super) struct Package {
    pub(super) dir: String,
    /// The files that an importer sees: all but the tests.
    pub(super) files: Vec<FileId>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Module {
    path: String,
    requires: Vec<String>,
    /// A module path and the directory, relative to this module, that stands for it.
    replaces: Vec<(String, String)>,
}

impl Go {
    pub(super) fn read(&mut self, path: &str, content: &str) -> bool {
        let module = Module::parse(content);
        let named = !module.path.is_empty();
        if named {
            self.modules.insert(parent(path).to_owned(), module);
        }
        named
    }

    pub(super) fn list(&mut self, tree: &Tree) {
        let mut packages: BTreeMap<&str, Vec<FileId>> = BTreeMap::new();
        for (file, path) in tree.iter().filter(|(_, path)| path.ends_with(".go")) {
            let files = packages.entry(parent(path)).or_default();
            if !path.ends_with("_test.go") {
                files.push(file);
            }
        }
        let package = |(dir, files): (&str, _)| Package {
            dir: dir.to_owned(),
            files,
        };
        self.packages = packages.into_iter().map(package).collect();
    }

    pub(super) fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// The package of a directory.
    pub(super) fn package(&self, dir: &str) -> Option<PackageId> {
        let place = self
            .packages
            .binary_search_by(|package| package.dir.as_str().cmp(dir))
            .ok()?;
        u32::try_from(place).ok().map(PackageId)
    }

    pub(super) fn resolve(&self, path: &str, target: &str) -> Resolution {
        let dir = parent(path);
        let home = ancestors(dir).find_map(|dir| Some((dir, self.modules.get(dir)?)));
        if let Some((home_dir, home)) = home {
            for (old, local) in &home.replaces {
                if let Some(rest) = below(old, target) {
                    let replaced = join(home_dir, local).and_then(|dir| join(&dir, rest));
                    return self.inside(replaced);
                }
            }
        }
        let fitting = self
            .modules
            .iter()
            .filter_map(|(dir, it)| Some((dir, below(&it.path, target)?)));
        let nearest = fitting.min_by_key(|(dir, rest)| (rest.len(), dir.len()));
        if let Some((module_dir, rest)) = nearest {
            let importer = home.and_then(|(home_dir, home)| {
                let within = dir.strip_prefix(home_dir)?.trim_start_matches('/');
                Some(format!("{}/{within}", home.path))
            });
            if !may_import(importer.as_deref().unwrap_or_default(), target) {
                return Resolution::Unknown;
            }
            return self.inside(join(module_dir, rest));
        }
        Resolution::External(external_name(home.map(|(_, home)| home), target))
    }

    fn inside(&self, dir: Option<String>) -> Resolution {
        let package = dir.and_then(|dir| self.package(&dir));
        package.map_or(Resolution::Unknown, Resolution::Package)
    }
}

/// What of `path` lies below `module`, with its slash.
fn below<'p>(module: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(module)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the package may be imported here: `a/internal/b` only from `a` and below.
fn may_import(importer: &str, target: &str) -> bool {
    let slashed = format!("/{target}/");
    slashed.rfind("/internal/").is_none_or(|at| {
        let owner = slashed.get(1..at).unwrap_or_default();
        below(owner, importer).is_some()
    })
}

/// The module that an import path belongs to; for the standard library the path itself.
fn external_name(home: Option<&Module>, target: &str) -> String {
    let requires = home
        .map(|home| home.requires.as_slice())
        .unwrap_or_default();
    let required = requires
        .iter()
        .filter(|module| below(module, target).is_some());
    if let Some(module) = required.max_by_key(|module| module.len()) {
        return module.clone();
    }
    let is_hosted = target
        .split('/')
        .next()
        .is_some_and(|host| host.contains('.'));
    let parts = if is_hosted { 3 } else { usize::MAX };
    target.split('/').take(parts).collect::<Vec<_>>().join("/")
}

impl Module {
    /// Reads the directives that matter; the form is line by line, with blocks in parentheses.
    fn parse(content: &str) -> Self {
        let mut module = Self::default();
        let mut block = "";
        for line in content.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            if line == ")" {
                block = "";
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            let directive = if block.is_empty() {
                words.next().unwrap_or_default()
            } else {
                block
            };
            let words: Vec<&str> = words.map(|word| word.trim_matches(['"', '`'])).collect();
            match (directive, words.as_slice()) {
                (directive, ["("]) => block = directive,
                ("module", [path]) => (*path).clone_into(&mut module.path),
                ("require", [path, ..]) => module.requires.push((*path).to_owned()),
                ("replace", [old, .., "=>", new] | [old, "=>", new, ..])
                    if new.starts_with("./") || new.starts_with("../") =>
                {
                    module.replaces.push(((*old).to_owned(), (*new).to_owned()));
                }
                _ => {}
            }
        }
        module
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Layout;
    use crate::language::Language::Go;
    use crate::tags::ImportKind::Module as M;

    /// The shape of a service with a tool module beside it, a replaced module and a nested one.
    fn layout() -> Layout {
        Layout::new(
            &[
                "go.mod",
                "main.go",
                "internal/store/store.go",
                "internal/store/sql.go",
                "internal/store/store_test.go",
                "pkg/api/api.go",
                "pkg/api/internal/wire/wire.go",
                "third/lib/go.mod",
                "third/lib/lib.go",
                "third/lib/sub/sub.go",
                "tools/go.mod",
                "tools/gen/gen.go",
                "vendor/github.com/x/y/y.go",
            ],
            &[
                (
                    "go.mod",
                    "module \"example.com/app\" // the app\n\ngo 1.22\n\nrequire (\n\tgithub.com/x/y v1.2.3\n\tgithub.com/x/y/v2 v2.0.0 // indirect\n)\nrequire example.org/lib v0.0.0\nreplace example.org/lib v0.0.0 => ./third/lib\nreplace (\n\ta.b/c => d.e/f v1.0.0\n)\n",
                ),
                ("third/lib/go.mod", "module example.org/lib\n"),
                ("tools/go.mod", "module example.com/app/tools\n"),
            ],
        )
    }

    #[test]
    fn a_package_is_all_files_of_a_directory_but_its_tests() {
        let layout = layout();
        assert_eq!(
            layout.resolve(Go, "main.go", M, "example.com/app/internal/store"),
            "internal/store/ [internal/store/sql.go internal/store/store.go]"
        );
        assert_eq!(
            layout.resolve(Go, "pkg/api/api.go", M, "example.com/app"),
            "/ [main.go]"
        );
        assert_eq!(
            layout.resolve(Go, "main.go", M, "example.com/app/gone"),
            "unknown"
        );
    }

    #[test]
    fn the_longest_module_wins_and_replace_leads_inside() {
        let layout = layout();
        assert_eq!(
            layout.resolve(Go, "main.go", M, "example.com/app/tools/gen"),
            "tools/gen/ [tools/gen/gen.go]"
        );
        assert_eq!(
            layout.resolve(Go, "main.go", M, "example.org/lib/sub"),
            "third/lib/sub/ [third/lib/sub/sub.go]"
        );
    }

    #[test]
    fn internal_packages_are_closed_to_the_outside() {
        let layout = layout();
        let wire = "example.com/app/pkg/api/internal/wire";
        assert_eq!(
            layout.resolve(Go, "pkg/api/api.go", M, wire),
            "pkg/api/internal/wire/ [pkg/api/internal/wire/wire.go]"
        );
        assert_eq!(layout.resolve(Go, "main.go", M, wire), "unknown");
    }

    #[test]
    fn what_is_not_in_the_tree_is_named_by_its_module() {
        let layout = layout();
        let of = |target| layout.resolve(Go, "main.go", M, target);
        assert_eq!(of("net/http"), "external net/http");
        assert_eq!(of("github.com/x/y/z"), "external github.com/x/y");
        assert_eq!(of("github.com/x/y/v2/z"), "external github.com/x/y/v2");
        assert_eq!(
            of("github.com/not/listed/deep/path"),
            "external github.com/not/listed"
        );
        assert_eq!(
            of("example.community/app"),
            "external example.community/app"
        );
    }

    #[test]
    fn without_a_module_everything_is_external() {
        let layout = Layout::new(&["a/a.go", "b/b.go"], &[]);
        assert_eq!(layout.resolve(Go, "a/a.go", M, "x/b"), "external x/b");
    }

    #[test]
    fn a_module_file_without_a_module_is_not_taken() {
        assert!(!super::Go::default().read("go.mod", "go 1.22\nrequire (\n"));
    }
}
