//! I1, I8, I9, I15: the lease columns of live jobs.

use std::collections::BTreeMap;

use super::digest::Digest;
use crate::faults::record::{Change, JobRow, What};

/// A job that lost its worker this often in a row without durable progress is poison.
const CRASHES: i64 = 3;

pub(super) fn tokens_grow_with_every_claim_of_a_lane(digest: &Digest<'_>) -> Vec<String> {
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut broken = Vec::new();
    for claim in &digest.claims {
        let lane = (claim.change.repo.as_str(), claim.after.lane.as_str());
        if let Some(before) = last.insert(lane, claim.token)
            && before >= claim.token
        {
            broken.push(format!("after token {before} came {claim:?}"));
        }
    }
    broken
}

pub(super) fn one_live_lease_in_each_lane(digest: &Digest<'_>) -> Vec<String> {
    let claims = digest.claims.iter();
    let begun = claims.map(|claim| (claim.change, &claim.after.lane, claim.token, true));
    let ends = digest.ends.iter();
    let ended = ends.map(|end| (end.change, &end.before.lane, end.token, false));
    let mut steps: Vec<_> = begun.chain(ended).collect();
    // A takeover ends a lease and begins another in one change.
    steps.sort_by_key(|(change, _, _, begins)| (change.committed, change.seq, *begins));
    let mut live: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut broken = Vec::new();
    for (change, lane, token, begins) in steps {
        let lane = (change.repo.as_str(), lane.as_str());
        if begins {
            if let Some(other) = live.insert(lane, token) {
                broken.push(format!("token {other} was alive in {lane:?}: {change:?}"));
            }
        } else if live.get(&lane) == Some(&token) {
            live.remove(&lane);
        }
    }
    broken
}

pub(super) fn running_means_owner_and_token(digest: &Digest<'_>) -> Vec<String> {
    let rows = digest.trial.changes.iter().filter_map(row);
    let halves = rows.filter(|(_, row)| !row.is_whole);
    halves.map(|(change, _)| format!("{change:?}")).collect()
}

pub(super) fn attempts_and_crashes_are_counted(digest: &Digest<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (change, row) in digest.trial.changes.iter().filter_map(row) {
        if row.attempt > row.max_attempts || row.crashes >= CRASHES {
            broken.push(format!("too many attempts or crashes: {change:?}"));
        }
    }
    for claim in &digest.claims {
        let Some(before) = claim.before else { continue };
        let refunded = claim.is_takeover() && before.durable;
        let attempt = before.attempt + i64::from(!refunded);
        let crashes = match (claim.is_takeover(), before.durable) {
            (true, true) => 0,
            (true, false) => before.crashes + 1,
            (false, _) => before.crashes,
        };
        if claim.after.attempt != attempt || claim.after.crashes != crashes {
            broken.push(format!("attempt or crash not counted: {claim:?}"));
        }
    }
    for ((job, _), row) in &digest.finished {
        if row.attempt > row.max_attempts {
            broken.push(format!(
                "job {job} finished with too many attempts: {row:?}"
            ));
        }
        let is_buried = row.outcome.as_deref() == Some("lost") && row.state != "cancelled";
        if is_buried && (row.state != "error" || row.error.as_deref() != Some("attempts_exhausted"))
        {
            broken.push(format!("job {job} was poison and ended as {row:?}"));
        }
    }
    broken
}

pub(super) fn no_late_heartbeat_revives_a_lease(digest: &Digest<'_>) -> Vec<String> {
    let revived = |change: &Change| {
        let What::Job { before, after, .. } = &change.what else {
            return None;
        };
        let (before, after) = (before.as_ref()?, after.as_ref()?);
        let is_beat = before.is_running()
            && before.token == after.token
            && (after.heartbeat > before.heartbeat || after.expires > before.expires);
        let is_over = before
            .over_at(change.booted)
            .is_some_and(|over| over <= change.begun);
        (is_beat && is_over).then(|| format!("{change:?}"))
    };
    digest.trial.changes.iter().filter_map(revived).collect()
}

/// The row that a change left.
fn row(change: &Change) -> Option<(&Change, &JobRow)> {
    match &change.what {
        What::Job { after, .. } => after.as_deref().map(|row| (change, row)),
        What::Finished { .. }
        | What::Repository { .. }
        | What::Pass { .. }
        | What::Snapshot
        | What::Inventory { .. }
        | What::Branch => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::faults::check::sample::{FETCHED, Sample};

    #[test]
    fn i1_catches_a_token_that_does_not_grow() {
        let mut sample = Sample::new();
        sample.claim(5, 10).complete(5, FETCHED, 20).claim(5, 30);
        assert!(sample.breaks("I1"));
        let mut sample = Sample::new();
        sample.claim(5, 10).complete(5, FETCHED, 20).claim(4, 30);
        assert!(sample.breaks("I1"));
    }

    #[test]
    fn p3_catches_two_live_leases_of_a_lane_and_lets_lanes_work_side_by_side() {
        let mut sample = Sample::backfilling();
        sample.claim(1, 10).claim_beside("fetch", 2, 20);
        assert!(!sample.breaks("P3"));
        sample.claim_beside("backfill", 3, 30);
        assert!(sample.breaks("P3"));
        let mut sample = Sample::new();
        sample.claim(1, 10).takeover(2, 5_000_000);
        sample.complete(2, FETCHED, 5_000_010).claim(3, 5_000_020);
        assert!(!sample.breaks("P3"));
    }

    #[test]
    fn i8_catches_half_a_lease() {
        let mut sample = Sample::new();
        sample.claim(1, 10).last_row().is_whole = false;
        assert!(sample.breaks("I8"));
    }

    #[test]
    fn i9_catches_an_attempt_too_many_and_a_crash_that_did_not_count() {
        let mut sample = Sample::new();
        sample.claim(1, 10).last_row().attempt = 6;
        assert!(sample.breaks("I9"));
        let mut sample = Sample::new();
        sample
            .claim(1, 10)
            .takeover(2, 5_000_000)
            .last_row()
            .crashes = 0;
        assert!(sample.breaks("I9"));
    }

    #[test]
    fn i9_catches_poison_that_ends_as_a_success() {
        let mut sample = Sample::fetched();
        sample.last_finished().outcome = Some("lost".to_owned());
        assert!(sample.breaks("I9"));
    }

    #[test]
    fn i15_catches_a_heartbeat_that_came_too_late() {
        let mut sample = Sample::new();
        sample.claim(1, 10).beat(1_000_000);
        assert!(!sample.breaks("I15"));
        sample.beat(9_000_000);
        assert!(sample.breaks("I15"));
    }
}
