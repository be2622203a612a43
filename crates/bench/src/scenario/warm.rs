//! `ensure_clone` of a clone that is there and healthy.

use std::time::Instant;

use leasectl_repo::NoProgress;
use tokio_util::sync::CancellationToken;

use super::clone::{Source, cache};
use crate::cli::Rounds;
use crate::error::BenchError;
use crate::report::{Bar, Report, Unit, median, percentile};

/// Calls of one round.
const CALLS: usize = 20_000;

pub(crate) async fn run(rounds: Rounds) -> Result<(), BenchError> {
    let mut report = Report::new("warm ensure_clone");
    report.note(format!("{CALLS} calls in a round, one after the other"));
    let source = Source::small().await?;
    let folder = tempfile::tempdir()?;
    let cache = cache(folder.path())?;
    let target = source.target()?;
    let cancel = CancellationToken::new();
    cache
        .ensure_clone(&target, &[], &NoProgress, &cancel)
        .await?;
    for _ in 0..rounds.rounds {
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let started = Instant::now();
            cache
                .ensure_clone(&target, &[], &NoProgress, &cancel)
                .await?;
            times.push(started.elapsed().as_secs_f64() * 1_000_000.0);
        }
        report.add(
            "median",
            Unit::Microseconds,
            Bar::AtMost(50.0),
            median(&times),
        );
        report.add("p99", Unit::Microseconds, Bar::None, percentile(&times, 99));
    }
    Ok(report.print()?)
}
