//! The files that are searched: sources of this workspace, and what sources are usually not.

use std::fs;
use std::path::{Path, PathBuf};

use leasectl_index::Attributes;

/// Of the workspace's sources every so-many-th is taken: variety counts, size costs time.
const STEP: usize = 9;

pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) says: Attributes,
}

/// All files, in the order in which Git lists them; `top` is where the workspace is.
pub(crate) fn files(top: &Path) -> Vec<File> {
    let mut paths = Vec::new();
    for folder in ["crates", "docs", "migrations"] {
        collect(&top.join(folder), &mut paths);
    }
    paths.sort();
    let mut files: Vec<File> = paths
        .iter()
        .step_by(STEP)
        .map(|path| {
            let name = path.strip_prefix(top).unwrap().to_str().unwrap();
            file(name, fs::read(path).unwrap())
        })
        .collect();
    let sample = fs::read(top.join("crates/leasectl-index/src/lib.rs")).unwrap();
    files.extend(odd_files(&sample));
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

fn odd_files(sample: &[u8]) -> Vec<File> {
    let text = String::from_utf8_lossy(sample);
    let mut late_nul = sample.repeat(8_000 / sample.len() + 1);
    late_nul.extend(b"pub fn behind() {}\nnul \0 inside fn\nmod last;\n");
    let mut early_nul = sample.to_vec();
    early_nul.extend(b"\0 pub use");
    let mut latin = text.replace("mod", "m#d").into_bytes();
    let umlauts = latin.iter_mut().filter(|byte| **byte == b'#');
    umlauts.for_each(|byte| *byte = 0xf6);
    latin.extend(b"\xff\xfe pub \x80\x80 mod\n\xc3\n");
    let mut files = vec![
        file("odd/blank_lines.txt", b"\n\n  \npub\n\n\n".to_vec()),
        file("odd/crlf.rs", text.replace('\n', "\r\n").into_bytes()),
        file("odd/early_nul.rs", early_nul.clone()),
        file("odd/empty.txt", Vec::new()),
        file("odd/late_nul.rs", late_nul),
        file("odd/latin.rs", latin),
        file(
            "odd/long_line.rs",
            text.replace('\n', " ").repeat(20).into_bytes(),
        ),
        file("odd/no_end.rs", text.trim_end().as_bytes().to_vec()),
        file("odd/only_break.txt", b"\n".to_vec()),
        file("odd/two_bytes.txt", b"fn".to_vec()),
        file(
            "odd/unicode.txt",
            "// für – Größe, naïve, 日本語 mod\npub \u{1f600}\n".into(),
        ),
    ];
    // What the attributes say outweighs what the bytes are.
    let attributes = "/odd/called_binary.rs -diff\n/odd/called_text.rs diff\n";
    files.push(file(".gitattributes", attributes.into()));
    for (name, binary, bytes) in [
        ("odd/called_binary.rs", true, sample.to_vec()),
        ("odd/called_text.rs", false, early_nul),
    ] {
        let says = Attributes {
            binary: Some(binary),
            ..Attributes::default()
        };
        files.push(File {
            says,
            ..file(name, bytes)
        });
    }
    files
}

fn file(path: &str, bytes: Vec<u8>) -> File {
    File {
        path: path.to_owned(),
        bytes,
        says: Attributes::default(),
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().unwrap();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if kind.is_dir() && name != "target" && name != "corpus" {
            collect(&path, paths);
        } else if kind.is_file() && matches!(ending, Some("rs" | "sql" | "md" | "toml" | "scm")) {
            paths.push(path);
        }
    }
}
