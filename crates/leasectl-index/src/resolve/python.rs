//! Python: modules are found below source directories, which nothing has to declare.
//!
//! An absolute import is looked for in the directory that the importing file's own package lies in,
//! then in each directory above it and in its `src`, then in what the manifests declare, then where
//! other packages of the tree lie. Loose modules of unrelated directories do not count: they would
//! turn every `import types` into the first `types.py` of the tree. A directory without
//! `__init__.py` (a namespace package) is a way to its modules, not a module itself.

use std::collections::{BTreeMap, BTreeSet};

use super::Resolution;
use super::tree::{FileId, Tree, ancestors, join, parent};
use crate::tags::ImportKind;

#[derive(Debug, Default)]
pub(super) struct Python {
    /// Source directories that a manifest names.
    declared: BTreeSet<String>,
    /// By the name of a regular package: the directories that it lies in.
    packages: BTreeMap<String, Vec<String>>,
}

impl Python {
    pub(super) fn read_pyproject(&mut self, path: &str, content: &str) -> bool {
        let Ok(document) = content.parse::<toml_edit::DocumentMut>() else {
            return false;
        };
        let at = |keys: &[&str]| {
            keys.iter()
                .try_fold(document.as_item(), |item, key| item.get(key))
                .cloned()
        };
        let mut found = Vec::new();
        let mut take = |item: &toml_edit::Item| {
            found.extend(item.as_str().map(str::to_owned));
            let members = item.as_array().into_iter().flatten();
            found.extend(members.filter_map(|value| value.as_str().map(str::to_owned)));
        };
        let setuptools = ["tool", "setuptools", "packages", "find", "where"];
        let pytest = ["tool", "pytest", "ini_options", "pythonpath"];
        let plain = [
            &setuptools[..],
            &pytest,
            &["tool", "setuptools", "package-dir", ""],
        ];
        plain
            .into_iter()
            .filter_map(at)
            .for_each(|item| take(&item));
        let hatch = ["tool", "hatch", "build", "targets", "wheel", "packages"];
        if let Some(packages) = at(&hatch).as_ref().and_then(toml_edit::Item::as_array) {
            let dirs = packages
                .iter()
                .filter_map(|package| package.as_str().map(parent));
            found.extend(dirs.map(str::to_owned));
        }
        if let Some(packages) = at(&["tool", "poetry", "packages"]) {
            let tables = packages.as_array().into_iter().flatten();
            let from = tables.filter_map(|table| table.as_inline_table()?.get("from")?.as_str());
            found.extend(from.map(str::to_owned));
        }
        self.declare(path, found);
        true
    }

    pub(super) fn read_setup_cfg(&mut self, path: &str, content: &str) -> bool {
        let mut found = Vec::new();
        let mut in_package_dir = false;
        for line in content.lines() {
            let is_more = line.starts_with([' ', '\t']);
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            match (is_more, key.trim()) {
                (false, "package_dir" | "package-dir") => in_package_dir = true,
                (true, "") if in_package_dir => found.push(value.trim().to_owned()),
                (false, "where") => {
                    in_package_dir = false;
                    found.push(value.trim().to_owned());
                }
                (is_more, _) => in_package_dir &= is_more,
            }
        }
        self.declare(path, found);
        true
    }

    fn declare(&mut self, path: &str, dirs: Vec<String>) {
        let dirs = dirs.iter().filter_map(|dir| join(parent(path), dir));
        self.declared.extend(dirs);
    }

    pub(super) fn list(&mut self, tree: &Tree) {
        for (_, path) in tree.iter() {
            let Some(dir) = path.strip_suffix("/__init__.py") else {
                continue;
            };
            let root = parent(dir);
            if !is_package(tree, root) {
                let name = dir
                    .strip_prefix(root)
                    .unwrap_or(dir)
                    .trim_start_matches('/');
                self.packages
                    .entry(name.to_owned())
                    .or_default()
                    .push(root.to_owned());
            }
        }
    }

    pub(super) fn resolve(
        &self,
        tree: &Tree,
        path: &str,
        kind: ImportKind,
        target: &str,
    ) -> Resolution {
        let dots = target.len() - target.trim_start_matches('.').len();
        let names: Vec<&str> = target
            .split('.')
            .filter(|name| !name.is_empty() && *name != "*")
            .collect();
        // `b` of `from a import b` may be a name inside of `a`.
        let inner_allowed = kind == ImportKind::Item && !target.ends_with('*');
        let inner = if inner_allowed {
            names.split_last().map(|(_, rest)| rest)
        } else {
            None
        };
        if dots > 0 {
            let Some(dir) = ancestors(parent(path)).nth(dots - 1) else {
                return Resolution::Unknown;
            };
            let found = module(tree, dir, &names).or_else(|| module(tree, dir, inner?));
            return found.map_or(Resolution::Unknown, Resolution::File);
        }
        let Some(first) = names.first() else {
            return Resolution::Unknown;
        };
        let mut known = false;
        for dir in self.search_path(tree, path, first) {
            let inner = inner.filter(|inner| !inner.is_empty());
            if let Some(file) = module(tree, &dir, &names).or_else(|| module(tree, &dir, inner?)) {
                return Resolution::File(file);
            }
            known |= module(tree, &dir, &[first]).is_some();
        }
        if known {
            Resolution::Unknown
        } else {
            Resolution::External((*first).to_owned())
        }
    }

    /// The directories in which the module `first` is looked for, nearest first.
    fn search_path(&self, tree: &Tree, path: &str, first: &str) -> Vec<String> {
        let home = ancestors(parent(path))
            .find(|dir| !is_package(tree, dir))
            .unwrap_or_default();
        let mut dirs = Vec::new();
        for dir in ancestors(home) {
            dirs.push(dir.to_owned());
            dirs.extend(join(dir, "src"));
        }
        dirs.extend(self.declared.iter().cloned());
        dirs.extend(self.packages.get(first).into_iter().flatten().cloned());
        dirs
    }
}

fn is_package(tree: &Tree, dir: &str) -> bool {
    let init = join(dir, "__init__.py");
    !dir.is_empty() && init.is_some_and(|init| tree.id(&init).is_some())
}

/// The file of a module: source before stub, module before package.
fn module(tree: &Tree, dir: &str, names: &[&str]) -> Option<FileId> {
    let place = join(dir, &names.join("/"))?;
    let forms = [".py", "/__init__.py", ".pyi", "/__init__.pyi"];
    let paths = forms.map(|form| format!("{place}{form}"));
    tree.first(
        paths
            .into_iter()
            .map(|path| path.trim_start_matches('/').to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::Layout;
    use crate::language::Language::Python;
    use crate::tags::ImportKind::{Item, Module};

    /// The shape of a library below `src`, with a plugin in a namespace and tests beside it.
    fn library() -> Layout {
        Layout::new(
            &[
                "pyproject.toml",
                "src/lib/__init__.py",
                "src/lib/core.py",
                "src/lib/core.pyi",
                "src/lib/io/__init__.py",
                "src/lib/io/read.py",
                "src/ns/plugin/__init__.py",
                "src/ns/plugin/hook.py",
                "tests/conftest.py",
                "tests/helpers.py",
                "tests/test_core.py",
                "docs/types.py",
            ],
            &[],
        )
    }

    #[test]
    fn absolute_imports_find_a_library_below_src() {
        let layout = library();
        let of = |kind, target| layout.resolve(Python, "tests/test_core.py", kind, target);
        assert_eq!(of(Module, "lib"), "src/lib/__init__.py");
        assert_eq!(of(Module, "lib.core"), "src/lib/core.py");
        assert_eq!(of(Item, "lib.core.run"), "src/lib/core.py");
        assert_eq!(of(Item, "lib.io"), "src/lib/io/__init__.py");
        assert_eq!(of(Item, "lib.VERSION"), "src/lib/__init__.py");
        assert_eq!(of(Item, "lib.core.*"), "src/lib/core.py");
        assert_eq!(of(Item, "helpers.make"), "tests/helpers.py");
        assert_eq!(of(Module, "lib.gone.deep"), "unknown");
    }

    #[test]
    fn a_namespace_package_is_only_a_way() {
        let layout = library();
        let of = |kind, target| layout.resolve(Python, "src/lib/core.py", kind, target);
        assert_eq!(of(Item, "ns.plugin.hook"), "src/ns/plugin/hook.py");
        assert_eq!(of(Module, "ns.plugin"), "src/ns/plugin/__init__.py");
        assert_eq!(of(Module, "ns"), "external ns");
    }

    #[test]
    fn a_loose_module_elsewhere_does_not_shadow_the_standard_library() {
        let layout = library();
        let of = |target| layout.resolve(Python, "src/lib/core.py", Module, target);
        assert_eq!(of("types"), "external types");
        assert_eq!(of("os.path"), "external os");
    }

    #[test]
    fn relative_imports_count_their_dots() {
        let layout = library();
        let of = |path, target| layout.resolve(Python, path, Item, target);
        assert_eq!(of("src/lib/io/read.py", ".other"), "src/lib/io/__init__.py");
        assert_eq!(of("src/lib/io/read.py", "..core"), "src/lib/core.py");
        assert_eq!(of("src/lib/io/read.py", "..core.run"), "src/lib/core.py");
        assert_eq!(of("src/lib/io/__init__.py", ".read"), "src/lib/io/read.py");
        assert_eq!(
            of("src/lib/io/__init__.py", ".read.*"),
            "src/lib/io/read.py"
        );
        assert_eq!(of("src/lib/core.py", ".....x"), "unknown");
        assert_eq!(of("src/lib/core.py", ".gone.x"), "unknown");
    }

    #[test]
    fn a_flat_project_with_several_services_prefers_the_nearest() {
        let layout = Layout::new(
            &[
                "a/app/__init__.py",
                "a/app/db.py",
                "a/main.py",
                "b/app/__init__.py",
                "b/app/db.py",
                "b/app/web.py",
                "scripts/run.py",
            ],
            &[],
        );
        assert_eq!(
            layout.resolve(Python, "b/app/web.py", Item, "app.db.x"),
            "b/app/db.py"
        );
        assert_eq!(
            layout.resolve(Python, "a/main.py", Module, "app.db"),
            "a/app/db.py"
        );
        assert_eq!(
            layout.resolve(Python, "scripts/run.py", Module, "app.web"),
            "b/app/web.py"
        );
    }

    #[test]
    fn declared_source_directories_are_searched() {
        let files = [
            "x.py",
            "pkg/lib/mod.py",
            "one/python/two.py",
            "cfg/lib2/three.py",
            "t/four.py",
        ];
        let pyproject = "[tool.setuptools]\npackage-dir = {\"\" = \"pkg/lib\"}\n[tool.pytest.ini_options]\npythonpath = [\"t\"]\n[tool.poetry]\npackages = [{include = \"two\", from = \"one/python\"}]\n";
        let setup = "[options]\npackage_dir =\n    = lib2\n[options.packages.find]\nwhere = lib3\n";
        let layout = Layout::new(
            &files,
            &[("pyproject.toml", pyproject), ("cfg/setup.cfg", setup)],
        );
        assert_eq!(
            layout.resolve(Python, "x.py", Module, "mod"),
            "pkg/lib/mod.py"
        );
        assert_eq!(
            layout.resolve(Python, "x.py", Module, "two"),
            "one/python/two.py"
        );
        assert_eq!(
            layout.resolve(Python, "x.py", Module, "three"),
            "cfg/lib2/three.py"
        );
        assert_eq!(layout.resolve(Python, "x.py", Module, "four"), "t/four.py");
    }
}
