//! Judges a history: one function for each invariant of the reliability text, none of which trusts
//! what the programs say about themselves.

mod changes;
mod digest;
mod effects;
mod ends;
mod leases;
mod outside;
#[cfg(test)]
mod sample;
mod snapshots;
mod takeover;

use std::fmt;

use self::digest::Digest;
use super::record::Trial;

/// Something that must never be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The invariant, as `I1`; `P3` is the promise, `C1` to `C4` are of changes.
    pub invariant: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.found)
    }
}

/// Finds what breaks one invariant.
type Check = fn(&Digest<'_>) -> Vec<String>;

/// Every invariant that a history can show to be broken.
const CHECKS: [(&str, Check); 21] = [
    ("I1", leases::tokens_grow_with_every_claim_of_a_lane),
    ("I2", effects::no_effect_commits_after_a_newer_claim),
    ("I3", effects::no_effect_after_the_end_of_its_lease),
    ("I4", ends::one_end_for_each_token),
    (
        "I5",
        effects::what_a_job_published_is_of_its_completing_token,
    ),
    ("I6", effects::what_completed_is_there),
    ("I7", ends::every_accepted_job_has_ended),
    ("I8", leases::running_means_owner_and_token),
    ("I9", leases::attempts_and_crashes_are_counted),
    ("I10", takeover::only_the_databases_clock_ends_a_lease),
    ("I11", outside::a_cut_off_worker_has_stopped_its_handlers),
    ("I12", takeover::the_dead_come_before_the_fresh),
    ("I13", outside::only_complete_clones_stand_at_their_path),
    ("I14", outside::damaged_caches_cost_time_only),
    ("I15", leases::no_late_heartbeat_revives_a_lease),
    ("I16", outside::no_secret_is_shown),
    ("P3", leases::one_live_lease_in_each_lane),
    ("C1", changes::the_inventory_is_what_the_remote_offers),
    ("C2", snapshots::what_is_recorded_is_what_git_says),
    ("C3", changes::passes_go_forward_under_their_own_leases),
    ("C4", changes::no_lane_waits_for_another),
];

/// Judges a round; empty when every invariant holds.
pub(super) fn judge(trial: &Trial) -> Vec<Violation> {
    let digest = Digest::of(trial);
    let broken = |(invariant, check): &(&'static str, Check)| {
        let invariant = *invariant;
        check(&digest)
            .into_iter()
            .map(move |found| Violation { invariant, found })
    };
    CHECKS.iter().flat_map(broken).collect()
}
