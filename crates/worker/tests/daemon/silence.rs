//! Answers of the database that never come, although the connection stays open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use leasectl_core::job::PublicState;
use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::handlers::{Gate, WORK};
use crate::metrics::{RECORDER, counted, kind};
use crate::world::{World, until};

/// A line of the statement that claims, as it is sent to be prepared.
const CLAIM: &[u8] = b"-- Claims the most urgent ready jobs";

/// Longer than an answer takes on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Passes connections on to a server. When told to, those that are open fall silent: like a proxy
/// whose upstream died, it then takes bytes and answers nothing.
struct Proxy {
    port: u16,
    silent: watch::Sender<u32>,
    /// Carry the next claim out, and keep its answer.
    keep_answer: Arc<AtomicBool>,
    kept_answer: Arc<AtomicBool>,
}

impl Proxy {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self {
            port: listener.local_addr().expect("bound").port(),
            silent: watch::Sender::new(0),
            keep_answer: Arc::default(),
            kept_answer: Arc::default(),
        };
        let connection = (
            proxy.silent.clone(),
            Arc::clone(&proxy.keep_answer),
            Arc::clone(&proxy.kept_answer),
        );
        tokio::spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                let (silent, keep, kept) = connection.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", port));
                    let server = server.await.expect("the server listens");
                    pass_on(inner, server, silent.subscribe(), &keep, &kept).await;
                });
            }
        });
        proxy
    }

    fn silence_what_is_open(&self) {
        self.silent.send_modify(|times| *times += 1);
    }
}

/// Until one side closes. A silent connection goes on taking bytes.
async fn pass_on(
    mut inner: TcpStream,
    mut server: TcpStream,
    mut silent: watch::Receiver<u32>,
    keep: &AtomicBool,
    kept: &AtomicBool,
) {
    let (mut asked, mut answered) = ([0; 16_384], [0; 16_384]);
    let mut prepares_claim = false;
    let mut is_muted = false;
    loop {
        tokio::select! {
            read = inner.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &asked[..length];
                // What follows the preparation is the claim itself.
                if prepares_claim && keep.swap(false, Ordering::SeqCst) {
                    is_muted = true;
                    kept.store(true, Ordering::SeqCst);
                }
                prepares_claim |= bytes.windows(CLAIM.len()).any(|window| window == CLAIM);
                if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if !is_muted && inner.write_all(&answered[..length]).await.is_err() {
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

/// A server of its own, and the same database directly and through a proxy.
async fn with_proxy() -> (ScratchServer, Proxy, World, World) {
    let on_tcp = tokio::task::spawn_blocking(|| {
        ScratchServer::start(ScratchSettings::new().on_tcp()).expect("a scratch server")
    });
    let postgres = on_tcp.await.expect("no panic");
    let proxy = Proxy::before(postgres.port()).await;
    let url = postgres.tcp_url("postgres").expect("a TCP URL");
    let direct = World::at(&url).await;
    let through = url.replace(&postgres.port().to_string(), &proxy.port.to_string());
    let through = World::at(&through).await;
    (postgres, proxy, direct, through)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fall_silent_are_given_up_and_work_goes_on() {
    let (_postgres, proxy, direct, through_proxy) = with_proxy().await;
    let gate = Gate::closed();
    let running = direct.one_job().await;
    let worker = through_proxy
        .worker([gate.handler(WORK)])
        .with(|settings| settings.answer_timeout = ANSWER_TIMEOUT)
        .lease_ms(200, 20_000, 60_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    proxy.silence_what_is_open();
    gate.open();
    // Its settlement, its heartbeats and the next claim all find connections that speak.
    let done = direct.until_state(running, PublicState::Completed).await;
    assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    let next = direct.job(direct.repository(7).await, &WORK, 1).await;
    direct.until_state(next, PublicState::Completed).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_took_whose_answer_was_lost_is_handed_back_without_spending_an_attempt() {
    let (_postgres, proxy, direct, through_proxy) = with_proxy().await;
    let gate = Gate::closed();
    let running = direct.one_job().await;
    // Nothing is stale before the test is over.
    let worker = through_proxy
        .worker([gate.handler(WORK)])
        .with(|settings| {
            settings.answer_timeout = ANSWER_TIMEOUT;
            // Silence on its session is another matter.
            settings.death_grace = None;
        })
        .lease_ms(1_000, 120_000, 600_000)
        .start();
    until("the handler runs", || gate.entered() == 1).await;
    // The next claim goes over a new connection, which prepares it first.
    proxy.keep_answer.store(true, Ordering::SeqCst);
    proxy.silence_what_is_open();
    let missed = direct.job(direct.repository(7).await, &WORK, 1).await;
    until("a claim's answer is kept", || {
        proxy.kept_answer.load(Ordering::SeqCst)
    })
    .await;
    // What is heard of in the meantime is not handed back with it either.
    let third = direct.job(direct.repository(8).await, &WORK, 2).await;
    until("all handlers run", || gate.entered() == 3).await;
    gate.open();
    let second = direct.until_state(missed, PublicState::Completed).await;
    let outcomes: Vec<_> = second
        .attempts
        .iter()
        .map(|a| a.outcome.as_deref())
        .collect();
    assert_eq!(outcomes, [Some("released"), Some("completed")]);
    assert_eq!(second.attempt, 1);
    for known in [running, third] {
        let done = direct.until_state(known, PublicState::Completed).await;
        assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    }
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_took_whose_answer_was_lost_is_handed_back_before_the_worker_ends() {
    LazyLock::force(&RECORDER);
    let (_postgres, proxy, direct, through_proxy) = with_proxy().await;
    let gate = Gate::closed();
    let kind = kind("unheard");
    direct.job(direct.repository(0).await, &kind, 0).await;
    let worker = through_proxy
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
    proxy.keep_answer.store(true, Ordering::SeqCst);
    proxy.silence_what_is_open();
    let missed = direct.job(direct.repository(7).await, &kind, 1).await;
    until("a claim's answer is kept", || {
        proxy.kept_answer.load(Ordering::SeqCst)
    })
    .await;
    gate.open();
    worker.drain().await;
    let missed = direct.view(missed).await;
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
