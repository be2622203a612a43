//! The structure of a tree: its imports, and to what they lead.

mod imports;
mod manifests;

use std::collections::HashMap;

use leasectl_core::index::IndexedFile;
use leasectl_index::Language;

pub use self::imports::{Outside, TreeImports};
pub use self::manifests::{Manifest, read_manifests};

fn language(file: &IndexedFile) -> Option<Language> {
    Language::from_name(file.language.as_deref()?)
}

/// The languages of the files that have one, by path.
#[must_use]
pub fn languages(files: &[IndexedFile]) -> HashMap<&str, Language> {
    files
        .iter()
        .filter_map(|file| Some((file.path.as_str(), language(file)?)))
        .collect()
}

/// The paths of the files.
pub fn paths(files: &[IndexedFile]) -> impl Iterator<Item = &str> {
    files.iter().map(|file| file.path.as_str())
}
