//! A Git remote on loopback, for the demo, tests and benchmarks: `git http-backend` behind a small
//! HTTP server with a rate limit and faults that can be switched while it runs.

mod backend;
mod pace;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Response, StatusCode, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::process;

/// How the remote misbehaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Answers every request with this status.
    Status(u16),
    /// Wants these basic credentials (`user:secret`), else answers 401.
    RequireBasic(String),
    /// Sends this many bytes of pack data, then nothing more, and keeps the connection open.
    StallAfter(u64),
    /// Sends this many bytes of pack data, then one byte every tenth of a second.
    DripAfter(u64),
    /// Sends this many bytes of pack data, then closes the connection.
    CutAfter(u64),
    /// Redirects every request to this URL.
    Redirect(String),
    /// Closes every connection before answering.
    Refuse,
}

/// What the remote has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// All requests.
    pub requests: u64,
    /// Requests for capabilities: one for each fetch or clone, one more for each login.
    pub handshakes: u64,
    /// Answers that held a pack.
    pub packs: u64,
    /// Bytes sent in bodies of answers.
    pub bytes_sent: u64,
}

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Bytes a second over all connections; `None` is unlimited.
    pub bytes_per_second: Option<u64>,
    /// How to misbehave from the start.
    pub fault: Fault,
}

/// Why the local remote cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The `git` program is missing.
    #[error(
        "the git program is missing: install the package `git` (Debian, Fedora), or run `brew install git` (macOS)"
    )]
    GitMissing,
    /// The directory is not there.
    #[error("the directory to serve does not exist")]
    NoSuchDirectory,
    /// The server could not listen on loopback.
    #[error("no port on 127.0.0.1 could be opened")]
    Listen(#[source] io::Error),
}

/// A running HTTP remote; it stops when dropped.
#[derive(Debug)]
pub struct LocalRemote {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    root: PathBuf,
    fault: Mutex<Fault>,
    pace: pace::Pace,
    stop: CancellationToken,
    requests: AtomicU64,
    handshakes: AtomicU64,
    packs: AtomicU64,
    bytes_sent: AtomicU64,
}

impl Shared {
    fn fault(&self) -> Fault {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl LocalRemote {
    /// Serves all repositories beneath `root` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn start(root: PathBuf, options: ServeOptions) -> Result<Self, ServeError> {
        if !root.is_dir() {
            return Err(ServeError::NoSuchDirectory);
        }
        let found = tokio::process::Command::from(process::git_version())
            .status()
            .await;
        if !found.is_ok_and(|status| status.success()) {
            return Err(ServeError::GitMissing);
        }
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(ServeError::Listen)?;
        let address = listener.local_addr().map_err(ServeError::Listen)?;
        let shared = Arc::new(Shared {
            root,
            fault: Mutex::new(options.fault),
            pace: pace::Pace::new(options.bytes_per_second),
            stop: CancellationToken::new(),
            requests: AtomicU64::new(0),
            handshakes: AtomicU64::new(0),
            packs: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
        });
        let door = Door {
            listener,
            shared: Arc::clone(&shared),
        };
        let app = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let stop = shared.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(door, app) => drop(served),
                () = stop.cancelled() => {}
            }
        });
        Ok(Self { address, shared })
    }

    /// The URL of the repository at `path` beneath the root (`http://127.0.0.1:PORT/path`).
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{}", self.address, path.trim_start_matches('/'))
    }

    /// Switches the fault, also for answers that are being sent.
    pub fn set_fault(&self, fault: Fault) {
        *self
            .shared
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Switches the rate limit, also for answers that are being sent.
    pub fn set_bytes_per_second(&self, limit: Option<u64>) {
        self.shared.pace.set(limit);
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen {
            requests: read(&self.shared.requests),
            handshakes: read(&self.shared.handshakes),
            packs: read(&self.shared.packs),
            bytes_sent: read(&self.shared.bytes_sent),
        }
    }
}

impl Drop for LocalRemote {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// Accepts connections, unless they are to be refused.
struct Door {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl axum::serve::Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        /// The system has no descriptors left, or the like; trying at once would only spin.
        const PAUSE: Duration = Duration::from_millis(50);
        loop {
            match self.listener.accept().await {
                Ok(_) if self.shared.fault() == Fault::Refuse => {}
                Ok((stream, address)) => {
                    let _ = stream.set_nodelay(true);
                    return (stream, address);
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Answers one request.
async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    if request.uri().path().ends_with("/info/refs") {
        shared.handshakes.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(refusal) = refuse(&shared.fault(), &request) {
        return refusal;
    }
    match backend::run(&shared, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, "the local remote could not answer");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// The answer of faults that need no Git.
fn refuse(fault: &Fault, request: &Request) -> Option<Response<Body>> {
    match fault {
        Fault::Status(code) => Some(empty(
            StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        )),
        Fault::RequireBasic(login) => {
            let wanted = format!("Basic {}", BASE64.encode(login));
            let given = request.headers().get(header::AUTHORIZATION);
            if given.is_some_and(|given| given.as_bytes() == wanted.as_bytes()) {
                return None;
            }
            let mut response = empty(StatusCode::UNAUTHORIZED);
            let challenge = HeaderValue::from_static("Basic realm=\"local\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            Some(response)
        }
        Fault::Redirect(url) => {
            let mut response = empty(StatusCode::FOUND);
            response
                .headers_mut()
                .insert(header::LOCATION, HeaderValue::from_str(url).ok()?);
            Some(response)
        }
        Fault::None
        | Fault::StallAfter(_)
        | Fault::DripAfter(_)
        | Fault::CutAfter(_)
        | Fault::Refuse => None,
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
