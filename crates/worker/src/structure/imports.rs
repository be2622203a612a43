//! The imports of a tree's files, and to what they lead.
//!
//! To which places of the tree imports lead is found out once, while it is indexed, and stored. A resolver
//! is asked again only for the names of what lies outside, which are not stored.

use std::collections::{BTreeMap, HashMap};

use leasectl_core::index::{self as stored, FileImport, Resolutions};
use leasectl_index::{
    FileId, Graph, GraphBuilder, Import, ImportKind, Language, Resolution, Resolver,
};

use super::manifests::Manifest;

/// The imports of a tree, by the path of the importing file.
#[derive(Debug)]
pub struct TreeImports {
    by_path: BTreeMap<String, Importer>,
}

/// What one file imports.
#[derive(Debug)]
struct Importer {
    language: Language,
    imports: Vec<Import>,
    /// For each import, where in the tree it leads as far as that is stored.
    places: Vec<Option<String>>,
}

/// Whether a graph knows what lies outside of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outside {
    /// It does not; no resolver is asked.
    LeftOut,
    /// By the names that the resolver finds.
    Named,
}

impl TreeImports {
    /// What was found in a tree whose files are written in these languages.
    #[must_use]
    pub fn new(languages: &HashMap<&str, Language>, found: Vec<FileImport>) -> Self {
        let mut by_path: BTreeMap<String, Importer> = BTreeMap::new();
        for one in found {
            // A language that is not known here was indexed by another release.
            let Some(&language) = languages.get(one.path.as_str()) else {
                continue;
            };
            let importer = by_path.entry(one.path).or_insert_with(|| Importer {
                language,
                imports: Vec::new(),
                places: Vec::new(),
            });
            importer.imports.push(import(one.import));
            importer.places.push(one.resolved_path);
        }
        Self { by_path }
    }

    /// A resolver of the tree with these paths that has been told of every import.
    #[must_use]
    pub fn resolver<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p str>,
        manifests: &'p [Manifest],
    ) -> Resolver {
        let contents = manifests
            .iter()
            .map(|manifest| (manifest.path.as_str(), &manifest.content[..]));
        let mut resolver = Resolver::new(paths, contents);
        for (path, importer) in &self.by_path {
            if let Some(file) = resolver.file(path) {
                resolver.declare(file, importer.language, &importer.imports);
            }
        }
        resolver
    }

    /// Where in the tree every import leads, to be stored.
    #[must_use]
    pub fn resolutions(&self, resolver: &Resolver) -> Resolutions {
        let mut resolutions = Resolutions::new();
        for (path, importer) in &self.by_path {
            let Some(file) = resolver.file(path) else {
                continue;
            };
            let place = |import: &Import| {
                let leads = resolver.resolve(file, importer.language, import);
                resolver.place(&leads).map(str::to_owned)
            };
            let places: Vec<Option<String>> = importer.imports.iter().map(place).collect();
            if places.iter().any(Option::is_some) {
                resolutions.insert(path.clone(), places);
            }
        }
        resolutions
    }

    /// The graph of the places that are stored.
    #[must_use]
    pub fn graph(&self, resolver: &Resolver, outside: Outside) -> Graph {
        let mut builder = GraphBuilder::new(resolver);
        for (path, importer) in &self.by_path {
            let Some(file) = resolver.file(path) else {
                continue;
            };
            for place in importer.places.iter().flatten() {
                if let Some(leads) = resolver.at(place) {
                    builder.add(file, &leads);
                }
            }
            if outside == Outside::Named {
                for leads in importer.elsewhere(resolver, file).filter_map(Result::ok) {
                    builder.add(file, &Resolution::External(leads));
                }
            }
        }
        builder.finish()
    }

    /// Whether a file imports something that leads to no place in the tree.
    #[must_use]
    pub fn leads_elsewhere(&self, path: &str) -> bool {
        let importer = self.by_path.get(path);
        importer.is_some_and(|importer| importer.places.iter().any(Option::is_none))
    }

    /// What a file imports of which nobody knows what it means, as it is written, sorted.
    #[must_use]
    pub fn unresolved(&self, resolver: &Resolver, path: &str) -> Vec<String> {
        let found = self.by_path.get(path).zip(resolver.file(path));
        let elsewhere = found.map(|(importer, file)| importer.elsewhere(resolver, file));
        let targets = elsewhere.into_iter().flatten().filter_map(Result::err);
        let mut targets: Vec<String> = targets.map(str::to_owned).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

impl Importer {
    /// The imports that lead to no place in the tree: the name of what lies outside, or the target of one
    /// that is not resolved. What this release would find in the tree, but the one that indexed it did not,
    /// is not resolved until the tree is indexed again: the views say the same.
    fn elsewhere<'a>(
        &'a self,
        resolver: &'a Resolver,
        file: FileId,
    ) -> impl Iterator<Item = Result<String, &'a str>> + 'a {
        let imports = self.imports.iter().zip(&self.places);
        let elsewhere = imports.filter(|(_, place)| place.is_none());
        elsewhere.map(
            move |(import, _)| match resolver.resolve(file, self.language, import) {
                Resolution::External(name) => Ok(name),
                Resolution::File(_) | Resolution::Package(_) | Resolution::Unknown => {
                    Err(import.target.as_str())
                }
            },
        )
    }
}

fn import(stored: stored::Import) -> Import {
    Import {
        kind: kind(stored.kind),
        target: stored.target,
        line: stored.line,
    }
}

fn kind(stored: stored::ImportKind) -> ImportKind {
    use stored::ImportKind as Stored;
    match stored {
        Stored::Module => ImportKind::Module,
        Stored::Item => ImportKind::Item,
        Stored::Declaration => ImportKind::Declaration,
        Stored::File => ImportKind::File,
        Stored::System => ImportKind::System,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const PATHS: [&str; 5] = [
        "Cargo.toml",
        "build.py",
        "src/lib.rs",
        "src/shape.rs",
        "util.py",
    ];

    fn manifest() -> Manifest {
        let content = b"[package]\nname = \"app\"\n[dependencies]\n\
            json = { package = \"serde_json\", version = \"1\" }\n";
        Manifest {
            path: "Cargo.toml".to_owned(),
            content: Arc::from(&content[..]),
        }
    }

    fn found(
        path: &str,
        kind: stored::ImportKind,
        target: &str,
        place: Option<&str>,
    ) -> FileImport {
        FileImport {
            path: path.to_owned(),
            import: stored::Import {
                target: target.to_owned(),
                kind,
                line: 1,
            },
            resolved_path: place.map(str::to_owned),
        }
    }

    fn sample(place_of_shape: Option<&str>) -> TreeImports {
        use stored::ImportKind::{Declaration, Item, Module};
        let languages = HashMap::from([
            ("src/lib.rs", Language::Rust),
            ("src/shape.rs", Language::Rust),
            ("build.py", Language::Python),
        ]);
        let found = vec![
            found("src/lib.rs", Declaration, "shape", place_of_shape),
            found("src/lib.rs", Item, "json::Value", None),
            found("src/lib.rs", Item, "Local::Variant", None),
            found("src/shape.rs", Item, "std::fmt", None),
            found("build.py", Module, "util", Some("util.py")),
            found("other.zig", Item, "x", None),
        ];
        TreeImports::new(&languages, found)
    }

    fn dependencies(imports: &TreeImports, outside: Outside, path: &str) -> Vec<String> {
        let manifests = [manifest()];
        let resolver = imports.resolver(PATHS, &manifests);
        let graph = imports.graph(&resolver, outside);
        let found = graph.dependencies(resolver.file(path).unwrap());
        let inside = found.inside.iter().map(|reached| {
            let path = resolver.path(reached.file);
            format!("{} {path}", reached.distance)
        });
        let outside = found.externals.into_iter();
        let later = found.transitive_externals.into_iter();
        inside
            .chain(outside.map(|name| format!("1 {name}")))
            .chain(later.map(|name| format!("later {name}")))
            .collect()
    }

    #[test]
    fn a_graph_has_the_places_that_are_stored_and_names_the_rest_by_the_manifests() {
        let imports = sample(Some("src/shape.rs"));
        let named = dependencies(&imports, Outside::Named, "src/lib.rs");
        assert_eq!(named, ["1 src/shape.rs", "1 serde_json", "later std"]);
        let inside = dependencies(&imports, Outside::LeftOut, "src/lib.rs");
        assert_eq!(inside, ["1 src/shape.rs"]);
        let python = dependencies(&imports, Outside::Named, "build.py");
        assert_eq!(python, ["1 util.py"]);
    }

    #[test]
    fn what_nobody_knows_is_told_as_it_is_written() {
        let imports = sample(Some("src/shape.rs"));
        let resolver = imports.resolver(PATHS, &[]);
        assert_eq!(
            imports.unresolved(&resolver, "src/shape.rs"),
            Vec::<String>::new()
        );
        let manifests = [manifest()];
        let resolver = imports.resolver(PATHS, &manifests);
        assert_eq!(
            imports.unresolved(&resolver, "src/lib.rs"),
            ["Local::Variant"]
        );
        assert!(imports.leads_elsewhere("src/lib.rs"));
        assert!(!imports.leads_elsewhere("build.py") && !imports.leads_elsewhere("util.py"));
    }

    #[test]
    fn a_place_that_is_not_stored_is_not_made_up() {
        let imports = sample(None);
        let named = dependencies(&imports, Outside::Named, "src/lib.rs");
        assert_eq!(named, ["1 serde_json"]);
        let manifests = [manifest()];
        let resolver = imports.resolver(PATHS, &manifests);
        assert_eq!(
            imports.unresolved(&resolver, "src/lib.rs"),
            ["Local::Variant", "shape"]
        );
    }

    #[test]
    fn what_is_resolved_to_be_stored_names_places_in_the_order_of_the_imports() {
        let imports = sample(None);
        let manifests = [manifest()];
        let resolver = imports.resolver(PATHS, &manifests);
        let resolutions = imports.resolutions(&resolver);
        let place = |place: &str| Some(place.to_owned());
        assert_eq!(
            resolutions["src/lib.rs"],
            [place("src/shape.rs"), None, None]
        );
        assert_eq!(resolutions["build.py"], [place("util.py")]);
        assert_eq!(resolutions.len(), 2, "{resolutions:?}");
    }
}
