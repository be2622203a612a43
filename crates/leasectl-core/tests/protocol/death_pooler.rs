//! A pooler in transaction mode is found out: a lock held through it would prove nothing.

use std::sync::Arc;

use leasectl_core::database::DatabaseUrl;
use leasectl_core::liveness::{LivenessError, LivenessSession, PoolerSign};
use leasectl_embedded::scratch::{self, ScratchServer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Mutex, mpsc};

/// A start-up message of version 3.0: who asks, for which database.
fn startup() -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in ["user", "leasectl", "database", "postgres"] {
        body.extend(text.bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap();
    [length.to_be_bytes().as_slice(), body.as_slice()].concat()
}

/// Reads one message; its first byte is its kind.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut head = [0_u8; 5];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes(head[1..].try_into().unwrap());
    let mut body = vec![0_u8; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut body).await.ok()?;
    Some([head.as_slice(), body.as_slice()].concat())
}

/// What the server says up to its next "ready"; the last byte tells whether a transaction is open.
async fn until_ready(server: &mut UnixStream) -> Vec<u8> {
    let mut said = Vec::new();
    loop {
        let part = message(server).await.expect("the server answers");
        let is_ready = part[0] == b'Z';
        said.extend(part);
        if is_ready {
            return said;
        }
    }
}

/// A pooler in transaction mode with that many sessions of the server, the last one used first.
struct Pooler {
    free: Mutex<mpsc::UnboundedReceiver<()>>,
    idle: Mutex<Vec<UnixStream>>,
    freed: mpsc::UnboundedSender<()>,
    greeting: Vec<u8>,
}

impl Pooler {
    /// Starts one before the server; answers its own port.
    async fn before(server: &ScratchServer, sessions: usize) -> u16 {
        let socket = format!(".s.PGSQL.{}", server.port());
        let socket = server.socket_dir().join(socket);
        let mut idle = Vec::new();
        let mut greeting = Vec::new();
        let (freed, free) = mpsc::unbounded_channel();
        for _ in 0..sessions {
            let mut server = UnixStream::connect(&socket).await.unwrap();
            server.write_all(&startup()).await.unwrap();
            greeting = until_ready(&mut server).await;
            idle.push(server);
            freed.send(()).unwrap();
        }
        let pooler = Arc::new(Self {
            free: Mutex::new(free),
            idle: Mutex::new(idle),
            freed,
            greeting,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&pooler).serve(client));
            }
        });
        own
    }

    /// Serves one client: each of its transactions on whichever session is free.
    async fn serve(self: Arc<Self>, mut client: TcpStream) {
        let mut length = [0_u8; 4];
        client.read_exact(&mut length).await.unwrap();
        let mut rest = vec![0_u8; u32::from_be_bytes(length) as usize - 4];
        client.read_exact(&mut rest).await.unwrap();
        client.write_all(&self.greeting).await.unwrap();
        while let Some(mut asked) = message(&mut client).await {
            if asked[0] == b'X' {
                return;
            }
            self.free.lock().await.recv().await.unwrap();
            let mut server = self.idle.lock().await.pop().unwrap();
            loop {
                // A simple query is one message; an extended one ends with "sync".
                while !matches!(asked.first(), Some(b'Q' | b'S')) {
                    server.write_all(&asked).await.unwrap();
                    asked = message(&mut client).await.unwrap();
                }
                server.write_all(&asked).await.unwrap();
                let said = until_ready(&mut server).await;
                client.write_all(&said).await.unwrap();
                if said.last() == Some(&b'I') {
                    break;
                }
                asked = message(&mut client).await.unwrap();
            }
            self.idle.lock().await.push(server);
            self.freed.send(()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_found_whatever_its_size() {
    let server = scratch::shared().unwrap();
    for sessions in [1, 2, 5] {
        let port = Pooler::before(server, sessions).await;
        let url = format!("postgres://leasectl@127.0.0.1:{port}/postgres?sslmode=disable");
        let url = DatabaseUrl::parse(&url).unwrap();
        let session = LivenessSession::open(&url).await.unwrap();
        let found = session.probe(&url).await;
        assert!(
            matches!(found, Err(LivenessError::Pooler(PoolerSign::SharedSession))),
            "{sessions} sessions: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_direct_connection_is_no_pooler() {
    let url = DatabaseUrl::parse(&scratch::shared().unwrap().url()).unwrap();
    let session = LivenessSession::open(&url).await.unwrap();
    session.probe(&url).await.unwrap();
}
