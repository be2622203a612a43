//! Claims whose answers were lost on the way: what to ask the database about, decided without I/O.
//!
//! Such a claim may have committed, now or a little later: its leases then name this worker, which
//! does not know of them. They are looked for by their tokens. Tokens grow with every claim, so what
//! an unanswered claim took has a later token than everything that was heard of before, and one that
//! was never heard of.
//!
//! **Invariant.** A lease that this worker heard of is never among them: its token is not later than
//! the last one heard before the suspicion, or it was noted since.

use std::time::Duration;

use leasectl_core::ids::Token;
use leasectl_core::lease::Lease;
use tokio::time::Instant;

/// What this worker heard of, and whether it may have missed something.
#[derive(Debug)]
pub(crate) struct Unheard {
    /// How long a claim without an answer may still be carried out.
    lasts: Duration,
    /// How often it is looked for meanwhile.
    every: Duration,
    last: Option<Token>,
    suspicion: Option<Suspicion>,
}

#[derive(Debug)]
struct Suspicion {
    since: Option<Token>,
    heard: Vec<Token>,
    next_look: Instant,
    ends: Instant,
}

impl Unheard {
    pub(crate) fn new(lasts: Duration, every: Duration) -> Self {
        Self {
            lasts,
            every,
            last: None,
            suspicion: None,
        }
    }

    /// These leases were heard of.
    pub(crate) fn heard<'a>(&mut self, leases: impl IntoIterator<Item = &'a Lease>) {
        for token in leases.into_iter().map(|lease| lease.key().token) {
            self.last = self.last.max(Some(token));
            if let Some(suspicion) = &mut self.suspicion {
                suspicion.heard.push(token);
            }
        }
    }

    /// A claim was sent and not, or not wholly, answered.
    pub(crate) fn suspect(&mut self, now: Instant) {
        let ends = now + self.lasts;
        let suspicion = self.suspicion.get_or_insert(Suspicion {
            since: self.last,
            heard: Vec::new(),
            next_look: now,
            ends,
        });
        suspicion.ends = ends;
        suspicion.next_look = now;
    }

    /// When to look for something, if there may be something.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.suspicion.as_ref().map(|suspicion| suspicion.next_look)
    }

    /// Whether it is time to look for something.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// What to look for: leases after that token, if one was heard of, except for these.
    pub(crate) fn wanted(&self) -> Option<(Option<Token>, &[Token])> {
        let suspicion = self.suspicion.as_ref()?;
        Some((suspicion.since, &suspicion.heard))
    }

    /// A look was answered, and what it found was handed back.
    pub(crate) fn looked(&mut self, now: Instant) {
        match &mut self.suspicion {
            Some(suspicion) if now < suspicion.ends => suspicion.next_look = now + self.every,
            _ => self.suspicion = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_is_looked_for_while_every_claim_is_answered() {
        let unheard = Unheard::new(40 * SECOND, SECOND);
        assert!(!unheard.is_due(Instant::now()));
        assert_eq!(unheard.wanted(), None);
    }

    #[test]
    fn a_claim_without_an_answer_is_looked_for_until_it_cannot_be_carried_out_any_more() {
        let start = Instant::now();
        let mut unheard = Unheard::new(40 * SECOND, SECOND);
        unheard.suspect(start);
        assert!(unheard.is_due(start));
        assert_eq!(unheard.wanted(), Some((None, &[][..])));
        unheard.looked(start + SECOND);
        assert!(!unheard.is_due(start + SECOND));
        assert!(unheard.is_due(start + 2 * SECOND));
        unheard.looked(start + 40 * SECOND);
        assert!(!unheard.is_due(start + 90 * SECOND));
    }

    #[test]
    fn a_second_suspicion_prolongs_the_first() {
        let start = Instant::now();
        let mut unheard = Unheard::new(40 * SECOND, SECOND);
        unheard.suspect(start);
        unheard.suspect(start + 30 * SECOND);
        unheard.looked(start + 60 * SECOND);
        assert_eq!(unheard.wanted(), Some((None, &[][..])));
        unheard.looked(start + 70 * SECOND);
        assert_eq!(unheard.wanted(), None);
    }
}
