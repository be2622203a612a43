//! The database goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use leasectl_core::job::PublicState;
use leasectl_embedded::Mode;
use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};
use tokio::net::{TcpListener, TcpStream};

use crate::handlers::{Gate, WORK, handler, no_op, stopped};
use crate::world::{World, until};

/// Blocks on the server without blocking the runtime.
async fn server(server: &Arc<ScratchServer>, action: impl FnOnce(&ScratchServer) + Send + 'static) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || action(&server))
        .await
        .expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_run_while_the_database_restarts_are_settled_when_it_is_back() {
    let (world, postgres) = World::with_server().await;
    let gate = Gate::closed();
    let jobs = world.jobs(10).await;
    let worker = world
        .worker([gate.handler(WORK)])
        .lease_ms(200, 60_000, 600_000)
        .start();
    until("the handlers run", || gate.entered() == 10).await;
    server(&postgres, |postgres| {
        postgres.stop(Mode::Immediate).expect("stopped")
    })
    .await;
    // The handlers finish while nobody can write it down.
    gate.open();
    server(&postgres, |postgres| {
        postgres.start_again().expect("started")
    })
    .await;
    for id in &jobs {
        let done = world.until_state(*id, PublicState::Completed).await;
        assert_eq!((done.attempt, done.attempts.len()), (1, 1));
    }
    let next = world.job(world.repository(0).await, &WORK, 1).await;
    world.until_state(next, PublicState::Completed).await;
    assert!(worker.is_alive());
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_cut_off_stops_its_handlers_when_its_trust_ends() {
    let (world, postgres) = World::with_server().await;
    let (told, mut hears) = tokio::sync::mpsc::channel(4);
    let listening = handler(WORK, move |context| {
        let told = told.clone();
        async move {
            told.send(context.job.attempt)
                .await
                .expect("the test listens");
            if context.job.attempt > 1 {
                return Ok(serde_json::json!({}));
            }
            context.cancel.cancelled().await;
            told.send(0).await.expect("the test listens");
            Err(stopped())
        }
    });
    let job = world.one_job().await;
    let worker = world
        .worker([listening])
        .lease_ms(100, 1_000, 60_000)
        .start();
    assert_eq!(hears.recv().await, Some(1));
    server(&postgres, |postgres| {
        postgres.stop(Mode::Immediate).expect("stopped")
    })
    .await;
    // Told to stop although no database said so.
    assert_eq!(hears.recv().await, Some(0));
    server(&postgres, |postgres| {
        postgres.start_again().expect("started")
    })
    .await;
    // The lease goes stale and is taken over, here by the same worker under a new token.
    assert_eq!(hears.recv().await, Some(2));
    let done = world.until_state(job, PublicState::Completed).await;
    assert_eq!(done.attempts[0].outcome.as_deref(), Some("lost"));
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_a_database_that_comes_later() {
    let (world, postgres) = World::with_server().await;
    let job = world.one_job().await;
    server(&postgres, |postgres| {
        postgres.stop(Mode::Fast).expect("stopped")
    })
    .await;
    let worker = world.worker([no_op()]).start();
    tokio::time::timeout(
        Duration::from_millis(300),
        until("it ends", || !worker.is_alive()),
    )
    .await
    .expect_err("it waits");
    server(&postgres, |postgres| {
        postgres.start_again().expect("started")
    })
    .await;
    world.until_state(job, PublicState::Completed).await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_waits_for_the_database_can_be_ended() {
    let (world, postgres) = World::with_server().await;
    server(&postgres, |postgres| {
        postgres.stop(Mode::Fast).expect("stopped")
    })
    .await;
    let worker = world.worker([no_op()]).start();
    worker.drain().await;
}

/// Passes connections on to a server, until those that are open are told to fall silent: like a
/// proxy whose upstream died, it then takes bytes and answers nothing.
struct Proxy {
    port: u16,
    silent: tokio::sync::watch::Sender<u32>,
}

impl Proxy {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self {
            port: listener.local_addr().expect("bound").port(),
            silent: tokio::sync::watch::Sender::new(0),
        };
        let silent = proxy.silent.clone();
        tokio::spawn(async move {
            while let Ok((mut inner, _)) = listener.accept().await {
                let mut heard = silent.subscribe();
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", port));
                    let mut server = server.await.expect("the server listens");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inner, &mut server) => {}
                        _ = heard.changed() => {
                            tokio::io::copy(&mut inner, &mut tokio::io::sink()).await.ok();
                        }
                    }
                });
            }
        });
        proxy
    }

    fn silence_what_is_open(&self) {
        self.silent.send_modify(|times| *times += 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fall_silent_are_given_up_and_work_goes_on() {
    let on_tcp = tokio::task::spawn_blocking(|| {
        ScratchServer::start(ScratchSettings::new().on_tcp()).expect("a scratch server")
    });
    let postgres = on_tcp.await.expect("no panic");
    let proxy = Proxy::before(postgres.port()).await;
    let url = postgres.tcp_url("postgres").expect("a TCP URL");
    let direct = World::at(&url).await;
    let through = url.replace(&postgres.port().to_string(), &proxy.port.to_string());
    let through_proxy = World::at(&through).await;
    let gate = Gate::closed();
    let running = direct.one_job().await;
    let worker = through_proxy
        .worker([gate.handler(WORK)])
        .with(|settings| settings.answer_timeout = Duration::from_millis(500))
        .lease_ms(100, 3_000, 60_000)
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
