//! C1, C3, C4: the inventories of changes, and the two lanes that keep them.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Digest;
use super::effects::holders;
use crate::faults::record::{PassRow, What};

pub(super) fn the_inventory_is_what_the_remote_offers(digest: &Digest<'_>) -> Vec<String> {
    let mut broken = generations(digest);
    for seen in &digest.trial.proposals {
        if seen.recorded_default_head.as_ref() != Some(&seen.default_head) {
            broken.push(format!(
                "{}: recorded is the default head {:?}, offered {}",
                seen.name, seen.recorded_default_head, seen.default_head
            ));
        }
        let mut known = BTreeSet::new();
        for change in &seen.recorded {
            let key = (change.family.clone(), change.number);
            let offered = seen.offered.get(&key);
            let is_right = offered.is_some_and(|offered| {
                offered.head == change.head
                    && offered.test_merge == change.test_merge
                    && offered.reference == change.reference
            });
            if !is_right {
                broken.push(format!(
                    "{}: recorded is {change:?}, offered {offered:?}",
                    seen.name
                ));
            }
            if !known.insert(key) {
                broken.push(format!("{}: recorded twice is {change:?}", seen.name));
            }
        }
        let missing = seen.offered.iter().filter(|(key, _)| !known.contains(*key));
        broken.extend(
            missing.map(|(key, offered)| format!("{}: missing is {key:?}, {offered:?}", seen.name)),
        );
    }
    broken
}

/// Each inventory is the one after that which it replaces.
fn generations(digest: &Digest<'_>) -> Vec<String> {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut broken = Vec::new();
    for change in &digest.trial.changes {
        let What::Inventory { generation } = change.what else {
            continue;
        };
        let before = last.insert(&change.repo, generation);
        if before.is_some_and(|before| generation != before + 1) {
            broken.push(format!("after inventory {before:?} came {change:?}"));
        }
    }
    broken
}

pub(super) fn passes_go_forward_under_their_own_leases(digest: &Digest<'_>) -> Vec<String> {
    let holders = holders(digest);
    let mut broken = Vec::new();
    for effect in &digest.effects {
        let holder = effect.fence.and_then(|fence| holders.get(&fence.token));
        if let Some((_, lane)) = holder
            && effect.lanes.iter().any(|of| of != lane)
        {
            broken.push(format!("a lease of lane {lane} wrote {effect:?}"));
        }
    }
    for change in &digest.trial.changes {
        if let What::Pass {
            before: Some(before),
            after,
        } = &change.what
            && goes_back(before, after)
        {
            broken.push(format!("a pass went back: {change:?}"));
        }
    }
    broken
}

/// Whether a pass is less far than it was. Another inventory, mode or history begins another one.
fn goes_back(before: &PassRow, after: &PassRow) -> bool {
    let pass = |row: &PassRow| {
        (
            row.generation,
            row.pass_mode.clone(),
            row.epoch,
            row.started,
        )
    };
    let cursor = |row: &PassRow| row.family.clone().zip(row.number);
    let is_same = before.is_open && after.is_open && pass(before) == pass(after);
    after.generation < before.generation
        || after.epoch < before.epoch
        || (is_same && cursor(after) < cursor(before))
}

pub(super) fn no_lane_waits_for_another(digest: &Digest<'_>) -> Vec<String> {
    let beside = digest.trial.beside.iter();
    let waiting = beside.filter(|seen| seen.state != "completed");
    waiting
        .map(|seen| {
            format!(
                "while lane {} was held up, the job of lane {} was {:?}",
                seen.held, seen.lane, seen.state
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::faults::check::sample::{Sample, breaks};
    use crate::faults::record::{BesideSeen, PassRow};

    #[test]
    fn c1_catches_a_change_that_is_missing_doubled_left_over_or_of_another_head() {
        assert!(breaks("C1", |seen| seen.recorded.clear()));
        assert!(breaks("C1", |seen| {
            seen.recorded.push(seen.recorded[0].clone());
        }));
        assert!(breaks("C1", |seen| seen.offered.clear()));
        assert!(breaks("C1", |seen| {
            seen.recorded[0].head = "older".to_owned();
        }));
    }

    #[test]
    fn c1_catches_another_test_merge_and_another_default_head() {
        assert!(breaks("C1", |seen| {
            seen.recorded[0].test_merge = Some("older".to_owned());
        }));
        assert!(breaks("C1", |seen| {
            seen.recorded_default_head = Some("older".to_owned());
        }));
        assert!(breaks("C1", |seen| seen.recorded_default_head = None));
    }

    #[test]
    fn c1_catches_an_inventory_that_replaces_none_or_an_older_one() {
        for (second, is_broken) in [(2, false), (1, true), (3, true)] {
            let mut sample = Sample::new();
            sample.inventory(1, 10).inventory(second, 20);
            assert_eq!(sample.breaks("C1"), is_broken, "{second}");
        }
    }

    #[test]
    fn c3_catches_a_cursor_that_goes_back_and_knows_when_a_pass_begins() {
        let after = |number: Option<i64>, doctor: fn(&mut PassRow)| {
            let mut sample = Sample::backfilling();
            sample.claim(1, 10).fence(1, 11).pass(true, Some(5), 12);
            sample.fence(1, 13).pass(true, number, 14);
            doctor(sample.last_pass());
            sample.breaks("C3")
        };
        assert!(!after(Some(6), |_| ()));
        assert!(after(Some(4), |_| ()));
        assert!(after(None, |_| ()));
        assert!(!after(None, |row| row.started = Some(13)));
        assert!(!after(None, |row| row.epoch = 1));
        assert!(after(Some(6), |row| row.generation = Some(0)));
    }

    #[test]
    fn c3_catches_a_snapshot_of_a_fetch_and_an_inventory_of_a_backfill() {
        let mut sample = Sample::new();
        sample.claim(1, 10).fence(1, 11).snapshot(12);
        assert!(sample.breaks("C3"));
        let mut sample = Sample::backfilling();
        sample.claim(1, 10).fence(1, 11).inventory(1, 12);
        assert!(sample.breaks("C3"));
        let mut sample = Sample::backfilling();
        sample.claim(1, 10).fence(1, 11).snapshot(12);
        assert!(!sample.breaks("C3"));
    }

    #[test]
    fn c4_catches_a_fetch_that_waits_for_a_backfill() {
        for (state, is_broken) in [("completed", false), ("queued", true)] {
            let mut sample = Sample::fetched();
            sample.trial.beside.push(BesideSeen {
                held: "backfill".to_owned(),
                lane: "fetch".to_owned(),
                state: state.to_owned(),
            });
            assert_eq!(sample.breaks("C4"), is_broken, "{state}");
        }
    }
}
