//! Proves that the session lives, and looks for workers whose lock is absent once it is this session's
//! turn.
//!
//! The seniors, who are the oldest workers, ping more often than the others, and each of their pings tries for the
//! detector's lock, so that few workers replace a dead detector as fast as many do. The more workers are
//! older, the fewer of a worker's pings try.
//! A worker that holds no lease has nothing to stop, and pings less often.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::liveness::{
    Absent, Judged, LivenessError, LivenessKey, LivenessSession, SIGHTING_INTERVAL, Sighting,
    Sightings,
};
use leasectl_core::time::BootInstant;

use crate::daemon::outage::chain;
use crate::daemon::seniority::{SENIORS, turns_per_own};
use crate::daemon::shared::Shared;

/// How often a worker that does not detect does what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pace {
    /// Time between two pings: a third of the silence that counts as cut off, or less, while anything runs.
    ping: Duration,
    /// One of so many pings tries for the detector's lock.
    pings_per_try: u32,
    /// Time between two looks at how many are older.
    look_around: Duration,
    /// Whether these looks see who is there, too. Whom a detector never saw hold its lock gets a longer grace
    /// from it, so those that may follow it soon do.
    sees_locks: bool,
}

/// How much rarer the pings of a worker are that holds no lease.
const IDLE: u32 = 3;

/// The pace of a worker that so many others are older than, and that holds a lease or none.
fn pace(older: usize, busy: bool) -> Pace {
    if older < SENIORS {
        return Pace {
            ping: Duration::from_millis(250),
            pings_per_try: 1,
            look_around: Duration::from_secs(2),
            sees_locks: true,
        };
    }
    let rarer = if busy { 1 } else { IDLE };
    let seconds_per_try = turns_per_own(older);
    Pace {
        ping: rarer * Duration::from_secs(1),
        pings_per_try: (seconds_per_try / rarer).max(1),
        look_around: Duration::from_secs(10),
        sees_locks: older < 2 * SENIORS,
    }
}

/// Whose turn it is to try for the detector's lock: one ping in so many.
#[derive(Debug, Default)]
struct Turns {
    /// Pings since the last one that tried.
    pings: u32,
}

impl Turns {
    /// Whether the next ping tries.
    fn tries(&mut self, pings_per_try: u32) -> bool {
        self.pings += 1;
        let tries = self.pings >= pings_per_try;
        if tries {
            self.pings = 0;
        }
        tries
    }
}

/// The beats of one session.
pub(super) struct Detector {
    shared: Arc<Shared>,
    key: LivenessKey,
    /// Whether this session holds the detector's lock.
    detects: bool,
    /// How many of the watched workers are older.
    older: usize,
    turns: Turns,
    sightings: Sightings,
    last_beat: BootInstant,
    /// When the detector looks for the dead again.
    next_look: BootInstant,
    next_look_around: BootInstant,
    is_refused: bool,
}

impl Detector {
    /// For a session that holds its worker's lock.
    pub(super) fn new(shared: Arc<Shared>, key: LivenessKey) -> Self {
        let now = BootInstant::now();
        Self {
            shared,
            key,
            detects: false,
            older: 0,
            turns: Turns::default(),
            sightings: Sightings::default(),
            last_beat: now,
            next_look: now,
            next_look_around: now,
            is_refused: false,
        }
    }

    /// When to beat next, while this worker holds a lease or none.
    pub(super) fn next_beat(&self, busy: bool) -> BootInstant {
        if self.detects {
            self.next_look
        } else {
            self.last_beat + pace(self.older, busy).ping
        }
    }

    /// One round trip: a ping, or a look for the dead.
    pub(super) async fn beat(
        &mut self,
        session: &mut LivenessSession,
    ) -> Result<(), LivenessError> {
        let now = BootInstant::now();
        self.last_beat = now;
        self.next_look = now + SIGHTING_INTERVAL;
        if !self.detects {
            // The first thing a session does is to see who is there: only those it misses soon.
            let looks_around = now >= self.next_look_around;
            if looks_around {
                self.look_around(session).await?;
                self.next_look_around = now + self.pace().look_around;
            }
            let pings_per_try = self.pace().pings_per_try;
            if self.turns.tries(pings_per_try) {
                self.detects = session.ping().await?.detects;
            } else if !looks_around {
                session.answers().await?;
            }
            if !self.detects {
                self.is_refused = false;
                return Ok(());
            }
            tracing::info!("this worker detects the deaths of others from now on");
        }
        let due = self.look(session).await?;
        for absent in due {
            self.judge(session, &absent).await?;
        }
        self.is_refused = false;
        self.next_look = self.sightings.next_look();
        Ok(())
    }

    fn pace(&self) -> Pace {
        pace(self.older, self.shared.registry.is_busy())
    }

    /// The server refused a statement of this session: said once until one is accepted.
    pub(super) fn refused(&mut self, error: &LivenessError) {
        if !self.is_refused {
            self.is_refused = true;
            tracing::warn!(
                error = chain(error),
                "the database refused a statement of the liveness session; trying again"
            );
        }
    }

    async fn look(&mut self, session: &mut LivenessSession) -> Result<Vec<Absent>, LivenessError> {
        let sent = BootInstant::now();
        let sighting: Sighting = session.sight(self.key).await?;
        self.saw_older(sighting.older);
        Ok(self.sightings.saw(sent, BootInstant::now(), &sighting))
    }

    /// Who does not detect only takes note.
    async fn look_around(&mut self, session: &mut LivenessSession) -> Result<(), LivenessError> {
        if self.pace().sees_locks {
            let seen = self.look(session).await?;
            drop(seen);
        } else {
            let older = session.older(self.key).await?;
            self.saw_older(older);
        }
        Ok(())
    }

    fn saw_older(&mut self, older: usize) {
        self.older = older;
        self.shared.liveness.saw_older(older);
    }

    async fn judge(
        &mut self,
        session: &mut LivenessSession,
        absent: &Absent,
    ) -> Result<(), LivenessError> {
        let Some(judged) = session.judge(absent).await? else {
            return Ok(());
        };
        if judged.left == 0 {
            self.sightings.done_with(absent, BootInstant::now());
        }
        log(absent, &judged);
        if !judged.lanes.is_empty() {
            // This worker at once, the others by a wakeup.
            self.shared.hints.give_dead(judged.lanes.iter().copied());
            session.announce_dead(&judged.lanes).await?;
        }
        Ok(())
    }
}

fn log(absent: &Absent, judged: &Judged) {
    if !absent.judged {
        tracing::warn!(
            owner = %absent.owner, leases = judged.expired, fenced = judged.left,
            "a worker died: its liveness lock is gone"
        );
    } else if judged.expired > 0 {
        tracing::info!(
            owner = %absent.owner, leases = judged.expired, fenced = judged.left,
            "expired more leases of a dead worker"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_oldest_try_for_the_detectors_lock_four_times_a_second() {
        for (older, busy) in (0..5).flat_map(|older| [(older, true), (older, false)]) {
            let pace = pace(older, busy);
            assert_eq!(pace.pings_per_try, 1, "{older} older ones");
            assert_eq!(pace.ping, Duration::from_millis(250), "{older} older ones");
        }
    }

    #[test]
    fn one_ping_in_so_many_tries_and_the_count_begins_anew() {
        let mut turns = Turns::default();
        let tries: Vec<_> = (0..7).map(|_| turns.tries(3)).collect();
        assert_eq!(tries, [false, false, true, false, false, true, false]);
        // Somebody older died: the next ones come more often.
        assert!(turns.tries(1));
        assert!(turns.tries(1));
    }

    #[test]
    fn whoever_is_left_tries_within_ten_seconds() {
        for older in [5, 9, 10, 99, usize::MAX] {
            for busy in [true, false] {
                let pace = pace(older, busy);
                let between_tries = pace.ping * pace.pings_per_try;
                assert!(
                    between_tries <= Duration::from_secs(10),
                    "{older} older ones, busy: {busy}"
                );
            }
        }
    }

    #[test]
    fn the_more_workers_are_older_the_fewer_pings_try_and_an_idle_one_pings_less_often() {
        let pace = |older, busy| {
            let pace = pace(older, busy);
            (
                pace.ping.as_millis(),
                pace.pings_per_try,
                pace.look_around.as_secs(),
                pace.sees_locks,
            )
        };
        assert_eq!(pace(4, true), (250, 1, 2, true));
        assert_eq!(pace(5, true), (1_000, 2, 10, true));
        assert_eq!(pace(9, true), (1_000, 2, 10, true));
        assert_eq!(pace(10, true), (1_000, 3, 10, false));
        assert_eq!(pace(29, true), (1_000, 6, 10, false));
        assert_eq!(pace(500, true), (1_000, 10, 10, false));
        assert_eq!(pace(5, false), (3_000, 1, 10, true));
        assert_eq!(pace(29, false), (3_000, 2, 10, false));
        assert_eq!(pace(500, false), (3_000, 3, 10, false));
    }

    #[test]
    fn who_holds_a_lease_pings_within_a_third_of_the_silence() {
        for older in [0, 4, 5, 9, 99, usize::MAX] {
            assert!(pace(older, true).ping <= super::super::phase::SILENCE / 3);
        }
    }

    #[test]
    fn a_hundred_workers_try_less_often_than_one_try_each_in_two_seconds() {
        for busy in [true, false] {
            let tries_per_second = |older| {
                let pace = pace(older, busy);
                1.0 / (pace.ping.as_secs_f64() * f64::from(pace.pings_per_try))
            };
            let all: f64 = (0..100).map(tries_per_second).sum();
            assert!(all < 50.0, "{all} tries per second");
        }
    }
}
