//! Made-up trees. A content is a number; everything else about it follows from the number.

use std::collections::BTreeMap;

use leasectl_core::index::{EntryName, Import, ImportKind, ObjectId, Symbol, SymbolKind};
use sha2::{Digest, Sha256};

/// A directory of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    pub(crate) oid: ObjectId,
    pub(crate) files: Vec<(String, u64)>,
    pub(crate) dirs: Vec<(String, Dir)>,
}

fn oid_of(text: &str) -> ObjectId {
    ObjectId::from_bytes(&Sha256::digest(text)[..20]).unwrap()
}

pub(crate) fn name(text: &str) -> EntryName {
    EntryName::from_bytes(text.as_bytes()).unwrap()
}

pub(crate) fn commit(number: u64) -> ObjectId {
    oid_of(&format!("commit {number}"))
}

/// The blob of a content.
pub(crate) fn blob(content: u64) -> ObjectId {
    oid_of(&format!("blob {content}"))
}

impl Dir {
    /// The tree of these paths.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut own = Vec::new();
        let mut below: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
        for (path, content) in files {
            match path.split_once('/') {
                None => own.push((path.to_owned(), content)),
                Some((dir, rest)) => below.entry(dir).or_default().push((rest, content)),
            }
        }
        let dirs = below
            .into_iter()
            .map(|(name, files)| (name.to_owned(), Self::of(files)))
            .collect();
        Self::made(own, dirs)
    }

    fn made(mut files: Vec<(String, u64)>, dirs: Vec<(String, Self)>) -> Self {
        files.sort();
        let below: Vec<_> = dirs.iter().map(|(name, dir)| (name, dir.oid)).collect();
        let oid = oid_of(&format!("tree {files:?} {below:?}"));
        Self { oid, files, dirs }
    }

    /// A tree of so many files, sixteen to a directory and sixteen such to another.
    pub(crate) fn generated(count: u64) -> BTreeMap<String, u64> {
        let path = |n: u64| format!("part{}/group{}/file{}.rs", n / 256, n / 16 % 16, n % 16);
        (0..count).map(|n| (path(n), n)).collect()
    }

    /// The paths of the tree with their contents.
    pub(crate) fn paths(&self) -> BTreeMap<String, u64> {
        let mut all: BTreeMap<String, u64> = self.files.iter().cloned().collect();
        for (name, dir) in &self.dirs {
            all.extend(
                dir.paths()
                    .into_iter()
                    .map(|(path, c)| (format!("{name}/{path}"), c)),
            );
        }
        all
    }
}

pub(crate) fn tree(files: &BTreeMap<String, u64>) -> Dir {
    Dir::of(
        files
            .iter()
            .map(|(path, content)| (path.as_str(), *content)),
    )
}

/// A generator that is the same everywhere.
pub(crate) fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Bytes that no compressor shortens, as an extractor leaves them: 1.2 KB, of a file of 9 KB.
pub(crate) fn vector(content: u64) -> Vec<u8> {
    (0..150)
        .flat_map(|n| mixed(content * 1_000 + n).to_le_bytes())
        .collect()
}

/// Sixteen symbols: one for each 560 bytes of such a file.
pub(crate) fn symbols(content: u64) -> Vec<Symbol> {
    let symbol = |n: u32| Symbol {
        name: format!(
            "symbol_{:x}",
            mixed(content * 100 + u64::from(n)) % 0xfff_ffff
        ),
        kind: SymbolKind::ALL[usize::try_from(n).unwrap() % SymbolKind::ALL.len()],
        line_start: 10 + n * 17,
        line_end: 10 + n * 17 + n,
    };
    (0..16).map(symbol).collect()
}

/// Four imports: of three other files of a generated tree, and of something outside.
pub(crate) fn imports(content: u64) -> Vec<Import> {
    let target = |n: u64| {
        let other = mixed(content + n) % 256;
        format!("part0/group{}/file{}.rs", other / 16, other % 16)
    };
    let import = |target: String, line| Import {
        target,
        kind: ImportKind::Module,
        line,
    };
    (1..4_u32)
        .map(|line| import(target(line.into()), line))
        .chain([import("outside".to_owned(), 4)])
        .collect()
}
