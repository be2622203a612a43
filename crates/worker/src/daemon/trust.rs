//! How long a worker may trust its own lease without hearing from the database.
//!
//! The database calls a lease stale `stale_after` after its last heartbeat, by its own clock. The
//! worker counts from *before* it sent that heartbeat, on a clock that also runs while the host is
//! suspended, and stops a margin earlier: so it has stopped before anybody may take over, however
//! long the answer was under way. Nothing here asks the database; the fence is what protects data.

use std::time::Duration;

use leasectl_core::lease::LeaseSettings;
use leasectl_core::time::BootInstant;

use super::verdict::StopReason;

/// The lengths of the two windows that a lease's holder keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TrustRules {
    /// From the sending of the last answered heartbeat to the end of trust.
    window: Duration,
    /// From the sending of the last answered progress to giving up for want of progress.
    patience: Duration,
    /// How often the windows are looked at.
    check_every: Duration,
    /// How long a handler may take to stop that still has its lease.
    grace: Duration,
    /// The same when its lease is about to expire.
    grace_at_expiry: Duration,
    /// The same when its lease may be gone.
    grace_without_trust: Duration,
}

impl TrustRules {
    /// Derives the windows from the lease's settings.
    ///
    /// Both end early enough that a handler which takes all of `grace` to stop is gone before
    /// anybody may take its lease, and one without progress is settled before then.
    pub(crate) fn new(settings: &LeaseSettings, grace: Duration) -> Self {
        let margin = settings.stale_after() - settings.trust_window();
        let grace_at_expiry = grace.min(settings.ttl() / 4);
        Self {
            window: settings.trust_window(),
            patience: settings.ttl() - margin - grace_at_expiry,
            check_every: (margin / 6).clamp(Duration::from_millis(1), Duration::from_millis(250)),
            grace,
            grace_at_expiry,
            grace_without_trust: grace.min(margin / 2),
        }
    }

    /// How long a handler that was asked to stop may take before it is dropped.
    pub(crate) fn grace(&self, reason: StopReason) -> Duration {
        match reason {
            StopReason::LeaseLost
            | StopReason::TrustEnded
            | StopReason::StoodStill
            | StopReason::LivenessLost => self.grace_without_trust,
            StopReason::NoProgress => self.grace_at_expiry,
            StopReason::CancelRequested | StopReason::KeptThread | StopReason::Drain => self.grace,
        }
    }

    /// How often the windows must be looked at, so that a stop comes well within the margin.
    pub(crate) fn check_every(&self) -> Duration {
        self.check_every
    }

    /// How long a heartbeat sent at `sent` may still be answered to any use.
    pub(crate) fn window(&self) -> Duration {
        self.window
    }
}

/// What a lease's holder last heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trust {
    beat_sent: BootInstant,
    progress_sent: BootInstant,
}

/// What the windows say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Go on.
    Trusted,
    /// Nothing was heard for too long: the lease may be somebody else's by now.
    TrustEnded,
    /// The owner lives, but the handler did not get anywhere until the lease's expiry.
    NoProgress,
}

impl Trust {
    /// The trust that a claim or reclaim sent at that moment gives.
    pub(crate) fn from_claim(sent: BootInstant) -> Self {
        Self {
            beat_sent: sent,
            progress_sent: sent,
        }
    }

    /// A heartbeat sent at that moment was answered.
    pub(crate) fn renewed(&mut self, sent: BootInstant, with_progress: bool) {
        self.beat_sent = self.beat_sent.max(sent);
        if with_progress {
            self.progress_sent = self.progress_sent.max(sent);
        }
    }

    /// Whether nothing was heard since that moment, counted from the sending.
    pub(crate) fn is_older_than(&self, moment: BootInstant) -> bool {
        self.beat_sent < moment
    }

    /// What the windows say at `now`.
    pub(crate) fn verdict(&self, now: BootInstant, rules: &TrustRules) -> Verdict {
        if now.since(self.beat_sent) >= rules.window {
            Verdict::TrustEnded
        } else if now.since(self.progress_sent) >= rules.patience {
            Verdict::NoProgress
        } else {
            Verdict::Trusted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules() -> TrustRules {
        TrustRules::new(&LeaseSettings::default(), 5 * SECOND)
    }

    #[test]
    fn trust_ends_a_margin_before_the_lease_is_stale() {
        let start = BootInstant::now();
        let trust = Trust::from_claim(start);
        assert_eq!(
            trust.verdict(start + 27 * SECOND, &rules()),
            Verdict::Trusted
        );
        assert_eq!(
            trust.verdict(start + 28 * SECOND, &rules()),
            Verdict::TrustEnded
        );
    }

    #[test]
    fn an_answered_heartbeat_counts_from_when_it_was_sent() {
        let start = BootInstant::now();
        let mut trust = Trust::from_claim(start);
        trust.renewed(start + 10 * SECOND, false);
        assert_eq!(
            trust.verdict(start + 37 * SECOND, &rules()),
            Verdict::Trusted
        );
        assert_eq!(
            trust.verdict(start + 38 * SECOND, &rules()),
            Verdict::TrustEnded
        );
    }

    #[test]
    fn answers_out_of_order_never_shorten_the_trust() {
        let start = BootInstant::now();
        let mut trust = Trust::from_claim(start + 10 * SECOND);
        trust.renewed(start, true);
        assert_eq!(trust, Trust::from_claim(start + 10 * SECOND));
    }

    #[test]
    fn only_progress_moves_the_expiry() {
        let start = BootInstant::now();
        let mut trust = Trust::from_claim(start);
        trust.renewed(start + 890 * SECOND, false);
        assert_eq!(
            trust.verdict(start + 892 * SECOND, &rules()),
            Verdict::Trusted
        );
        assert_eq!(
            trust.verdict(start + 893 * SECOND, &rules()),
            Verdict::NoProgress
        );
        trust.renewed(start + 892 * SECOND, true);
        assert_eq!(
            trust.verdict(start + 893 * SECOND, &rules()),
            Verdict::Trusted
        );
    }

    #[test]
    fn a_handler_is_dropped_before_anybody_may_take_its_lease() {
        for (stale_ms, ttl_ms) in [(300, 300), (300, 900), (30_000, 900_000), (60_000, 60_000)] {
            let (stale_after, ttl) = (
                Duration::from_millis(stale_ms),
                Duration::from_millis(ttl_ms),
            );
            let lease = LeaseSettings::new(stale_after / 3, stale_after, ttl).unwrap();
            let rules = TrustRules::new(&lease, 5 * SECOND);
            let late = 2 * rules.check_every;
            let untrusted = rules.window + late + rules.grace(StopReason::TrustEnded);
            assert!(untrusted < stale_after, "{stale_ms} ms: {untrusted:?}");
            let unmoved = rules.patience + late + rules.grace(StopReason::NoProgress);
            assert!(unmoved < ttl, "{ttl_ms} ms: {unmoved:?}");
        }
    }

    #[test]
    fn a_handler_has_its_whole_grace_while_its_lease_is_held_and_half_the_margin_when_it_may_be_gone()
     {
        let rules = rules();
        for reason in [
            StopReason::CancelRequested,
            StopReason::KeptThread,
            StopReason::Drain,
            StopReason::NoProgress,
        ] {
            assert_eq!(rules.grace(reason), 5 * SECOND, "{reason:?}");
        }
        for reason in [
            StopReason::LeaseLost,
            StopReason::TrustEnded,
            StopReason::StoodStill,
            StopReason::LivenessLost,
        ] {
            assert_eq!(rules.grace(reason), SECOND, "{reason:?}");
        }
        assert_eq!(rules.window(), 28 * SECOND);
        assert_eq!(rules.check_every(), Duration::from_millis(250));
    }

    #[test]
    fn a_beat_that_was_sent_at_a_moment_is_not_older_than_it() {
        let start = BootInstant::now();
        let trust = Trust::from_claim(start + SECOND);
        assert!(!trust.is_older_than(start));
        assert!(!trust.is_older_than(start + SECOND));
        assert!(trust.is_older_than(start + 2 * SECOND));
    }

    #[test]
    fn the_windows_are_looked_at_several_times_within_the_margin() {
        for stale_ms in [300, 900, 3_000, 30_000, 600_000] {
            let stale_after = Duration::from_millis(stale_ms);
            let lease = LeaseSettings::new(stale_after / 3, stale_after, 30 * stale_after);
            let rules = TrustRules::new(&lease.unwrap(), 5 * SECOND);
            assert!(
                rules.window + 2 * rules.check_every < stale_after,
                "{stale_ms} ms"
            );
        }
    }
}
