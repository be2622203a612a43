//! I4, I7: how leases and jobs end.

use std::collections::BTreeMap;

use super::digest::{Digest, End};

pub(super) fn one_end_for_each_token(digest: &Digest<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut seen: BTreeMap<i64, &End<'_>> = BTreeMap::new();
    for end in &digest.ends {
        if let Some(first) = seen.insert(end.token, end) {
            broken.push(format!(
                "token {} ended twice: {first:?} and {end:?}",
                end.token
            ));
        }
        let written = match end.after {
            Some(row) => (row.ended_token, None, row.ended_outcome.as_deref()),
            None => match digest.finished.get(&(end.job, end.change.xid.as_str())) {
                Some(row) => (row.token, row.owner.as_deref(), row.outcome.as_deref()),
                None => (None, None, None),
            },
        };
        let (token, owner, outcome) = written;
        let is_own = token == Some(end.token)
            && (owner.is_none() || owner == end.before.owner.as_deref())
            && outcome.is_some();
        if !is_own {
            broken.push(format!(
                "token {} of job {} ended with a settlement of {token:?} by {owner:?} ({outcome:?})",
                end.token, end.job
            ));
        }
        let is_lost = outcome == Some("lost");
        let is_over = end
            .before
            .over_at(end.change.booted)
            .is_some_and(|over| over <= end.change.begun);
        if is_lost && !is_over {
            broken.push(format!(
                "token {} was called lost while its lease was good: {end:?}",
                end.token
            ));
        }
    }
    broken
}

pub(super) fn every_accepted_job_has_ended(digest: &Digest<'_>) -> Vec<String> {
    let states = &digest.trial.states;
    let is_over = |state: &String| matches!(state.as_str(), "completed" | "error" | "cancelled");
    let lost = digest.trial.accepted.iter().filter_map(|job| {
        let state = states.get(job);
        (!state.is_some_and(is_over)).then(|| format!("accepted job {job} is {state:?}"))
    });
    let open = states
        .iter()
        .filter(|(_, state)| !is_over(state))
        .map(|(job, state)| format!("job {job} is {state}"));
    lost.chain(open).collect()
}

#[cfg(test)]
mod tests {
    use crate::faults::check::sample::{FETCHED, JOB, Sample};

    #[test]
    fn i4_catches_a_second_settlement_of_one_token() {
        let mut sample = Sample::fetched();
        sample.complete(1, FETCHED, 30);
        assert!(sample.breaks("I4"));
    }

    #[test]
    fn i4_catches_a_settlement_that_names_another_token() {
        let mut sample = Sample::new();
        sample.claim(2, 10).complete_as(2, 1, FETCHED, 20);
        assert!(sample.breaks("I4"));
    }

    #[test]
    fn i7_catches_an_accepted_job_that_vanished_or_never_ended() {
        let mut sample = Sample::fetched();
        sample.trial.accepted.push("another".to_owned());
        assert!(sample.breaks("I7"));
        let mut sample = Sample::fetched();
        let states = &mut sample.trial.states;
        states.insert(JOB.to_owned(), "waiting".to_owned());
        assert!(sample.breaks("I7"));
    }
}
