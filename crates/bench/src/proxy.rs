//! A way to the database that can fall silent or break while connections are open.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::error::BenchError;

const BUFFER_BYTES: usize = 64 * 1024;

/// What the way does with what is sent over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// Passes it on.
    Open,
    /// Keeps connections open and passes nothing on, as a middlebox that forgot them does. What was
    /// sent meanwhile arrives, late, when the way opens again.
    Silent,
    /// Ends connections and takes no new ones.
    Cut,
}

/// Listens on the loopback address and passes on to a Unix socket; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one, open.
    pub(crate) async fn start(socket: PathBuf) -> Result<Self, BenchError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (way, watched) = watch::channel(Way::Open);
        let task = tokio::spawn(accept(listener, socket, watched));
        Ok(Self { port, way, task })
    }

    /// The port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does, for open connections too.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Dropping it is what a client sees of a way that is cut.
                if let Ok((client, _)) = accepted
                    && *way.borrow() != Way::Cut
                {
                    connections.spawn(pass(client, socket.clone(), way.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes on in both directions until either side closes or the way is cut.
async fn pass(client: TcpStream, socket: PathBuf, mut way: watch::Receiver<Way>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = UnixStream::connect(socket).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = way.clone();
    tokio::select! {
        _ = cut.wait_for(|way| *way == Way::Cut) => Ok(()),
        ended = pump(from_client, to_server, way.clone()) => ended,
        ended = pump(from_server, to_client, way.clone()) => ended,
        // The sender is gone: so is the benchmark.
        () = async { while way.changed().await.is_ok() {} } => Ok(()),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        // Also the end of a connection is something that a silent way does not pass on.
        if way.wait_for(|way| *way != Way::Silent).await.is_err() || read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
