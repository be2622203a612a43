//! I10, I12: when a lease may be taken away, and when it must.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::digest::{Claim, Digest};
use crate::faults::record::{Change, FenceAsked, Micros, What};

/// A statement looked at a lease up to this long before its change was written, in a transaction
/// that began later; and notes of two processes may differ by this much.
const SLACK: Micros = 200_000;
/// How long a fence that nobody ends may hold up a takeover: a session that is idle in its
/// transaction is ended by the server, and a look for dead leases skips what is locked.
const FENCE_HOLDS: Micros = 8_000_000;
/// A worker looks for dead leases once in a poll interval. The first claim after that may have been
/// decided before; this many cannot.
const FRESH_CLAIMS: usize = 3;

pub(super) fn only_the_databases_clock_ends_a_lease(digest: &Digest<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for claim in digest.claims.iter().filter(|claim| claim.is_takeover()) {
        let over = claim
            .before
            .and_then(|row| row.over_at(claim.change.booted));
        if over.is_none_or(|over| over > claim.change.begun) {
            broken.push(format!("taken over before {over:?}: {claim:?}"));
        }
    }
    // What is stored is the database's time, never a worker's.
    broken.extend(digest.trial.changes.iter().filter_map(foreign_time));
    broken
}

fn foreign_time(change: &Change) -> Option<String> {
    let What::Job { before, after, .. } = &change.what else {
        return None;
    };
    let after = after.as_deref().filter(|row| row.is_running())?;
    let beat = before.as_ref().and_then(|row| row.heartbeat);
    let is_foreign = after.heartbeat != beat && after.heartbeat != Some(change.begun);
    is_foreign.then(|| format!("a heartbeat of another clock: {change:?}"))
}

pub(super) fn the_dead_come_before_the_fresh(digest: &Digest<'_>) -> Vec<String> {
    // Claims of fresh jobs by owner and lane, each statement once, in the order of their beginnings: who has no slot
    // in the lane of the dead passes nobody by.
    let mut fresh: BTreeMap<(&str, &str), BTreeSet<(Micros, &str)>> = BTreeMap::new();
    for claim in digest.claims.iter().filter(|claim| !claim.is_takeover()) {
        let lane = claim.after.lane.as_str();
        let of_owner = fresh.entry((claim.owner(), lane)).or_default();
        of_owner.insert((claim.change.begun, &claim.change.xid));
    }
    let mut fences: HashMap<(&str, i64), Vec<&FenceAsked>> = HashMap::new();
    for fence in &digest.trial.fences {
        let of_lease = fences.entry((fence.job.as_str(), fence.token)).or_default();
        of_lease.push(fence);
    }
    let starved = |taken: &Claim<'_>| {
        let before = taken.before?;
        let over = before.over_at(taken.change.booted)?;
        let judged = digest.judged.get(&(taken.job, before.token?));
        let over = judged.map_or(over, |judged| over.max(*judged));
        let fenced = fences.get(&(taken.job, before.token?));
        let is_held_up = fenced
            .into_iter()
            .flatten()
            .any(|fence| fence.at + FENCE_HOLDS > over);
        if is_held_up {
            return None;
        }
        let from = over + 2 * digest.trial.poll_us + SLACK;
        let mut of_lane = fresh
            .iter()
            .filter(|((_, lane), _)| *lane == taken.after.lane);
        let passed_by = of_lane.find(|(_, claims)| {
            let after = claims.iter().filter(|(begun, _)| *begun > from);
            let missed = after.filter(|(begun, _)| *begun < taken.change.begun);
            missed.count() > FRESH_CLAIMS
        });
        passed_by
            .map(|((owner, _), _)| format!("{owner} claimed fresh jobs since {over}: {taken:?}"))
    };
    let takeovers = digest.claims.iter().filter(|claim| claim.is_takeover());
    takeovers.filter_map(starved).collect()
}

#[cfg(test)]
mod tests {
    use crate::faults::check::sample::Sample;

    #[test]
    fn i10_catches_a_lease_taken_while_it_was_good() {
        let mut sample = Sample::new();
        sample.claim(1, 10).takeover(2, 1_000_000);
        assert!(sample.breaks("I10"));
        let mut sample = Sample::new();
        sample.claim(1, 10).takeover(2, 5_000_000);
        assert!(!sample.breaks("I10"));
    }

    #[test]
    fn i10_knows_that_silence_counts_from_the_servers_start() {
        let mut sample = Sample::new();
        sample.claim(1, 10);
        sample.boot(4_000_000).takeover(2, 5_000_000);
        assert!(sample.breaks("I10"));
    }

    #[test]
    fn i10_catches_a_heartbeat_of_the_workers_clock() {
        let mut sample = Sample::new();
        sample.claim(1, 10).last_row().heartbeat = Some(3_600_000_000);
        assert!(sample.breaks("I10"));
    }

    #[test]
    fn i12_catches_fresh_claims_while_a_dead_lease_waits() {
        let fresh_until_takeover = |claims: i64| {
            let mut sample = Sample::new();
            sample.claim(1, 10);
            for number in 0..claims {
                sample.claim_elsewhere(10 + number, 5_000_000 + 100_000 * number);
            }
            sample.takeover(90, 7_000_000);
            sample.breaks("I12")
        };
        let fresh_until_judged = || {
            let mut sample = Sample::new();
            sample.claim(1, 10);
            for number in 0..9 {
                sample.claim_elsewhere(10 + number, 5_000_000 + 100_000 * number);
            }
            // A dead owner's lease is ended as of its claim, whenever the death was seen.
            sample.expire(10, 6_900_000).takeover(90, 7_000_000);
            sample.breaks("I12")
        };
        assert!(!fresh_until_judged());
        assert!(!fresh_until_takeover(2));
        assert!(fresh_until_takeover(9));
    }
}
