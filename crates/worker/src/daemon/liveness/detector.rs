//! Proves that the session lives, and looks for workers whose lock is absent once it is this session's
//! turn.
//!
//! Every ping also tries for the detector's lock, which costs nothing more. The five oldest workers ping
//! more often, so that few workers replace a dead detector as fast as many do.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::liveness::{
    Absent, Judged, LivenessError, LivenessKey, LivenessSession, SIGHTING_INTERVAL, Sighting,
    Sightings,
};
use leasectl_core::time::BootInstant;

use crate::daemon::outage::chain;
use crate::daemon::shared::Shared;

/// Time between two pings of most workers: a third of the silence that counts as cut off.
const PING: Duration = Duration::from_secs(1);

/// The same for those that replace a dead detector.
const SENIOR_PING: Duration = Duration::from_millis(250);

/// So many of the oldest workers are seniors: more than die at once when a host does that runs some of them.
const SENIORS: usize = 5;

/// How often most workers look who is there, and so how many are older.
const LOOK_AROUND: Duration = Duration::from_secs(10);

/// The same for those that replace a dead detector: whom they never saw hold its lock gets a longer
/// grace from them.
const SENIOR_LOOK_AROUND: Duration = Duration::from_secs(1);

/// The beats of one session.
pub(super) struct Detector {
    shared: Arc<Shared>,
    key: LivenessKey,
    /// Whether this session holds the detector's lock.
    detects: bool,
    is_senior: bool,
    sightings: Sightings,
    next_beat: BootInstant,
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
            is_senior: true,
            sightings: Sightings::default(),
            next_beat: now,
            next_look_around: now,
            is_refused: false,
        }
    }

    /// When to beat next.
    pub(super) fn next_beat(&self) -> BootInstant {
        self.next_beat
    }

    /// One round trip: a ping, or a look for the dead.
    pub(super) async fn beat(
        &mut self,
        session: &mut LivenessSession,
    ) -> Result<(), LivenessError> {
        let now = BootInstant::now();
        self.next_beat = now
            + match (self.detects, self.is_senior) {
                (true, _) => SIGHTING_INTERVAL,
                (false, true) => SENIOR_PING,
                (false, false) => PING,
            };
        if !self.detects {
            // The first thing a session does is to see who is there: only those it misses soon.
            if now >= self.next_look_around {
                let seen = self.look(session).await?;
                drop(seen);
                self.next_look_around = now
                    + if self.is_senior {
                        SENIOR_LOOK_AROUND
                    } else {
                        LOOK_AROUND
                    };
            }
            self.detects = session.ping().await?.detects;
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
        self.next_beat = self.sightings.next_look();
        Ok(())
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
        self.is_senior = sighting.older < SENIORS;
        Ok(self.sightings.saw(sent, BootInstant::now(), &sighting))
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
