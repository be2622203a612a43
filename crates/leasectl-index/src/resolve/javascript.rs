//! JavaScript and TypeScript: specifiers by the rules that Node, TypeScript and bundlers share.
//!
//! Relative specifiers may leave out an extension or an index file, and may name the `.js` that a
//! `.ts` will become. Others are tried as aliases of the nearest `tsconfig.json`, as the package's own
//! `#` aliases, and as a package of the tree. Where a package points at what its build will make
//! (`dist/index.js`), the source of the same name is taken.

use std::collections::BTreeMap;

use super::Resolution;
use super::package_json::Package;
use super::tree::{FileId, Tree, ancestors, join, parent};
use super::tsconfig::Configs;

/// In the order in which they are tried.
const EXTENSIONS: [&str; 11] = [
    "ts", "tsx", "d.ts", "mts", "cts", "js", "jsx", "mjs", "cjs", "json", "vue",
];
/// Where builds put what `src` becomes.
const BUILD_DIRS: [&str; 7] = ["dist", "lib", "build", "out", "es", "esm", "cjs"];

#[derive(Debug, Default)]
pub(super) struct JavaScript {
    pub(super) configs: Configs,
    /// By directory.
    packages: BTreeMap<String, Package>,
    /// The directory of the package of this name; of several the one with the shortest path.
    by_name: BTreeMap<String, String>,
}

impl JavaScript {
    pub(super) fn read_package(&mut self, path: &str, content: &str) -> bool {
        let Some(package) = Package::parse(parent(path), content) else {
            return false;
        };
        if let Some(name) = package.name.clone() {
            let dir = self
                .by_name
                .entry(name)
                .or_insert_with(|| package.dir.clone());
            if (package.dir.len(), &package.dir) < (dir.len(), dir) {
                dir.clone_from(&package.dir);
            }
        }
        self.packages.insert(package.dir.clone(), package);
        true
    }

    pub(super) fn resolve(&self, tree: &Tree, path: &str, specifier: &str) -> Resolution {
        let dir = parent(path);
        let specifier = specifier.split(['?', '!']).next().unwrap_or_default();
        if specifier.starts_with('.') {
            let found = join(dir, specifier).and_then(|place| self.probe(tree, &place));
            return found.map_or(Resolution::Unknown, Resolution::File);
        }
        let aliases = self.configs.aliases(dir, specifier);
        if let Some(file) = aliases.iter().find_map(|place| self.probe(tree, place)) {
            return Resolution::File(file);
        }
        if specifier.starts_with('#') {
            let own = ancestors(dir).find_map(|dir| self.packages.get(dir));
            let found = own.and_then(|own| {
                let offers = own.own_alias(specifier);
                offers
                    .iter()
                    .find_map(|offer| self.built_or_source(tree, &own.dir, offer))
            });
            return found.map_or(Resolution::Unknown, Resolution::File);
        }
        let Some((name, subpath)) = package_and_subpath(specifier) else {
            return Resolution::Unknown;
        };
        match self
            .by_name
            .get(name)
            .and_then(|dir| self.packages.get(dir))
        {
            Some(package) => self
                .in_package(tree, package, subpath)
                .map_or(Resolution::Unknown, Resolution::File),
            None => Resolution::External(name.to_owned()),
        }
    }

    fn in_package(&self, tree: &Tree, package: &Package, subpath: &str) -> Option<FileId> {
        let key = if subpath.is_empty() {
            ".".to_owned()
        } else {
            format!("./{subpath}")
        };
        let offers = package.offers(&key);
        let offered = offers
            .iter()
            .find_map(|it| self.built_or_source(tree, &package.dir, it));
        offered.or_else(|| {
            let place = if subpath.is_empty() { "index" } else { subpath };
            [place.to_owned(), format!("src/{place}")]
                .into_iter()
                .find_map(|place| self.probe(tree, &join(&package.dir, &place)?))
        })
    }

    /// The file that a package offers, or the source that it is built from.
    fn built_or_source(&self, tree: &Tree, dir: &str, offer: &str) -> Option<FileId> {
        let place = join(dir, offer)?;
        if let Some(file) = self.probe(tree, &place) {
            return Some(file);
        }
        let within = join("", offer)?;
        let (first, rest) = within.split_once('/')?;
        let (_, rest) = BUILD_DIRS.contains(&first).then_some((first, rest))?;
        // Some builds keep one directory per module format: `dist/esm/index.js`.
        let inner = rest
            .split_once('/')
            .filter(|(format, _)| BUILD_DIRS.contains(format));
        let rest = inner.map_or(rest, |(_, inner)| inner);
        let stem = EXTENSIONS
            .iter()
            .find_map(|ext| rest.strip_suffix(ext)?.strip_suffix('.'))?;
        self.probe(
            tree,
            &join(dir, &format!("src/{}", stem.trim_end_matches(".d")))?,
        )
    }

    /// The file at a place that may lack its extension or be a directory.
    fn probe(&self, tree: &Tree, place: &str) -> Option<FileId> {
        if let Some(file) = tree.id(place) {
            return Some(file);
        }
        let sources = [
            ("js", "ts"),
            ("js", "tsx"),
            ("jsx", "tsx"),
            ("mjs", "mts"),
            ("cjs", "cts"),
        ];
        let source = sources.iter().find_map(|(built, source)| {
            let stem = place.strip_suffix(built)?.strip_suffix('.')?;
            tree.id(&format!("{stem}.{source}"))
        });
        let with = |end: &str| {
            EXTENSIONS
                .iter()
                .find_map(|ext| tree.id(&format!("{place}{end}.{ext}")))
        };
        source.or_else(|| with("")).or_else(|| {
            if !tree.has_dir(place) {
                return None;
            }
            let index = if place.is_empty() { "index" } else { "/index" };
            let main = self.packages.get(place).and_then(|package| {
                let offers = package.offers(".");
                offers
                    .iter()
                    .find_map(|offer| tree.id(&join(place, offer)?))
            });
            main.or_else(|| with(index))
        })
    }
}

/// `@scope/name/a/b` is the package `@scope/name` and its `a/b`.
fn package_and_subpath(specifier: &str) -> Option<(&str, &str)> {
    if specifier.is_empty() || specifier.starts_with('/') || specifier.contains("://") {
        return None;
    }
    let scope = if specifier.starts_with('@') {
        specifier.find('/')? + 1
    } else {
        0
    };
    match specifier[scope..].find('/') {
        Some(end) => Some((&specifier[..scope + end], &specifier[scope + end + 1..])),
        None => Some((specifier, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Layout;
    use crate::language::Language::{JavaScript, TypeScript};
    use crate::tags::ImportKind::Module;

    /// The shape of a workspace of packages with a web application.
    fn workspace() -> Layout {
        Layout::new(
            &[
                "packages/core/src/index.ts",
                "packages/core/src/util/index.ts",
                "packages/core/src/util/text.ts",
                "packages/core/src/feature/one.ts",
                "packages/plain/index.js",
                "packages/plain/lib/deep.js",
                "packages/esm/src/node.ts",
                "apps/web/src/App.tsx",
                "apps/web/src/main.ts",
                "apps/web/src/components/Button.tsx",
                "apps/web/src/components/Button.test.tsx",
                "apps/web/src/types.d.ts",
                "apps/web/src/data.json",
                "apps/web/shared/env.ts",
                "apps/web/src/internal/db.ts",
            ],
            &[
                (
                    "package.json",
                    r#"{"name": "root", "private": true, "workspaces": ["packages/*", "apps/*"]}"#,
                ),
                (
                    "packages/core/package.json",
                    r#"{"name": "@acme/core", "exports": {
                        ".": {"types": "./dist/index.d.ts", "import": "./dist/index.js"},
                        "./util": "./src/util/index.ts",
                        "./feature/*": {"default": ["./nowhere/*.js", "./dist/esm/feature/*.js"]}}}"#,
                ),
                (
                    "packages/plain/package.json",
                    r#"{"name": "plain", "main": "index"}"#,
                ),
                (
                    "packages/esm/package.json",
                    r#"{"name": "esm", "exports": {"node": "./dist/node.mjs"}}"#,
                ),
                (
                    "apps/web/package.json",
                    r##"{"name": "web", "imports": {"#db": "./src/internal/db.js"}}"##,
                ),
                (
                    "tsconfig.base.json",
                    "{ \"compilerOptions\": { \"paths\": { \"shared/*\": [\"apps/web/shared/*\"], } } }",
                ),
                (
                    "apps/web/tsconfig.json",
                    "{\n  // The application.\n  \"extends\": \"../../tsconfig.base.json\",\n  \"compilerOptions\": { \"baseUrl\": \"src\", \"paths\": { \"@/*\": [\"*\"], \"@/components/*\": [\"components/*\"], \"~app\": [\"./App\"] } },\n}",
                ),
            ],
        )
    }

    fn check(from: &str, expected: &[(&str, &str)]) {
        let layout = workspace();
        for (specifier, answer) in expected {
            let found = layout.resolve(TypeScript, from, Module, specifier);
            assert_eq!(&found, answer, "{specifier} from {from}");
        }
    }

    #[test]
    fn relative_specifiers_may_leave_things_out() {
        check(
            "apps/web/src/main.ts",
            &[
                ("./App", "apps/web/src/App.tsx"),
                ("./App.js", "apps/web/src/App.tsx"),
                ("./types", "apps/web/src/types.d.ts"),
                ("./data.json", "apps/web/src/data.json"),
                (
                    "./components/Button?raw",
                    "apps/web/src/components/Button.tsx",
                ),
                (
                    "../../../packages/core/src/util",
                    "packages/core/src/util/index.ts",
                ),
                ("../../../packages/plain", "packages/plain/index.js"),
                ("./gone", "unknown"),
                ("../../../../../up", "unknown"),
            ],
        );
        let layout = workspace();
        let text = "packages/core/src/util/text.ts";
        let of = |specifier| layout.resolve(TypeScript, text, Module, specifier);
        assert_eq!(of("."), "packages/core/src/util/index.ts");
        assert_eq!(of(".."), "packages/core/src/index.ts");
        assert_eq!(of("./"), "packages/core/src/util/index.ts");
    }

    #[test]
    fn aliases_of_the_nearest_configuration_come_first() {
        check(
            "apps/web/src/main.ts",
            &[
                ("@/App", "apps/web/src/App.tsx"),
                ("@/components/Button", "apps/web/src/components/Button.tsx"),
                ("~app", "apps/web/src/App.tsx"),
                ("components/Button", "apps/web/src/components/Button.tsx"),
                ("shared/env", "apps/web/shared/env.ts"),
                ("#db", "apps/web/src/internal/db.ts"),
                ("#gone", "unknown"),
            ],
        );
    }

    #[test]
    fn packages_of_the_workspace_lead_to_their_source() {
        check(
            "apps/web/src/main.ts",
            &[
                ("@acme/core", "packages/core/src/index.ts"),
                ("@acme/core/util", "packages/core/src/util/index.ts"),
                ("@acme/core/feature/one", "packages/core/src/feature/one.ts"),
                ("@acme/core/src/util/text", "packages/core/src/util/text.ts"),
                ("@acme/core/gone", "unknown"),
                ("plain", "packages/plain/index.js"),
                ("plain/lib/deep", "packages/plain/lib/deep.js"),
                ("esm", "packages/esm/src/node.ts"),
            ],
        );
    }

    #[test]
    fn other_packages_are_external_by_their_whole_name() {
        check(
            "apps/web/src/main.ts",
            &[
                ("react", "external react"),
                ("react-dom/client", "external react-dom"),
                ("@scope/pkg/sub/path", "external @scope/pkg"),
                ("node:fs/promises", "external node:fs"),
                ("https://example.com/x.js", "unknown"),
                ("@broken", "unknown"),
                ("", "unknown"),
            ],
        );
    }

    #[test]
    fn a_plain_project_without_manifests_resolves_relative_files() {
        let layout = Layout::new(&["index.js", "lib/a.js", "lib/index.mjs"], &[]);
        assert_eq!(
            layout.resolve(JavaScript, "index.js", Module, "./lib"),
            "lib/index.mjs"
        );
        assert_eq!(
            layout.resolve(JavaScript, "lib/a.js", Module, ".."),
            "index.js"
        );
    }
}
