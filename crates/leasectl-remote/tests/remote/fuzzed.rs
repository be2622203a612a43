//! Replays what the fuzz targets have found worth keeping.

use std::fs;
use std::path::Path;

use crate::judge;

fn replay(target: &str, judge: fn(&str)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let inputs = fs::read_dir(&folder).expect("the target has a corpus");
    let mut replayed = 0;
    for input in inputs {
        let bytes = fs::read(input.expect("it can be listed").path()).expect("it can be read");
        // As in the targets: what is not text cannot reach the parsers.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            judge(text);
            replayed += 1;
        }
    }
    assert!(replayed > 20, "the corpus of {target} lost its inputs");
}

#[test]
fn every_fuzzed_url_keeps_its_promises() {
    replay("url", judge::url);
}

#[test]
fn every_fuzzed_ref_keeps_its_promises() {
    replay("reference", judge::reference);
}

#[test]
fn every_fuzzed_path_keeps_its_promises() {
    replay("path", judge::path);
}

#[test]
fn every_line_of_the_corpora_keeps_the_promises_too() {
    for (name, columns, judge) in [
        ("hostile_urls.txt", 3, judge::url as fn(&str)),
        ("accepted_urls.txt", 4, judge::url),
    ] {
        for case in crate::corpus::read(name, columns) {
            case.columns.iter().for_each(|text| judge(text));
        }
    }
}
