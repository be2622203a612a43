//! What a file depends on, and what depends on it, over the resolved imports of one tree.
//!
//! A node is a file or a package. A package is not a step of its own: who imports it is one step away
//! from each of its files. Files of a package see each other without an import, so each Go file is
//! one step away from the others of its directory.
//!
//! **Invariants**
//! - Answers are sorted by distance, then by path; the same tree gives the same answer.
//! - A file never depends on itself, and cycles end: every node is visited once.
//! - Memory is one number per import and per file; there is no edge between all pairs of a package.

mod role;

use std::collections::{BTreeMap, BTreeSet};

use crate::language::Language;
use crate::resolve::{FileId, Resolution, Resolver};

pub use role::is_test;

/// The dependencies between the files of one tree.
#[derive(Debug)]
pub struct Graph {
    /// Per node, what it depends on; files first, then packages.
    forward: Vec<Vec<u32>>,
    /// Per node, what depends on it.
    backward: Vec<Vec<u32>>,
    /// The dependencies outside of the tree that a file imports itself.
    externals: BTreeMap<FileId, BTreeSet<String>>,
    files: usize,
}

/// A file and how many steps away it is; 1 is direct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The file.
    pub file: FileId,
    /// The least number of imports between the two files.
    pub distance: u32,
}

/// What a file depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependencies {
    /// The files inside of the tree, nearest first.
    pub inside: Vec<Reached>,
    /// The dependencies outside that the file imports itself, by name.
    pub externals: Vec<String>,
    /// The dependencies outside that only the files it depends on import, by name.
    pub transitive_externals: Vec<String>,
}

/// A file that depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependent {
    /// The file.
    pub file: FileId,
    /// The least number of imports between the two files.
    pub distance: u32,
    /// Whether the file holds tests; see [`is_test`].
    pub is_test: bool,
}

/// Collects what is known of each file's imports.
#[derive(Debug)]
pub struct GraphBuilder<'r> {
    resolver: &'r Resolver,
    forward: Vec<Vec<u32>>,
    externals: BTreeMap<FileId, BTreeSet<String>>,
}

impl<'r> GraphBuilder<'r> {
    /// A graph of the resolver's files, with the edges inside of packages alone.
    #[must_use]
    pub fn new(resolver: &'r Resolver) -> Self {
        let files = resolver.file_count();
        let nodes = files + resolver.package_count();
        let mut builder = Self {
            resolver,
            forward: vec![Vec::new(); nodes],
            externals: BTreeMap::new(),
        };
        for package in resolver.package_ids() {
            for file in resolver.package_files(package) {
                builder.edge(files + package.index(), file.index());
            }
        }
        for file in resolver.file_ids() {
            if let Some(package) = resolver.own_package(file) {
                builder.edge(file.index(), files + package.index());
            }
        }
        builder
    }

    /// Adds what one import of a file means.
    pub fn add(&mut self, file: FileId, resolution: &Resolution) {
        let files = self.resolver.file_count();
        match resolution {
            Resolution::File(target) if *target != file => self.edge(file.index(), target.index()),
            Resolution::Package(package) => self.edge(file.index(), files + package.index()),
            Resolution::External(name) => {
                self.externals.entry(file).or_default().insert(name.clone());
            }
            Resolution::File(_) | Resolution::Unknown => {}
        }
    }

    /// Numbers of another resolver are left out: they would name other files.
    fn edge(&mut self, from: usize, to: usize) {
        let nodes = self.forward.len();
        if let (Some(edges), Ok(target)) = (self.forward.get_mut(from), u32::try_from(to))
            && to < nodes
        {
            edges.push(target);
        }
    }

    /// The graph of what was added.
    #[must_use]
    pub fn finish(mut self) -> Graph {
        let mut backward = vec![Vec::new(); self.forward.len()];
        for (from, targets) in (0_u32..).zip(&mut self.forward) {
            targets.sort_unstable();
            targets.dedup();
            for target in targets {
                backward[*target as usize].push(from);
            }
        }
        let files = self.resolver.file_count();
        Graph {
            forward: self.forward,
            backward,
            externals: self.externals,
            files,
        }
    }
}

impl Graph {
    /// What a file depends on: all files, and the dependencies outside.
    #[must_use]
    pub fn dependencies(&self, file: FileId) -> Dependencies {
        let inside = self.reach(&self.forward, file);
        let of = |file| self.externals.get(&file).into_iter().flatten().cloned();
        let own: BTreeSet<String> = of(file).collect();
        let others = inside.iter().flat_map(|reached| of(reached.file));
        let transitive: BTreeSet<String> = others.filter(|name| !own.contains(name)).collect();
        Dependencies {
            inside,
            externals: own.into_iter().collect(),
            transitive_externals: transitive.into_iter().collect(),
        }
    }

    /// All files that depend on a file, nearest first.
    ///
    /// `resolver` is the one that the graph was made with; it knows the paths that tell tests.
    #[must_use]
    pub fn impact(
        &self,
        resolver: &Resolver,
        languages: impl Fn(FileId) -> Option<Language>,
        file: FileId,
    ) -> Vec<Dependent> {
        let reached = self.reach(&self.backward, file);
        let dependent = |Reached { file, distance }| {
            let language = languages(file);
            let is_test = language.is_some_and(|language| is_test(resolver.path(file), language));
            Dependent {
                file,
                distance,
                is_test,
            }
        };
        reached.into_iter().map(dependent).collect()
    }

    /// All files that edges lead to, nearest first and then by path.
    fn reach(&self, edges: &[Vec<u32>], start: FileId) -> Vec<Reached> {
        let mut seen = vec![false; edges.len()];
        let mut reached = Vec::new();
        let mut frontier = vec![start.index()];
        if let Some(start) = seen.get_mut(start.index()) {
            *start = true;
        }
        for distance in 1.. {
            let mut next = Vec::new();
            while let Some(node) = frontier.pop() {
                for target in edges.get(node).into_iter().flatten() {
                    let target = *target as usize;
                    if std::mem::replace(&mut seen[target], true) {
                        continue;
                    }
                    // A package is passed through within the same step.
                    let place = if target < self.files {
                        &mut next
                    } else {
                        &mut frontier
                    };
                    place.push(target);
                }
            }
            if next.is_empty() {
                break;
            }
            // Files are numbered in the order of their paths.
            next.sort_unstable();
            let files = next.iter().filter_map(|node| FileId::from_index(*node));
            reached.extend(files.map(|file| Reached { file, distance }));
            frontier = next;
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tags::{Import, ImportKind};

    fn graph(resolver: &Resolver, imports: &[(&str, Language, ImportKind, &str)]) -> Graph {
        let mut builder = GraphBuilder::new(resolver);
        for (path, language, kind, target) in imports {
            let file = resolver.file(path).expect("the file is in the tree");
            let import = Import {
                target: (*target).to_owned(),
                kind: *kind,
                line: 1,
            };
            builder.add(file, &resolver.resolve(file, *language, &import));
        }
        builder.finish()
    }

    fn dependencies(resolver: &Resolver, graph: &Graph, path: &str) -> Vec<String> {
        let found = graph.dependencies(resolver.file(path).expect("it is there"));
        let line = |it: &Reached| format!("{} {}", it.distance, resolver.path(it.file));
        found.inside.iter().map(line).collect()
    }

    fn impact(resolver: &Resolver, graph: &Graph, language: Language, path: &str) -> Vec<String> {
        let file = resolver.file(path).expect("it is there");
        let found = graph.impact(resolver, |_| Some(language), file);
        let line = |it: &Dependent| {
            let test = if it.is_test { " test" } else { "" };
            format!("{} {}{test}", it.distance, resolver.path(it.file))
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn dependencies_have_distances_and_names_outside() {
        use ImportKind::Item;
        use Language::Python;
        let files = ["a.py", "b.py", "c.py", "test_a.py", "alone.py"];
        let resolver = Resolver::new(files, []);
        let graph = graph(
            &resolver,
            &[
                ("test_a.py", Python, Item, "a.run"),
                ("test_a.py", Python, Item, "pytest.fixture"),
                ("a.py", Python, Item, "b.x"),
                ("a.py", Python, Item, "b.y"),
                ("b.py", Python, Item, "c.z"),
                ("c.py", Python, Item, "a.run"),
                ("c.py", Python, Item, "os.path"),
                ("c.py", Python, Item, "pytest.mark"),
            ],
        );
        assert_eq!(
            dependencies(&resolver, &graph, "test_a.py"),
            ["1 a.py", "2 b.py", "3 c.py"]
        );
        assert_eq!(
            dependencies(&resolver, &graph, "a.py"),
            ["1 b.py", "2 c.py"]
        );
        assert_eq!(
            impact(&resolver, &graph, Python, "c.py"),
            ["1 b.py", "2 a.py", "3 test_a.py test"]
        );
        let test = resolver.file("test_a.py").expect("it is there");
        let found = graph.dependencies(test);
        assert_eq!(found.externals, ["pytest"]);
        assert_eq!(found.transitive_externals, ["os"]);
        assert_eq!(
            dependencies(&resolver, &graph, "alone.py"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_package_is_passed_through_and_its_tests_see_it() {
        use ImportKind::Module;
        use Language::Go;
        let files = [
            "main.go",
            "store/a.go",
            "store/b.go",
            "store/a_test.go",
            "util/u.go",
        ];
        let manifests: [(&str, &[u8]); 1] = [("go.mod", b"module m\n")];
        let resolver = Resolver::new(files.into_iter().chain(["go.mod"]), manifests);
        let graph = graph(
            &resolver,
            &[
                ("main.go", Go, Module, "m/store"),
                ("store/b.go", Go, Module, "m/util"),
            ],
        );
        assert_eq!(
            dependencies(&resolver, &graph, "main.go"),
            ["1 store/a.go", "1 store/b.go", "2 util/u.go"]
        );
        assert_eq!(
            impact(&resolver, &graph, Go, "util/u.go"),
            [
                "1 store/b.go",
                "2 main.go",
                "2 store/a.go",
                "2 store/a_test.go test"
            ]
        );
        assert_eq!(
            impact(&resolver, &graph, Go, "store/a.go"),
            ["1 main.go", "1 store/a_test.go test", "1 store/b.go"]
        );
    }

    #[test]
    fn a_large_package_costs_one_edge_per_file() {
        let files: Vec<String> = (0..20_000).map(|number| format!("p/{number}.go")).collect();
        let resolver = Resolver::new(files.iter().map(String::as_str), []);
        let graph = GraphBuilder::new(&resolver).finish();
        assert!(graph.forward.iter().map(Vec::len).sum::<usize>() <= 40_000);
        let file = resolver.file("p/7.go").expect("it is there");
        assert_eq!(graph.dependencies(file).inside.len(), 19_999);
    }

    proptest! {
        #[test]
        fn what_a_file_depends_on_is_impacted_by_nothing_else(
            edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..40),
        ) {
            let files: Vec<String> = (0..12).map(|number| format!("{number:02}.py")).collect();
            let resolver = Resolver::new(files.iter().map(String::as_str), []);
            let id = |number: usize| resolver.file(&files[number]).expect("it is there");
            let mut builder = GraphBuilder::new(&resolver);
            for (from, to) in edges {
                builder.add(id(from), &Resolution::File(id(to)));
            }
            let graph = builder.finish();
            for from in 0..12 {
                let found = graph.dependencies(id(from)).inside;
                prop_assert!(found.iter().all(|reached| reached.file != id(from)));
                for to in (0..12).filter(|to| *to != from) {
                    let impact = graph.impact(&resolver, |_| None, id(to));
                    let forward = found.iter().find(|it| it.file == id(to));
                    let backward = impact.iter().find(|it| it.file == id(from));
                    prop_assert_eq!(
                        forward.map(|it| it.distance),
                        backward.map(|it| it.distance)
                    );
                }
            }
        }
    }
}
