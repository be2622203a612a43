//! Abstract time: one tick is one heartbeat interval, and everything that is later than the last
//! limit is equally late, so that the states stay finite.

/// Ticks between two heartbeats.
pub(crate) const INTERVAL: u8 = 1;
/// Silent ticks after which others may take a lease.
pub(crate) const STALE_AFTER: u8 = 2;
/// Ticks without progress after which others may take a lease.
pub(crate) const TTL: u8 = 3;
/// The uptime at which the server's start no longer matters to anybody.
pub(crate) const LONG_UP: u8 = INTERVAL + STALE_AFTER;
/// The uptime from which a detector believes what it sees.
pub(crate) const DETECTOR_UPTIME: u8 = 1;
/// The greatest age that is told from a greater one; one more than the widest trust window.
pub(crate) const OLD: u8 = STALE_AFTER + 1;

/// One tick later.
pub(crate) fn older(age: u8, limit: u8) -> u8 {
    if age < limit { age + 1 } else { limit }
}
