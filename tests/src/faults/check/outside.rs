//! I11, I13, I14, I16: what is seen outside the database.

use super::digest::Digest;
use crate::faults::record::CutOff;

/// Ends that the injected faults explain: a remote that fails or has moved on, a full disk, workers that die. A
/// damaged clone is none of them, nor is anything that a program did not expect.
const EXPLAINED: [&str; 7] = [
    "attempts_exhausted",
    "repo_unavailable",
    "remote_timeout",
    "disk_full",
    "ref_not_found",
    "no_progress",
    "cancelled",
];

pub(super) fn a_cut_off_worker_has_stopped_its_handlers(digest: &Digest<'_>) -> Vec<String> {
    let cut_off = digest.trial.cut_off.iter();
    let working = cut_off.filter(|seen| seen.still_running > 0);
    let shown = |seen: &CutOff| {
        format!(
            "{} of {} handlers of {} outlived the trust in their leases",
            seen.still_running, seen.running, seen.owner
        )
    };
    working.map(shown).collect()
}

pub(super) fn only_complete_clones_stand_at_their_path(digest: &Digest<'_>) -> Vec<String> {
    let clones = digest.trial.clones.iter();
    let broken = clones.filter_map(|clone| Some((&clone.path, clone.fault.as_ref()?)));
    broken
        .map(|(path, fault)| format!("{path}: {fault}"))
        .collect()
}

pub(super) fn damaged_caches_cost_time_only(digest: &Digest<'_>) -> Vec<String> {
    let unexplained = digest.finished.iter().filter_map(|((job, _), row)| {
        let error = row.error.as_deref().unwrap_or_default();
        let is_unexplained = row.state == "error" && !EXPLAINED.contains(&error);
        is_unexplained.then(|| format!("job {job} ended in {error:?}"))
    });
    let repositories = digest.trial.repositories.iter().filter(|seen| {
        seen.state != "completed" || seen.recorded_head != seen.remote_head || seen.fault.is_some()
    });
    let repositories = repositories.map(|seen| {
        format!(
            "{} did not recover: its last fetch is {:?}, {} is recorded, {} is there, and its clone \
             says {:?}",
            seen.name, seen.state, seen.recorded_head, seen.remote_head, seen.fault
        )
    });
    unexplained.chain(repositories).collect()
}

pub(super) fn no_secret_is_shown(digest: &Digest<'_>) -> Vec<String> {
    digest.trial.leaks.clone()
}

#[cfg(test)]
mod tests {
    use crate::faults::check::sample::Sample;
    use crate::faults::record::{CloneSeen, CutOff, RepositorySeen};

    #[test]
    fn i11_catches_a_handler_that_outlived_its_trust() {
        let mut sample = Sample::new();
        sample.trial.cut_off.push(CutOff {
            still_running: 1,
            ..CutOff::default()
        });
        assert!(sample.breaks("I11"));
    }

    #[test]
    fn i13_catches_a_clone_that_is_not_complete() {
        let mut sample = Sample::new();
        let fault = Some("missing blob".to_owned());
        let clone = CloneSeen {
            fault,
            ..CloneSeen::default()
        };
        sample.trial.clones.push(clone);
        assert!(sample.breaks("I13"));
    }

    #[test]
    fn i14_catches_a_job_that_failed_because_of_a_damaged_clone() {
        let mut sample = Sample::fetched();
        let row = sample.last_finished();
        row.state = "error".to_owned();
        row.error = Some("clone_corrupt".to_owned());
        assert!(sample.breaks("I14"));
    }

    #[test]
    fn i14_catches_a_repository_that_did_not_recover() {
        let healthy = || RepositorySeen {
            state: "completed".to_owned(),
            ..RepositorySeen::default()
        };
        let stale = RepositorySeen {
            remote_head: "newer".to_owned(),
            ..healthy()
        };
        for (seen, is_broken) in [(healthy(), false), (stale, true)] {
            let mut sample = Sample::new();
            sample.trial.repositories.push(seen);
            assert_eq!(sample.breaks("I14"), is_broken);
        }
    }

    #[test]
    fn i16_catches_a_canary() {
        let mut sample = Sample::new();
        sample.trial.leaks.push("a log".to_owned());
        assert!(sample.breaks("I16"));
    }
}
