//! Workers whose connections break or fall silent.

use std::time::Duration;

use leasectl_core::job::PublicState;
use leasectl_core::time::BootInstant;
use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::death::slow;
use crate::handlers::{WORK, handler, no_op, stopped};
use crate::world::World;

/// What a proxy does with connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Passes them on.
    Open,
    /// Takes bytes and answers nothing.
    Silent,
    /// Breaks them, and refuses new ones.
    Cut,
}

/// Stands between a worker and its server.
struct Proxy {
    port: u16,
    line: watch::Sender<Line>,
}

impl Proxy {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self {
            port: listener.local_addr().expect("bound").port(),
            line: watch::Sender::new(Line::Open),
        };
        let line = proxy.line.clone();
        tokio::spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                tokio::spawn(pass(inner, port, line.subscribe()));
            }
        });
        proxy
    }
}

async fn pass(mut inner: TcpStream, port: u16, mut line: watch::Receiver<Line>) {
    if *line.borrow() == Line::Open {
        let server = TcpStream::connect(("127.0.0.1", port));
        let mut server = server.await.expect("the server listens");
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut inner, &mut server) => return,
            _ = line.wait_for(|line| *line != Line::Open) => {}
        }
        if *line.borrow() == Line::Silent {
            // The server keeps its half as well: nobody tells it anything.
            let _ = line.wait_for(|line| *line == Line::Cut).await;
        }
    } else if *line.borrow() == Line::Silent {
        let _ = line.wait_for(|line| *line == Line::Cut).await;
    }
}

/// A worker behind a proxy is cut off in that way; answers how long its handler went on.
async fn cut_off(by: Line) -> Duration {
    let on_tcp = tokio::task::spawn_blocking(|| {
        ScratchServer::start(ScratchSettings::new().on_tcp()).expect("a scratch server")
    });
    let server = on_tcp.await.expect("no panic");
    let proxy = Proxy::before(server.port()).await;
    let url = server.tcp_url("postgres").expect("a TCP URL");
    let world = World::at(&url).await;
    world.settle_server().await;
    let through = url.replace(&server.port().to_string(), &proxy.port.to_string());
    let far = World::at(&through).await;
    let (told, mut hears) = mpsc::channel(2);
    let listening = handler(WORK, move |context| {
        let told = told.clone();
        async move {
            told.send(BootInstant::now())
                .await
                .expect("the test listens");
            context.cancel.cancelled().await;
            told.send(BootInstant::now())
                .await
                .expect("the test listens");
            Err(stopped())
        }
    });
    let job = world.one_job().await;
    let worker = slow(far.worker([listening])).start();
    hears.recv().await.expect("the handler runs");
    world.until_liveness(&worker.owner, "session").await;
    let cut = BootInstant::now();
    proxy.line.send_replace(by);
    let went_on = hears.recv().await.expect("the handler stops").since(cut);
    // Now the server notices as well, and others take over.
    proxy.line.send_replace(Line::Cut);
    drop(far);
    let rival = slow(world.worker([no_op()])).start();
    world.until_state(job, PublicState::Completed).await;
    worker.shutdown.request();
    worker.shutdown.request();
    worker.ended().await;
    rival.drain().await;
    went_on
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connections_break_stops_its_handlers_when_its_grace_ends() {
    let went_on = cut_off(Line::Cut).await;
    assert!(went_on >= Duration::from_millis(180), "{went_on:?}");
    // The deadline, ten milliseconds, and the scheduling of a busy test machine.
    assert!(went_on <= Duration::from_millis(350), "{went_on:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connections_fall_silent_stops_its_handlers_within_three_seconds() {
    let went_on = cut_off(Line::Silent).await;
    // Three seconds after something was sent that was answered, a quarter of a second before the cut at most.
    assert!(went_on >= Duration::from_millis(2_600), "{went_on:?}");
    assert!(went_on <= Duration::from_millis(3_150), "{went_on:?}");
}
