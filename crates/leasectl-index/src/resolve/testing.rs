//! A layout written out in a test: its files, its manifests, and answers as text.

use super::{Resolution, Resolver};
use crate::language::Language;
use crate::tags::{Import, ImportKind};

pub(super) struct Layout(pub(super) Resolver);

impl Layout {
    /// The paths of the manifests need not be among the files.
    pub(super) fn new(files: &[&str], manifests: &[(&str, &str)]) -> Self {
        let paths = files
            .iter()
            .copied()
            .chain(manifests.iter().map(|(path, _)| *path));
        let contents = manifests
            .iter()
            .map(|(path, content)| (*path, content.as_bytes()));
        let resolver = Resolver::new(paths, contents);
        assert_eq!(
            resolver.unread_manifests().collect::<Vec<_>>(),
            Vec::<&str>::new()
        );
        Self(resolver)
    }

    /// The path, `dir/ [files]` of a package, `external name`, or `unknown`.
    pub(super) fn resolve(
        &self,
        language: Language,
        path: &str,
        kind: ImportKind,
        target: &str,
    ) -> String {
        let file = self
            .0
            .file(path)
            .expect("the importing file is in the tree");
        let import = Import {
            target: target.to_owned(),
            kind,
            line: 1,
        };
        let joined = |files: &[super::FileId]| {
            files
                .iter()
                .map(|file| self.0.path(*file))
                .collect::<Vec<_>>()
                .join(" ")
        };
        match self.0.resolve(file, language, &import) {
            Resolution::File(file) => joined(&[file]),
            Resolution::Package(package) => {
                let dir = self.0.package_dir(package);
                format!("{dir}/ [{}]", joined(self.0.package_files(package)))
            }
            Resolution::External(name) => format!("external {name}"),
            Resolution::Unknown => "unknown".to_owned(),
        }
    }
}
