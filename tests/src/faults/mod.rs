//! The fault suite: real workers, a real database and real remotes under random faults, with a
//! history that the database itself writes and a checker that judges it.
//!
//! A run is made of rounds. Each has a seed and a world of its own: faults come at a pace, several
//! at once, while work never stops coming; then the faults stop, every job has to end, and every
//! invariant is judged. So a long run needs no more memory and disk than a short one, and a round that
//! broke something can be run again alone. The seed decides the schedule; what the machine makes of it
//! is different every time.

mod audit;
mod beside;
mod check;
mod clock;
mod clones;
mod garbage;
mod inject;
mod kind;
mod load;
mod member;
mod poison;
mod processes;
mod proposals;
mod proxy;
mod record;
mod remains;
mod round;
mod secrets;
mod tally;
mod undo;
mod wire;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use self::check::Violation;
use self::round::{Counts, Outcome};
use self::tally::Tally;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the first round; each further one adds 1.
    pub seed: u64,
    /// Faults in all.
    pub faults: u64,
    /// Faults of one round.
    pub faults_per_round: u64,
    /// Ends the run early.
    pub duration: Option<Duration>,
    /// Worker processes.
    pub workers: usize,
    /// Whether the fence loses its lock on the way to the server and workers are frozen within it, to
    /// show that the suite sees what then goes wrong.
    pub sabotage: bool,
    /// Where logs and history of a round are kept that broke something.
    pub keep: Option<PathBuf>,
}

impl Plan {
    /// That many faults in one round.
    #[must_use]
    pub fn new(seed: u64, faults: u64) -> Self {
        Self {
            seed,
            faults,
            faults_per_round: faults,
            duration: None,
            workers: 4,
            sabotage: false,
            keep: None,
        }
    }
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Summary {
    tally: Tally,
    history: Counts,
    rounds: u64,
    took: Duration,
    /// What was broken, with the seed of its round.
    pub violations: Vec<(u64, Violation)>,
}

impl Summary {
    /// How many faults there were.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.tally.total()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tally)?;
        for (seed, violation) in &self.violations {
            writeln!(f, "VIOLATION with seed {seed}: {violation}")?;
        }
        let Counts {
            jobs,
            changes,
            claims,
            takeovers,
            effects,
            snapshots,
            side_by_side,
            proposals,
            cut_off,
            clones,
        } = self.history;
        writeln!(
            f,
            "{jobs} jobs, {claims} claims, {takeovers} of them takeovers, {effects} effects, \
             {snapshots} snapshots of changes, {side_by_side} claims of fetches and backfills beside each \
             other, {cut_off} handlers cut off, {clones} clones looked at, {proposals} changes of remotes \
             compared with git, {changes} changes of rows judged, in {} rounds and {} s",
            self.rounds,
            self.took.as_secs()
        )?;
        write!(
            f,
            "{} faults, {} violations",
            self.tally.total(),
            self.violations.len()
        )
    }
}

/// Runs a plan; `say` is told about each round.
///
/// # Panics
/// When the world cannot be set up.
pub fn run(plan: &Plan, mut say: impl FnMut(&str)) -> Summary {
    let started = Instant::now();
    let until = plan.duration.map(|duration| started + duration);
    let mut summary = Summary::default();
    while summary.faults() < plan.faults && until.is_none_or(|until| Instant::now() < until) {
        let seed = plan.seed.wrapping_add(summary.rounds);
        let left = plan.faults - summary.faults();
        say(&format!("seed {seed}: round {}", summary.rounds + 1));
        let faults = left.min(plan.faults_per_round);
        let outcome = catch_unwind(AssertUnwindSafe(|| round::run(plan, seed, faults, until)));
        // What is left of a round that broke is gone with its world; the others go on.
        let outcome = outcome.unwrap_or_else(|_| Outcome::of_a_broken_round());
        summary.rounds += 1;
        summary.tally.add(&outcome.tally);
        summary.history.add(&outcome.history);
        let broken = outcome.violations.into_iter();
        for violation in broken {
            say(&format!("VIOLATION with seed {seed}: {violation}"));
            summary.violations.push((seed, violation));
        }
        summary.took = started.elapsed();
        say(&format!(
            "{} faults, {} violations after {} s",
            summary.faults(),
            summary.violations.len(),
            summary.took.as_secs()
        ));
    }
    summary
}
