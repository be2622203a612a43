//! I2, I3, I5, I6: what jobs write, and under which token.

use std::collections::{BTreeMap, HashMap};

use super::digest::{BACKFILL, Digest, Effect, End, FETCH};
use crate::faults::record::{FinishedRow, Micros};

/// Of each token its owner and its lane.
pub(super) fn holders<'a>(digest: &'a Digest<'a>) -> HashMap<i64, (&'a str, &'a str)> {
    let claims = digest.claims.iter();
    claims
        .map(|claim| (claim.token, (claim.owner(), claim.after.lane.as_str())))
        .collect()
}

pub(super) fn no_effect_commits_after_a_newer_claim(digest: &Digest<'_>) -> Vec<String> {
    let mut claims: BTreeMap<(&str, &str), Vec<(Micros, i64)>> = BTreeMap::new();
    for claim in &digest.claims {
        let lane = (claim.change.repo.as_str(), claim.after.lane.as_str());
        let of_lane = claims.entry(lane).or_default();
        of_lane.push((claim.change.committed, claim.token));
    }
    let holders = holders(digest);
    let mut broken = Vec::new();
    let mut fenced: HashMap<(i32, Micros), &str> = HashMap::new();
    for effect in &digest.effects {
        let Some(fence) = effect.fence else {
            broken.push(format!("an effect without a fence: {effect:?}"));
            continue;
        };
        let used = fenced.insert((fence.server_port, fence.at), effect.xid);
        if let Some(used) = used {
            broken.push(format!(
                "an effect outside its fence, which was of {used}: {effect:?}"
            ));
        }
        let holder = holders.get(&fence.token);
        if holder.is_none_or(|(owner, _)| *owner != fence.owner) {
            broken.push(format!(
                "an effect for a lease of another owner: {effect:?}"
            ));
        }
        let of_lane = holder.and_then(|(_, lane)| claims.get(&(effect.repo, *lane)));
        let of_lane = of_lane.map_or(&[][..], Vec::as_slice);
        let newer = of_lane
            .iter()
            .find(|(committed, token)| *token > fence.token && *committed < effect.committed);
        if let Some((committed, token)) = newer {
            broken.push(format!(
                "token {} wrote at {} after the claim of token {token} at {committed}: {effect:?}",
                fence.token, effect.committed
            ));
        }
    }
    broken
}

pub(super) fn no_effect_after_the_end_of_its_lease(digest: &Digest<'_>) -> Vec<String> {
    let ends: HashMap<(&str, i64), Micros> = digest
        .ends
        .iter()
        .map(|end| ((end.job, end.token), end.change.committed))
        .collect();
    let late = |effect: &&Effect<'_>| {
        let fence = effect.fence?;
        let ended = *ends.get(&(fence.job.as_str(), fence.token))?;
        (effect.committed > ended).then(|| format!("after the end at {ended}: {effect:?}"))
    };
    digest.effects.iter().filter_map(|e| late(&e)).collect()
}

pub(super) fn what_a_job_published_is_of_its_completing_token(digest: &Digest<'_>) -> Vec<String> {
    let holders = holders(digest);
    let is_of_a_fetch = |effect: &&Effect<'_>| {
        let holder = effect.fence.and_then(|fence| holders.get(&fence.token));
        holder.is_none_or(|(_, lane)| *lane == FETCH)
    };
    let mut recorded: BTreeMap<&str, Vec<&Effect<'_>>> = BTreeMap::new();
    for effect in digest.effects.iter().filter(is_of_a_fetch) {
        recorded.entry(effect.repo).or_default().push(effect);
    }
    for effects in recorded.values_mut() {
        effects.sort_by_key(|effect| effect.committed);
    }
    let foreign = |(repo, token, ended): (&str, i64, Micros)| {
        let effects = recorded.get(repo)?;
        let before = effects.partition_point(|effect| effect.committed <= ended);
        let last = effects.get(before.checked_sub(1)?)?;
        let of = last.fence.map(|fence| fence.token);
        (of != Some(token)).then(|| {
            format!("token {token} completed at {ended}, but the last to publish was {last:?}")
        })
    };
    completed(digest).filter_map(foreign).collect()
}

pub(super) fn what_completed_is_there(digest: &Digest<'_>) -> Vec<String> {
    let mut written: HashMap<(&str, i64), Vec<&Effect<'_>>> = HashMap::new();
    for effect in &digest.effects {
        if let Some(fence) = effect.fence {
            let of_lease = written
                .entry((fence.job.as_str(), fence.token))
                .or_default();
            of_lease.push(effect);
        }
    }
    let missing = |end: &End<'_>| {
        let row = digest.finished.get(&(end.job, end.change.xid.as_str()))?;
        let effects = written.get(&(end.job, end.token));
        let mut before = effects
            .into_iter()
            .flatten()
            .filter(|effect| effect.committed <= end.change.committed);
        let is_claimed = [FETCH, BACKFILL].contains(&end.before.lane.as_str());
        let is_there =
            row.state != "completed" || !is_claimed || before.any(|effect| says(effect, end, row));
        (!is_there).then(|| {
            format!(
                "job {} completed under token {} as {row:?}, but recorded {effects:?}",
                end.job, end.token
            )
        })
    };
    digest.ends.iter().filter_map(missing).collect()
}

/// Whether a job's effect is what its result claims.
fn says(effect: &Effect<'_>, end: &End<'_>, row: &FinishedRow) -> bool {
    match (end.before.lane.as_str(), effect.pass) {
        (FETCH, _) => effect.head == Some(row.head.as_deref()),
        (_, Some(pass)) => {
            row.exhausted != Some(true) || !pass.is_open || pass.mode.as_deref() == Some("off")
        }
        (_, None) => false,
    }
}

/// Repository, token and end of every completed fetch.
fn completed<'a>(digest: &'a Digest<'a>) -> impl Iterator<Item = (&'a str, i64, Micros)> {
    let is_completed = |end: &&End<'_>| {
        let row = digest.finished.get(&(end.job, end.change.xid.as_str()));
        row.is_some_and(|row| row.state == "completed") && end.before.lane == FETCH
    };
    let completed = digest.ends.iter().filter(is_completed);
    completed.map(|end| (end.change.repo.as_str(), end.token, end.change.committed))
}

#[cfg(test)]
mod tests {
    use crate::faults::check::sample::{FETCHED, Sample};

    #[test]
    fn a_fetch_that_went_well_breaks_nothing() {
        assert_eq!(Sample::fetched().judge(), []);
    }

    #[test]
    fn i2_catches_a_write_after_the_next_claim() {
        let mut sample = Sample::new();
        sample.claim(1, 10).fence(1, 11);
        sample.takeover(2, 5_000_000).write(1, FETCHED, 5_000_001);
        assert!(sample.breaks("I2"));
    }

    #[test]
    fn an_index_beside_a_fetch_breaks_nothing() {
        let mut sample = Sample::new();
        sample.claim(1, 10).fence(1, 11).write(1, FETCHED, 12);
        sample.index_beside(2, 13).complete(1, FETCHED, 20);
        assert_eq!(sample.judge(), []);
    }

    #[test]
    fn i2_catches_a_ref_of_the_index_published_after_the_next_claim() {
        let mut sample = Sample::indexing();
        sample.claim(1, 10).fence(1, 11);
        sample.takeover(2, 5_000_000).publish(5_000_001);
        assert!(sample.breaks("I2"));
    }

    #[test]
    fn i2_catches_a_write_without_a_fence_and_a_fence_used_twice() {
        let mut sample = Sample::new();
        sample.claim(1, 10).write(1, FETCHED, 12);
        assert!(sample.breaks("I2"));
        let mut sample = Sample::new();
        sample.claim(1, 10).fence(1, 11);
        sample.write(1, FETCHED, 12).write(1, "other", 13);
        assert!(sample.breaks("I2"));
    }

    #[test]
    fn i2_catches_a_write_under_a_lease_of_another_owner() {
        let mut sample = Sample::new();
        sample.claim(1, 10).fence(1, 11).write(1, FETCHED, 12);
        sample.trial.fences[0].owner = "another".to_owned();
        assert!(sample.breaks("I2"));
    }

    #[test]
    fn i3_catches_a_write_after_the_job_finished() {
        let mut sample = Sample::new();
        sample.claim(1, 10).fence(1, 11).write(1, FETCHED, 12);
        sample.complete(1, FETCHED, 20);
        sample.fence(1, 21).write(1, FETCHED, 22);
        assert!(sample.breaks("I3"));
    }

    #[test]
    fn i5_catches_a_projection_that_another_token_wrote_last() {
        let mut sample = Sample::new();
        sample.claim(2, 10).fence(2, 11).write(2, FETCHED, 12);
        sample.fence(1, 13).write(1, "stale", 14);
        sample.complete(2, FETCHED, 20);
        assert!(sample.breaks("I5"));
    }

    #[test]
    fn i6_catches_a_backfill_that_says_it_is_done_and_did_not_end_its_pass() {
        let finished = |is_open: bool| {
            let mut sample = Sample::backfilling();
            sample.claim(1, 10).fence(1, 11).pass(is_open, None, 12);
            sample.complete(1, FETCHED, 20);
            sample.last_finished().exhausted = Some(true);
            sample.breaks("I6")
        };
        assert!(!finished(false));
        assert!(finished(true));
        let mut sample = Sample::backfilling();
        sample.claim(1, 10).complete(1, FETCHED, 20);
        assert!(sample.breaks("I6"));
    }

    #[test]
    fn i2_and_i3_catch_a_snapshot_that_came_too_late() {
        let mut sample = Sample::backfilling();
        sample.claim(1, 10).fence(1, 11);
        sample.takeover(2, 5_000_000).snapshot(5_000_001);
        assert!(sample.breaks("I2") && sample.breaks("I3"));
    }

    #[test]
    fn i6_catches_a_completion_whose_head_was_not_recorded() {
        let mut sample = Sample::new();
        sample.claim(1, 10).complete(1, FETCHED, 20);
        assert!(sample.breaks("I6"));
        let mut sample = Sample::new();
        sample.claim(1, 10).fence(1, 11).write(1, "another", 12);
        sample.complete(1, FETCHED, 20);
        assert!(sample.breaks("I6"));
    }
}
