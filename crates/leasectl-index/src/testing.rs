//! What several tests of this crate do.

use std::sync::atomic::AtomicBool;

use crate::{Query, Stop, TrigramExtractor, TrigramVector};

/// Nobody asks to stop.
static NEVER: AtomicBool = AtomicBool::new(false);

pub(crate) fn never() -> Stop<'static> {
    Stop::when(&NEVER)
}

pub(crate) fn extract(blob: &[u8]) -> TrigramVector {
    TrigramExtractor::new().extract(blob, &never()).unwrap()
}

pub(crate) fn lines_with_hits(query: &Query, text: &[u8]) -> Vec<u64> {
    let mut scan = query.scan(text);
    std::iter::from_fn(|| scan.next_hit(&never()).unwrap())
        .map(|hit| hit.line())
        .collect()
}
