//! Holds the lock: opens the session, proves that it lives, and opens it anew when it was lost.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::database::DatabaseUrl;
use leasectl_core::liveness::{
    DeathGrace, LivenessError, LivenessKey, LivenessSession, Obstacle, RefusedSetting, ServerStart,
};
use leasectl_core::time::BootInstant;
use tokio::time::{sleep, timeout};

use super::detector::Detector;
use super::hindrance::{Hindrance, Pauses};
use super::phase::{Loss, Phase, patience_ends, was_stopped};
use crate::daemon::outage::chain;
use crate::daemon::shared::Shared;

/// How long each step to a held lock may take: to open the session, to look for a pooler, and to take the lock.
const STEP: Duration = Duration::from_secs(3);

/// How often the key of a lost lock is tried for before another one is drawn.
const SAME_KEY_TRIES: u32 = 3;

/// Time between two of these tries.
const SAME_KEY_PAUSE: Duration = Duration::from_millis(5);

/// How long the reason for a broken connection is waited for.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// How long an idle worker waits for the answer to a ping: with the time between two of them less than the server
/// takes to give up a silent connection, so that it knows of its loss before others do.
const IDLE_PATIENCE: Duration = Duration::from_millis(1_900);

/// How long an answer is waited for that came while this process was stopped.
const LATE_ANSWER: Duration = Duration::from_millis(500);

/// Holds one worker's lock.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    url: DatabaseUrl,
    grace: DeathGrace,
    key: Option<LivenessKey>,
    /// The server on which the lock was held last.
    server: Option<ServerStart>,
    /// No pooler was found at the URL.
    is_direct: bool,
    pauses: Pauses,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, url: DatabaseUrl, grace: DeathGrace) -> Self {
        Self {
            shared,
            url,
            grace,
            key: None,
            server: None,
            is_direct: false,
            pauses: Pauses::new(),
        }
    }

    /// Holds the lock, and holds it again whenever it was lost, until the future is dropped.
    pub(super) async fn keep(mut self) {
        loop {
            match self.hold().await {
                Ok((session, key)) => {
                    self.pauses.reset();
                    let loss = self.live(session, key).await;
                    tracing::info!(
                        announced = loss.is_announced,
                        "the liveness session was lost; holding the lock again"
                    );
                    self.shared.liveness.lost(&loss);
                }
                Err(hindrance) => {
                    let pause = self.hindered(&hindrance);
                    sleep(pause).await;
                }
            }
        }
    }

    /// Opens a session and takes the lock.
    async fn hold(&mut self) -> Result<(LivenessSession, LivenessKey), Hindrance> {
        let session = step(LivenessSession::open(&self.url)).await?;
        let server = session.server();
        self.shared
            .liveness
            .answered(self.server.is_none_or(|known| known == server));
        if !self.is_direct {
            step(session.probe(&self.url)).await?;
            self.is_direct = true;
        }
        let key = step(self.take(&session)).await?;
        self.key = Some(key);
        self.server = Some(server);
        self.shared.liveness.held(key);
        Ok((session, key))
    }

    /// Takes the lock of the key that it had, or of another one.
    async fn take(&self, session: &LivenessSession) -> Result<LivenessKey, LivenessError> {
        if let Some(key) = self.key {
            for _ in 0..SAME_KEY_TRIES {
                if session.hold(key).await? {
                    return Ok(key);
                }
                // Somebody may just be looking whether it is held.
                sleep(SAME_KEY_PAUSE).await;
            }
        }
        // The server has not missed the former session yet. Its lock does no harm: the row will name another key.
        loop {
            let key = session.next_key().await?;
            if session.hold(key).await? {
                return Ok(key);
            }
        }
    }

    /// Keeps the session, whose lock was answered for a moment ago, until it is lost.
    async fn live(&self, mut session: LivenessSession, key: LivenessKey) -> Loss {
        // When the last thing was sent that was answered.
        let mut heard = BootInstant::now();
        match self.in_time(heard, session.configure()).await {
            Some(Ok(refused)) => log_refused(&refused),
            Some(Err(error)) => tracing::debug!(error = chain(&error), "cannot configure"),
            None => {}
        }
        let mut detector = Detector::new(Arc::clone(&self.shared), key);
        loop {
            let sent = BootInstant::now();
            let beaten = self
                .in_time(heard, detector.beat(&mut session))
                .await
                .transpose();
            match beaten {
                Ok(Some(())) => heard = sent,
                // The server answered, if only to refuse.
                Err(error) if error.obstacle() == Obstacle::Refused => {
                    heard = sent;
                    detector.refused(&error);
                }
                Err(_) => {
                    let noticed = BootInstant::now();
                    let ended = timeout(LAST_WORDS, session.ended()).await;
                    return Loss {
                        noticed,
                        is_announced: ended.unwrap_or(session.end()).is_announced,
                        silent_since: None,
                    };
                }
                Ok(None) => {
                    return Loss {
                        noticed: BootInstant::now(),
                        is_announced: false,
                        silent_since: Some(heard),
                    };
                }
            }
            tokio::select! {
                () = self.rest(&detector, &mut heard) => {}
                end = session.ended() => return Loss {
                    noticed: BootInstant::now(),
                    is_announced: end.is_announced,
                    silent_since: None,
                },
            }
        }
    }

    /// Waits until the next beat is due.
    async fn rest(&self, detector: &Detector, heard: &mut BootInstant) {
        let registry = &self.shared.registry;
        if !registry.is_busy() {
            tokio::select! {
                () = sleep(detector.next_beat(false).since(BootInstant::now())) => {}
                () = registry.until(true) => {}
            }
            // Nothing ran that silence could have stopped: it counts from now.
            *heard = BootInstant::now();
        }
        let next_beat = detector.next_beat(registry.is_busy());
        sleep(next_beat.since(BootInstant::now())).await;
        if was_stopped(Duration::ZERO, next_beat.elapsed()) {
            // It has not listened: silence counts from now.
            *heard = BootInstant::now();
        }
    }

    /// The answer, if it comes before the session counts as silent.
    async fn in_time<T>(&self, heard: BootInstant, asked: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(asked);
        let started = BootInstant::now();
        let left = if self.shared.registry.is_busy() {
            patience_ends(heard, self.grace).since(started)
        } else {
            IDLE_PATIENCE
        };
        if let Ok(answer) = timeout(left, &mut asked).await {
            return Some(answer);
        }
        // A process that was stopped has not listened: the answer may be here.
        if was_stopped(left, started.elapsed()) {
            return timeout(LATE_ANSWER, &mut asked).await.ok();
        }
        None
    }

    /// Takes note of why the lock is not held; answers how long to wait before the next try.
    fn hindered(&mut self, hindrance: &Hindrance) -> Duration {
        let obstacle = hindrance.obstacle();
        let is_new = self.shared.liveness.hindered(obstacle, hindrance.reason());
        let phase = self.shared.liveness.phase();
        log(hindrance, phase, is_new);
        self.pauses.after(phase, obstacle, rand::random())
    }
}

async fn step<T>(asked: impl Future<Output = Result<T, LivenessError>>) -> Result<T, Hindrance> {
    let answered = timeout(STEP, asked).await;
    Ok(answered.map_err(|_elapsed| Hindrance::TimedOut)??)
}

fn log(hindrance: &Hindrance, phase: Phase, is_new: bool) {
    let (reason, cause) = (hindrance.reason(), hindrance.cause());
    if is_new && phase == Phase::Heartbeat {
        tracing::warn!(
            reason,
            cause,
            "the death signal is not available; heartbeats alone decide (see worker doctor)"
        );
    } else {
        tracing::debug!(reason, cause, ?phase, "the liveness lock is not held");
    }
}

fn log_refused(refused: &[RefusedSetting]) {
    for setting in refused {
        tracing::debug!(
            setting = setting.name,
            found = setting.found,
            "a setting of the liveness session did not take"
        );
    }
}
