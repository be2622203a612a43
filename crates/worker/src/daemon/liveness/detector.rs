//! Proves that the session lives, and looks for workers whose lock is absent once it is this session's
//! turn.

use std::sync::Arc;

use leasectl_core::liveness::{
    Absent, Judged, LivenessError, LivenessKey, LivenessSession, Sighting, Sightings,
};
use leasectl_core::time::BootInstant;

use super::beats::{Around, Beats, Ping};
use crate::daemon::outage::chain;
use crate::daemon::shared::Shared;

/// Looks, and pings, over one session.
pub(super) struct Detector {
    shared: Arc<Shared>,
    key: LivenessKey,
    beats: Beats,
    sightings: Sightings,
    is_refused: bool,
}

impl Detector {
    /// For a session that holds its worker's lock.
    pub(super) fn new(shared: Arc<Shared>, key: LivenessKey) -> Self {
        Self {
            shared,
            key,
            beats: Beats::new(BootInstant::now()),
            sightings: Sightings::default(),
            is_refused: false,
        }
    }

    /// When to beat next, while this worker holds a lease or none.
    pub(super) fn next_beat(&self, busy: bool) -> BootInstant {
        self.beats.next(busy)
    }

    /// One beat: pings, or a look for the dead.
    pub(super) async fn beat(
        &mut self,
        session: &mut LivenessSession,
    ) -> Result<(), LivenessError> {
        self.beats.begin(BootInstant::now());
        if self.beats.detects() || self.ping(session).await? {
            for absent in self.look(session).await? {
                self.judge(session, &absent).await?;
            }
            self.beats.look_next_at(self.sightings.next_look());
        }
        self.is_refused = false;
        Ok(())
    }

    /// Shows that the session lives, and sees from time to time who else does; answers whether this worker is the
    /// detector from now on.
    async fn ping(&mut self, session: &mut LivenessSession) -> Result<bool, LivenessError> {
        let busy = self.shared.registry.is_busy();
        let around = self.beats.around(busy);
        match around {
            // Who does not detect only takes note.
            Some(Around::Locks) => drop(self.look(session).await?),
            Some(Around::Count) => {
                let older = session.older(self.key).await?;
                self.saw_older(older);
            }
            None => {}
        }
        if around.is_some() {
            self.beats.looked_around(busy);
        }
        match self.beats.ping(busy, around.is_some()) {
            Some(Ping::Try) if session.ping().await?.detects => {
                tracing::info!("this worker detects the deaths of others from now on");
                self.beats.detect();
            }
            Some(Ping::Answer) => session.answers().await?,
            Some(Ping::Try) | None => {}
        }
        Ok(self.beats.detects())
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

    fn saw_older(&mut self, older: usize) {
        self.beats.saw_older(older);
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
