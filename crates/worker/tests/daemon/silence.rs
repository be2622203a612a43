//! Answers of the database that never come, although the connection stays open.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use leasectl_core::ids::RepoId;
use leasectl_core::job::PublicState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::handlers::{Gate, WORK};
use crate::metrics::{RECORDER, counted, kind};
use crate::reached::Reached;
use crate::world::until;

/// Longer than an answer takes on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// The repository whose claim is carried out and its answer kept.
///
/// A claim is known by what it took: any other answer is passed on, whenever it was asked for.
#[derive(Clone, Default)]
struct KeptClaim(Arc<Mutex<Option<RepoId>>>);

impl KeptClaim {
    fn of(&self, repository: RepoId) {
        *self.0.lock().expect("no panic") = Some(repository);
    }

    /// Whether this answer is the one, the first time.
    fn is(&self, answer: &[u8]) -> bool {
        let mut repository = self.0.lock().expect("no panic");
        let is_named = |id: RepoId| {
            answer
                .windows(16)
                .any(|bytes| bytes == id.as_uuid().as_bytes())
        };
        repository.take_if(|id| is_named(*id)).is_some()
    }

    /// Waits until the answer was kept.
    async fn until_kept(&self) {
        until("a claim's answer is kept", || {
            self.0.lock().expect("no panic").is_none()
        })
        .await;
    }
}

/// What happens on the way between a worker and its server.
#[derive(Clone, Default)]
struct Way {
    /// When told to, connections that are open fall silent: like a proxy whose upstream died, it then takes bytes and
    /// answers nothing.
    silent: watch::Sender<u32>,
    kept_claim: KeptClaim,
}

impl Way {
    fn silence_what_is_open(&self) {
        self.silent.send_modify(|times| *times += 1);
    }
}

/// Until one side closes. A silent connection goes on taking bytes.
async fn pass_on(
    mut inner: TcpStream,
    port: u16,
    mut silent: watch::Receiver<u32>,
    kept_claim: KeptClaim,
) {
    let server = TcpStream::connect(("127.0.0.1", port));
    let mut server = server.await.expect("the server listens");
    let (mut asked, mut answered) = ([0; 16_384], [0; 16_384]);
    let mut is_muted = false;
    loop {
        tokio::select! {
            read = inner.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                if server.write_all(&asked[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &answered[..length];
                is_muted |= kept_claim.is(bytes);
                if !is_muted && inner.write_all(bytes).await.is_err() {
                    return;
                }
            }
            _ = silent.changed() => {
                tokio::io::copy(&mut inner, &mut tokio::io::sink()).await.ok();
                return;
            }
        }
    }
}

async fn with_way() -> (Reached, Way) {
    let way = Way::default();
    let Way { silent, kept_claim } = way.clone();
    let reached = Reached::through(move |inner, port| {
        pass_on(inner, port, silent.subscribe(), kept_claim.clone())
    });
    (reached.await, way)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fall_silent_are_given_up_and_work_goes_on() {
    let (Reached { world, far, .. }, way) = &with_way().await;
    let gate = Gate::closed();
    let running = world.one_job().await;
    let worker = far
        .worker([gate.handler(WORK)])
        .with(|settings| settings.answer_timeout = ANSWER_TIMEOUT)
        .lease_ms(200, 20_000, 60_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    way.silence_what_is_open();
    gate.open();
    // Its settlement, its heartbeats and the next claim all find connections that speak.
    let done = world.until_state(running, PublicState::Completed).await;
    assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    let next = world.job(world.repository(7).await, &WORK, 1).await;
    world.until_state(next, PublicState::Completed).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_took_whose_answer_was_lost_is_handed_back_without_spending_an_attempt() {
    let (Reached { world, far, .. }, way) = &with_way().await;
    let gate = Gate::closed();
    let running = world.one_job().await;
    // Nothing is stale before the test is over.
    let worker = far
        .worker([gate.handler(WORK)])
        .with(|settings| {
            settings.answer_timeout = ANSWER_TIMEOUT;
            // Silence on its session is another matter.
            settings.death_grace = None;
        })
        .lease_ms(1_000, 120_000, 600_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    let repository = world.repository(7).await;
    way.kept_claim.of(repository);
    way.silence_what_is_open();
    let missed = world.job(repository, &WORK, 1).await;
    way.kept_claim.until_kept().await;
    // What is heard of in the meantime is not handed back with it either.
    let third = world.job(world.repository(8).await, &WORK, 2).await;
    until("all handlers run", || gate.entered() == 3).await;
    gate.open();
    let second = world.until_state(missed, PublicState::Completed).await;
    let outcomes: Vec<_> = second
        .attempts
        .iter()
        .map(|a| a.outcome.as_deref())
        .collect();
    assert_eq!(outcomes, [Some("released"), Some("completed")]);
    assert_eq!(second.attempt, 1);
    for known in [running, third] {
        let done = world.until_state(known, PublicState::Completed).await;
        assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    }
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_took_whose_answer_was_lost_is_handed_back_before_the_worker_ends() {
    LazyLock::force(&RECORDER);
    let (Reached { world, far, .. }, way) = &with_way().await;
    let gate = Gate::closed();
    let kind = kind("unheard");
    world.job(world.repository(0).await, &kind, 0).await;
    let worker = far
        .worker([gate.handler(kind)])
        .with(|settings| {
            // The worker is told to end before it gives the claim up.
            settings.answer_timeout = 2 * ANSWER_TIMEOUT;
            // It has time to hand back what the claim took: a busy machine needed more than ten seconds.
            settings.drain_timeout = Duration::from_secs(600);
            settings.death_grace = None;
        })
        .lease_ms(1_000, 120_000, 600_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    let repository = world.repository(7).await;
    way.kept_claim.of(repository);
    way.silence_what_is_open();
    let missed = world.job(repository, &kind, 1).await;
    way.kept_claim.until_kept().await;
    gate.open();
    worker.drain().await;
    let missed = world.view(missed).await;
    let outcomes: Vec<_> = missed
        .attempts
        .iter()
        .map(|a| a.outcome.as_deref())
        .collect();
    assert_eq!(outcomes, [Some("released")]);
    assert_eq!((missed.state, missed.attempt), (PublicState::Queued, 0));
    let released = "leasectl_jobs_settled_total{kind=\"unheard\",outcome=\"released\"}";
    assert_eq!(counted(released), Some(1));
}
