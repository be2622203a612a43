//! A TCP proxy between one worker and the database: the network that faults happen to.
//!
//! It understands enough of the protocol to strike at a chosen statement, and it notes every fence
//! that was asked for, so that the checker knows for which token a connection wrote.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::record::FenceAsked;
use super::wire::{Call, Frontend, Statement, without_lock};
use crate::runtime::{block_on, runtime};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What the network does to everything that passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Weather {
    /// Nothing passes, and nobody is told.
    pub(super) is_silent: bool,
    /// New connections are closed at once.
    pub(super) refuses: bool,
    /// Each piece waits for this long, in either direction.
    pub(super) latency: Duration,
}

/// When a trap springs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moment {
    /// The statement has not reached the server.
    BeforeItIsSent,
    /// The server has answered; the client has not heard it.
    BeforeItIsAnswered,
}

/// What happens when a trap springs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blow {
    /// SIGKILL to the worker.
    Kill,
    /// SIGSTOP to the worker.
    Freeze,
    /// The connection is reset.
    Reset,
}

/// Waits for a statement of the worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Trap {
    pub(super) statement: Statement,
    pub(super) moment: Moment,
    pub(super) blow: Blow,
}

/// A trap that has sprung, on the worker of this number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sprung {
    pub(super) worker: usize,
    pub(super) trap: Trap,
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    worker: usize,
    upstream: u16,
    /// Whether fences lose their lock on the way.
    is_sabotaged: AtomicBool,
    weather: watch::Sender<Weather>,
    links: Mutex<BTreeMap<u64, Arc<Link>>>,
    next: AtomicU64,
    victim: Mutex<Option<Pid>>,
    trap: Mutex<Option<Trap>>,
    sprung: Sender<Sprung>,
    fences: Mutex<Vec<FenceAsked>>,
    end: CancellationToken,
}

/// One connection.
#[derive(Debug)]
struct Link {
    reset: CancellationToken,
    /// Bytes that may still pass before the connection is reset.
    budget: AtomicI64,
    /// A trap that springs with the server's next answer.
    answer_trap: Mutex<Option<Trap>>,
    /// The port by which the server knows it.
    server_port: i32,
}

impl Proxy {
    /// Passes on to a port of 127.0.0.1 and reports sprung traps as those of this worker.
    pub(super) fn start(worker: usize, upstream: u16, sprung: Sender<Sprung>) -> Self {
        let listener = block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared {
            worker,
            upstream,
            is_sabotaged: AtomicBool::new(false),
            weather: watch::Sender::new(Weather::default()),
            links: Mutex::default(),
            next: AtomicU64::new(0),
            victim: Mutex::default(),
            trap: Mutex::default(),
            sprung,
            fences: Mutex::default(),
            end: CancellationToken::new(),
        });
        runtime().spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Names the process that traps strike; none while it is being replaced.
    pub(super) fn set_victim(&self, pid: Option<u32>) {
        *lock(&self.shared.victim) = pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
    }

    /// Changes what happens to everything that passes.
    pub(super) fn set_weather(&self, change: impl FnOnce(&mut Weather)) {
        self.shared.weather.send_modify(change);
    }

    /// Takes the lock out of every fence that is prepared from now on.
    pub(super) fn sabotage(&self) {
        self.shared.is_sabotaged.store(true, Ordering::Relaxed);
    }

    /// Sets a trap, unless one waits already.
    pub(super) fn set_trap(&self, trap: Trap) {
        lock(&self.shared.trap).get_or_insert(trap);
    }

    /// Takes away a trap that has not sprung.
    pub(super) fn disarm(&self) {
        *lock(&self.shared.trap) = None;
    }

    /// How many connections there are.
    pub(super) fn links(&self) -> usize {
        lock(&self.shared.links).len()
    }

    /// Resets the connection of that number, counted from the oldest.
    pub(super) fn reset(&self, number: usize) -> bool {
        let found = lock(&self.shared.links).values().nth(number).cloned();
        found.inspect(|link| link.reset.cancel()).is_some()
    }

    /// Resets the connection of that number after so many more bytes.
    pub(super) fn cut_after(&self, number: usize, bytes: i64) -> bool {
        let found = lock(&self.shared.links).values().nth(number).cloned();
        found
            .inspect(|link| link.budget.store(bytes, Ordering::Relaxed))
            .is_some()
    }

    /// The fences asked for so far.
    pub(super) fn take_fences(&self) -> Vec<FenceAsked> {
        std::mem::take(&mut lock(&self.shared.fences))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.end.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            () = shared.end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((client, _)) = accepted else { continue };
        if !shared.weather.borrow().refuses {
            tokio::spawn(carry(Arc::clone(&shared), client));
        }
    }
}

/// One connection, from its accept to its end.
async fn carry(shared: Arc<Shared>, mut client: TcpStream) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", shared.upstream)).await else {
        return;
    };
    let Ok(address) = server.local_addr() else {
        return;
    };
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let link = Arc::new(Link {
        reset: CancellationToken::new(),
        budget: AtomicI64::new(i64::MAX),
        answer_trap: Mutex::default(),
        server_port: i32::from(address.port()),
    });
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    lock(&shared.links).insert(number, Arc::clone(&link));
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ = requests(&shared, &link, from_client, to_server) => {}
            _ = answers(&shared, &link, from_server, to_client) => {}
            () = link.reset.cancelled() => {}
            () = shared.end.cancelled() => {}
        }
    }
    lock(&shared.links).remove(&number);
    // Both sides see a reset, not an end.
    drop(client.set_zero_linger());
    drop(server.set_zero_linger());
}

/// From the client to the server, message by message.
async fn requests(
    shared: &Shared,
    link: &Link,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> io::Result<()> {
    let mut frontend = Frontend::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        weather(shared).await;
        frontend.push(&piece[..read]);
        let mut out = Vec::with_capacity(read);
        while let Some(message) = frontend.next_message() {
            if let Some(call) = frontend.understand(&message)
                && meet(shared, link, &call)
            {
                pass(link, &mut to, &out).await?;
                return Ok(());
            }
            if shared.is_sabotaged.load(Ordering::Relaxed) {
                out.extend(without_lock(message));
            } else {
                out.extend(message);
            }
        }
        pass(link, &mut to, &out).await?;
    }
}

/// From the server to the client.
async fn answers(
    shared: &Shared,
    link: &Link,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        weather(shared).await;
        let trap = lock(&link.answer_trap).take();
        if let Some(trap) = trap {
            spring(shared, trap);
            if trap.blow != Blow::Freeze {
                return Ok(());
            }
        }
        pass(link, &mut to, &piece[..read]).await?;
    }
}

/// Waits for as long as the weather asks for.
async fn weather(shared: &Shared) {
    let mut weather = shared.weather.subscribe();
    let latency = weather.borrow().latency;
    tokio::time::sleep(latency).await;
    // An error means that the proxy ends.
    drop(weather.wait_for(|weather| !weather.is_silent).await);
}

/// Writes as much as the connection's budget allows; an error when it is used up.
async fn pass(link: &Link, to: &mut WriteHalf<'_>, bytes: &[u8]) -> io::Result<()> {
    let wanted = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let left = link.budget.fetch_sub(wanted, Ordering::Relaxed);
    let allowed = usize::try_from(left.clamp(0, wanted)).unwrap_or_default();
    to.write_all(&bytes[..allowed]).await?;
    if allowed < bytes.len() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(())
}

/// Notes a fence, and looks whether a trap was set for this statement; whether the connection ends
/// here and now.
fn meet(shared: &Shared, link: &Link, call: &Call<'_>) -> bool {
    if call.statement == Statement::Fence
        && let Some(asked) = fence(link.server_port, &call.params)
    {
        lock(&shared.fences).push(asked);
    }
    let Some(trap) = lock(&shared.trap).take_if(|trap| trap.statement == call.statement) else {
        return false;
    };
    match trap.moment {
        Moment::BeforeItIsSent => {
            spring(shared, trap);
            trap.blow != Blow::Freeze
        }
        Moment::BeforeItIsAnswered => {
            *lock(&link.answer_trap) = Some(trap);
            false
        }
    }
}

fn spring(shared: &Shared, trap: Trap) {
    let signal = match trap.blow {
        Blow::Kill => Some(Signal::KILL),
        Blow::Freeze => Some(Signal::STOP),
        Blow::Reset => None,
    };
    if let Some(signal) = signal {
        // Held over the signal, so that the process cannot be reaped meanwhile.
        let victim = lock(&shared.victim);
        let Some(pid) = *victim else { return };
        if kill_process(pid, signal).is_err() {
            return;
        }
    }
    let worker = shared.worker;
    // Nobody listens any more when the run is over.
    let _ = shared.sprung.send(Sprung { worker, trap });
}

fn fence(server_port: i32, params: &[Option<&[u8]>]) -> Option<FenceAsked> {
    let [Some(job), Some(owner), Some(token)] = params else {
        return None;
    };
    Some(FenceAsked {
        server_port,
        at: super::record::now(),
        job: Uuid::from_slice(job).ok()?.to_string(),
        owner: String::from_utf8_lossy(owner).into_owned(),
        token: i64::from_be_bytes((*token).try_into().ok()?),
    })
}
