//! How long a worker may trust its own lease without hearing from the database.
//!
//! The database calls a lease stale `stale_after` after its last heartbeat, by its own clock. The
//! worker counts from *before* it sent that heartbeat, on a clock that also runs while the host is
//! suspended, and stops a margin earlier: so it has stopped before anybody may take over, however
//! long the answer was under way. Nothing here asks the database; the fence is what protects data.

use std::time::Duration;

use leasectl_core::lease::LeaseSettings;
use leasectl_core::time::BootInstant;

/// The lengths of the two windows that a lease's holder keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TrustRules {
    /// From the sending of the last answered heartbeat to the end of trust.
    window: Duration,
    /// From the sending of the last answered progress to giving up for want of progress.
    patience: Duration,
    /// How often the windows are looked at.
    check_every: Duration,
}

impl TrustRules {
    /// Derives the windows from the lease's settings, with the same margin for both.
    pub(crate) fn new(settings: &LeaseSettings) -> Self {
        let margin = settings.stale_after() - settings.trust_window();
        Self {
            window: settings.trust_window(),
            patience: settings.ttl() - margin,
            check_every: (margin / 6).clamp(Duration::from_millis(1), Duration::from_millis(250)),
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
        TrustRules::new(&LeaseSettings::default())
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
            trust.verdict(start + 897 * SECOND, &rules()),
            Verdict::Trusted
        );
        assert_eq!(
            trust.verdict(start + 898 * SECOND, &rules()),
            Verdict::NoProgress
        );
        trust.renewed(start + 897 * SECOND, true);
        assert_eq!(
            trust.verdict(start + 898 * SECOND, &rules()),
            Verdict::Trusted
        );
    }

    #[test]
    fn the_windows_are_looked_at_several_times_within_the_margin() {
        for stale_ms in [300, 900, 3_000, 30_000, 600_000] {
            let stale_after = Duration::from_millis(stale_ms);
            let lease = LeaseSettings::new(stale_after / 3, stale_after, 30 * stale_after);
            let rules = TrustRules::new(&lease.unwrap());
            assert!(
                rules.window + 2 * rules.check_every < stale_after,
                "{stale_ms} ms"
            );
        }
    }
}
