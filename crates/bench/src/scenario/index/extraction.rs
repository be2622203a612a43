//! The floor: the same extraction on as many threads, of bytes that are in memory, stored nowhere.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::Instant;

use leasectl_index::{Detection, Extractor, Limits, Stop, TrigramExtractor, detect};

use super::corpus::SourceFile;
use crate::error::BenchError;

/// Extracts trigrams, symbols and imports of every file; answers the seconds that it took.
pub(super) fn alone(files: &[SourceFile]) -> Result<f64, BenchError> {
    let threads = available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let ended = scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| extract(files, &next)))
            .collect();
        let all = workers.into_iter().map(|worker| worker.join());
        all.collect::<Vec<_>>()
    });
    for outcome in ended {
        outcome.map_err(|_| BenchError::Unexpected("an extractor panicked".to_owned()))??;
    }
    Ok(started.elapsed().as_secs_f64())
}

fn extract(files: &[SourceFile], next: &AtomicUsize) -> Result<(), BenchError> {
    let (mut trigrams, mut tags) = (TrigramExtractor::default(), Extractor::new());
    let never = AtomicBool::new(false);
    let stop = Stop::when(&never);
    let failed = |error: &dyn std::error::Error| BenchError::Unexpected(error.to_string());
    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
        let vector = trigrams.extract(&file.content, &stop);
        std::hint::black_box(vector.map_err(|error| failed(&error))?.encode());
        if let Detection::Known(grammar) = detect(&file.path, None) {
            let found = tags.extract(grammar, &file.content, &Limits::default(), stop);
            std::hint::black_box(found.map_err(|error| failed(&error))?);
        }
    }
    Ok(())
}
