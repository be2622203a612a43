//! The faults there are, and how often each comes.

use crate::dice::Dice;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// SIGKILL to a worker.
    Kill,
    /// A trap for a worker at a chosen statement.
    Trap,
    /// SIGKILL to a worker that is cloning.
    KillWhileCloning,
    /// SIGSTOP for less than the staleness.
    FreezeShortly,
    /// SIGSTOP beyond the staleness.
    FreezeLong,
    /// SIGTERM.
    Drain,
    /// A worker's wall clock is an hour off.
    WrongClock,
    /// A worker gets no more memory.
    OutOfMemory,
    /// A worker gets no more descriptors.
    OutOfDescriptors,
    /// A connection is reset.
    Reset,
    /// A connection is reset after some more bytes, likely in mid-message.
    CutAfter,
    /// Everything of a worker takes up to 500 ms.
    Latency,
    /// Nothing passes for less than the staleness.
    Silence,
    /// Nothing passes beyond the staleness.
    CutOff,
    /// New connections are closed.
    RefuseConnections,
    /// The server ends a session.
    Terminate,
    /// The server is restarted, orderly.
    RestartFast,
    /// The server is restarted as after a crash.
    RestartImmediate,
    /// A session holds an old snapshot.
    OldSnapshot,
    /// A migration waits behind a reader, and everybody behind the migration.
    MigrationBehindReader,
    /// Every handler waits in its transaction, with a connection of the pool.
    PoolExhausted,
    /// Many jobs at once.
    Burst,
    /// Something of a clone is gone or rotten.
    DamageClone,
    /// A worker's disk is full.
    DiskFull,
    /// The remote misbehaves.
    Remote,
    /// Garbage is sent to the service.
    Garbage,
    /// A job kills every worker that takes it.
    Poison,
}

/// Weights: cheap faults are most, costly ones come now and then.
const WEIGHTS: [(Kind, usize); 27] = [
    (Kind::Kill, 40),
    (Kind::Trap, 90),
    (Kind::KillWhileCloning, 15),
    (Kind::FreezeShortly, 40),
    (Kind::FreezeLong, 12),
    (Kind::Drain, 14),
    (Kind::WrongClock, 12),
    (Kind::OutOfMemory, 5),
    (Kind::OutOfDescriptors, 5),
    (Kind::Reset, 150),
    (Kind::CutAfter, 120),
    (Kind::Latency, 50),
    (Kind::Silence, 50),
    (Kind::CutOff, 14),
    (Kind::RefuseConnections, 25),
    (Kind::Terminate, 150),
    (Kind::RestartFast, 5),
    (Kind::RestartImmediate, 5),
    (Kind::OldSnapshot, 10),
    (Kind::MigrationBehindReader, 8),
    (Kind::PoolExhausted, 8),
    (Kind::Burst, 2),
    (Kind::DamageClone, 110),
    (Kind::DiskFull, 6),
    (Kind::Remote, 60),
    (Kind::Garbage, 60),
    (Kind::Poison, 3),
];

impl Kind {
    /// The next fault of a schedule.
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let sum = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut rolled = dice.roll(sum);
        for (kind, weight) in WEIGHTS {
            if rolled < weight {
                return kind;
            }
            rolled -= weight;
        }
        Self::Reset
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_schedule_of_some_thousand_faults_holds_every_kind() {
        let mut dice = Dice::with_seed(1);
        let drawn: BTreeSet<Kind> = (0..5_000).map(|_| Kind::draw(&mut dice)).collect();
        assert_eq!(drawn.len(), WEIGHTS.len());
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let schedule = |seed| {
            let mut dice = Dice::with_seed(seed);
            (0..100).map(|_| Kind::draw(&mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
    }
}
