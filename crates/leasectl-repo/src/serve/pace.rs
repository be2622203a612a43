//! How fast and how far an answer is sent.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use futures::Stream;
use tokio::{io::AsyncReadExt as _, time::Instant};

use super::{Fault, Shared, backend::Backend};

/// Largest piece that is sent at once, in bytes.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// What begins the part of an answer that holds a pack.
const PACK_BEGINS: &[u8] = b"000dpackfile\n";
/// How often a limited answer sends something.
const BEAT: Duration = Duration::from_millis(20);
/// How long a dripping answer waits between two bytes.
const DRIP: Duration = Duration::from_millis(100);

/// A rate limit over all connections.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: AtomicU64,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self {
            bytes_per_second: AtomicU64::new(limit.unwrap_or(0)),
            next: Mutex::new(None),
        }
    }

    pub(super) fn set(&self, limit: Option<u64>) {
        self.bytes_per_second
            .store(limit.unwrap_or(0), Ordering::Relaxed);
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How many bytes may be sent at once so that the limit shows as a flow, not as bursts.
    fn piece(&self) -> usize {
        match self.bytes_per_second.load(Ordering::Relaxed) {
            0 => PIECE_BYTES,
            limit => {
                let beats = 1_000 / BEAT.as_millis().max(1);
                let piece = u128::from(limit) / beats;
                usize::try_from(piece)
                    .unwrap_or(PIECE_BYTES)
                    .clamp(1, PIECE_BYTES)
            }
        }
    }

    /// Waits for the turn of `bytes` more bytes.
    async fn wait(&self, bytes: usize) {
        let limit = self.bytes_per_second.load(Ordering::Relaxed);
        if limit == 0 {
            return;
        }
        let cost = Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / limit);
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = next.unwrap_or_else(Instant::now).max(Instant::now());
            *next = Some(turn + cost);
            turn + cost
        };
        tokio::time::sleep_until(turn).await;
    }
}

/// One answer while it is sent.
struct Sending {
    backend: Backend,
    shared: Arc<Shared>,
    /// The end of what was sent, while the beginning of the pack is looked for.
    tail: Vec<u8>,
    /// Bytes of pack data sent, once it has begun.
    pack_bytes: Option<u64>,
}

/// The body of an answer.
pub(super) fn stream(
    backend: Backend,
    shared: Arc<Shared>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let sending = Sending {
        backend,
        shared,
        tail: Vec::new(),
        pack_bytes: None,
    };
    futures::stream::unfold(Some(sending), |sending| async {
        let mut sending = sending?;
        let stop = sending.shared.stop.clone();
        let piece = tokio::select! {
            piece = sending.next() => piece,
            () = stop.cancelled() => Err(io::Error::other("the remote was stopped")),
        };
        match piece {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => Some((Ok(piece), Some(sending))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Sending {
    /// The next piece; empty at the end.
    async fn next(&mut self) -> io::Result<Bytes> {
        let most = self.permitted().await?;
        let mut piece = vec![0; most];
        let read = self.backend.output.read(&mut piece).await?;
        piece.truncate(read);
        self.shared.pace.wait(read).await;
        self.note(&piece);
        Ok(Bytes::from(piece))
    }

    /// How many bytes may be sent now, as far as the fault allows; waits while that is none.
    async fn permitted(&mut self) -> io::Result<usize> {
        let most = self.shared.pace.piece();
        let Some(sent) = self.pack_bytes else {
            return Ok(most);
        };
        let left = |limit: u64| {
            usize::try_from(limit.saturating_sub(sent))
                .unwrap_or(most)
                .min(most)
        };
        loop {
            let left = match self.shared.fault() {
                Fault::StallAfter(limit) => left(limit),
                Fault::DripAfter(limit) if left(limit) == 0 => {
                    tokio::time::sleep(DRIP).await;
                    1
                }
                Fault::DripAfter(limit) => left(limit),
                Fault::CutAfter(limit) if left(limit) == 0 => {
                    return Err(io::Error::other("cut on request"));
                }
                Fault::CutAfter(limit) => left(limit),
                Fault::None
                | Fault::Status(_)
                | Fault::RequireBasic(_)
                | Fault::Redirect(_)
                | Fault::Refuse => most,
            };
            if left > 0 {
                return Ok(left);
            }
            // The fault may be switched while the answer stalls.
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Counts what is sent and notices where the pack begins.
    fn note(&mut self, piece: &[u8]) {
        self.shared
            .bytes_sent
            .fetch_add(piece.len() as u64, Ordering::Relaxed);
        if let Some(sent) = &mut self.pack_bytes {
            *sent += piece.len() as u64;
            return;
        }
        self.tail.extend_from_slice(piece);
        let begins = self
            .tail
            .windows(PACK_BEGINS.len())
            .position(|window| window == PACK_BEGINS);
        if let Some(begins) = begins {
            let after = self.tail.len() - begins - PACK_BEGINS.len();
            self.pack_bytes = Some(after as u64);
            self.tail = Vec::new();
            self.shared.packs.fetch_add(1, Ordering::Relaxed);
        } else {
            let keep = self.tail.len().saturating_sub(PACK_BEGINS.len());
            self.tail.drain(..keep);
        }
    }
}
