//! What handlers tell the benchmark: when they start and end, on the machine's monotonic clock.
//!
//! One datagram for each event, sent by the handler itself, so neither the database nor a log stands
//! between what happens and what is measured. All processes of one machine share the clock.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use leasectl_core::ids::JobId;
use leasectl_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use crate::error::BenchError;

/// Bytes of one datagram: the event, the moment, the process, the job.
const LENGTH: usize = 1 + 8 + 4 + 16;

/// What happened to a handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// It was called.
    Started,
    /// It was asked to stop.
    Stopped,
    /// It returned or was dropped.
    Ended,
}

/// One event of one handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    pub(crate) event: Event,
    /// Nanoseconds on the monotonic clock.
    pub(crate) at: u64,
    /// The worker process.
    pub(crate) pid: u32,
    pub(crate) job: JobId,
}

impl Told {
    fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = match self.event {
            Event::Started => 0,
            Event::Stopped => 1,
            Event::Ended => 2,
        };
        bytes[1..9].copy_from_slice(&self.at.to_le_bytes());
        bytes[9..13].copy_from_slice(&self.pid.to_le_bytes());
        bytes[13..].copy_from_slice(self.job.as_uuid().as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (event, rest) = bytes.split_first()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (pid, job) = rest.split_first_chunk()?;
        Some(Self {
            event: match event {
                0 => Event::Started,
                1 => Event::Stopped,
                2 => Event::Ended,
                _ => return None,
            },
            at: u64::from_le_bytes(*at),
            pid: u32::from_le_bytes(*pid),
            job: Uuid::from_slice(job).ok()?.into(),
        })
    }
}

/// The handlers' end.
#[derive(Debug)]
pub(crate) struct Teller(UnixDatagram);

impl Teller {
    /// Tells whoever listens at that path.
    pub(crate) fn connect(path: &Path) -> Result<Self, BenchError> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket))
    }

    /// Tells what happens now.
    pub(crate) fn tell(&self, event: Event, job: JobId) {
        let told = Told {
            event,
            at: monotonic_nanos(),
            pid: std::process::id(),
            job,
        };
        // A listener that is gone has measured enough.
        let _ = self.0.send(&told.to_bytes());
    }
}

/// The benchmark's end.
#[derive(Debug)]
pub(crate) struct Ear(tokio::net::UnixDatagram);

impl Ear {
    /// Listens at that path.
    pub(crate) fn bind(path: &Path) -> Result<Self, BenchError> {
        Ok(Self(tokio::net::UnixDatagram::bind(path)?))
    }

    /// The next event.
    pub(crate) async fn hear(&self) -> Result<Told, BenchError> {
        let mut bytes = [0; LENGTH];
        let received = self.0.recv(&mut bytes).await?;
        Told::from_bytes(&bytes[..received])
            .ok_or_else(|| BenchError::Unexpected("a handler told something unknown".to_owned()))
    }
}

/// Nanoseconds on a clock that all processes of this machine share.
pub(crate) fn monotonic_nanos() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Seconds since the epoch on the machine's wall clock, which is also the database's, at a moment of
/// the monotonic clock.
pub(crate) fn wall_seconds(at: u64) -> f64 {
    let since = monotonic_nanos().saturating_sub(at);
    Duration::from_nanos(nanos(ClockId::Realtime).saturating_sub(since)).as_secs_f64()
}

/// Seconds since the epoch of a moment that the database noted.
pub(crate) fn epoch_seconds(moment: Timestamp) -> f64 {
    let micros = moment.as_datetime().timestamp_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64()
}

/// Milliseconds between two moments.
pub(crate) fn milliseconds(from: u64, to: u64) -> f64 {
    Duration::from_nanos(to.saturating_sub(from)).as_secs_f64() * 1_000.0
}

fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_is_heard() {
        for event in [Event::Started, Event::Stopped, Event::Ended] {
            let told = Told {
                event,
                at: 1 << 40,
                pid: 77,
                job: Uuid::from_u128(5).into(),
            };
            assert_eq!(Told::from_bytes(&told.to_bytes()), Some(told));
        }
        assert_eq!(Told::from_bytes(&[]), None);
        assert_eq!(Told::from_bytes(&[9; LENGTH]), None);
    }
}
