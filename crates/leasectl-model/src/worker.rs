//! What a worker process knows of itself. It never looks into the database but by statements.

use crate::clock::{OLD, STALE_AFTER, older};
use crate::ids::{JobId, Token};
use crate::mutant::Mutant;
use crate::packet::Outcome;
use crate::scenario::Scenario;

/// Whether a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// It does.
    Live,
    /// It was stopped and may continue.
    Paused,
    /// It is gone for good.
    Dead,
}

/// Where a handler is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// It has written nothing that counts.
    Working,
    /// Its fenced transaction is open.
    InTransaction,
    /// Its result is committed.
    Written,
    /// It does not know whether its result is committed.
    Doubt,
    /// It is over; the settlement is under way or must be sent again.
    Settling(Outcome),
}

/// A handler under a lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handler {
    pub(crate) job: JobId,
    pub(crate) token: Token,
    /// Whether a failure is final.
    pub(crate) last_attempt: bool,
    /// Whether it was asked to stop.
    pub(crate) cancel: bool,
    /// Ticks since the last answered heartbeat was sent.
    pub(crate) silence: u8,
    pub(crate) stage: Stage,
}

impl Handler {
    /// Whether its worker still trusts the lease.
    pub(crate) fn trusted(&self, scenario: &Scenario) -> bool {
        self.silence < trust_window(scenario)
    }

    /// Whether it has not ended; a settlement may be under way once it has.
    pub(crate) fn runs(&self) -> bool {
        !matches!(self.stage, Stage::Settling(_))
    }
}

/// Ticks after the sending of the last answered heartbeat in which a lease is trusted.
pub(crate) fn trust_window(scenario: &Scenario) -> u8 {
    if scenario.is(Mutant::TrustsForTooLong) {
        STALE_AFTER + 1
    } else {
        STALE_AFTER
    }
}

/// A lease to hand back: its handler was stopped, or never started.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owed {
    pub(crate) job: JobId,
    pub(crate) token: Token,
}

/// That a claim was given up, which may have taken a lease or may yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Suspicion {
    /// The last token heard of before, while it names a lease of this worker's. Tokens grow, so any
    /// other that it holds is a later one.
    pub(crate) since: Option<Token>,
}

/// One process incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Worker {
    pub(crate) mode: Mode,
    /// Whether it was stopped since its handler began: its clock missed what others saw.
    pub(crate) was_paused: bool,
    /// The lease that it was told of and that is its own in the database, handler or not.
    pub(crate) heard: Option<Token>,
    pub(crate) handler: Option<Handler>,
    /// What it will hand back once the database listens. It keeps no room: the worker may claim.
    pub(crate) owed: Option<Owed>,
    pub(crate) suspicion: Option<Suspicion>,
}

impl Worker {
    pub(crate) const IDLE: Self = Self {
        mode: Mode::Live,
        was_paused: false,
        heard: None,
        handler: None,
        owed: None,
        suspicion: None,
    };

    /// An owner that the scenario does not have.
    pub(crate) const NONE: Self = Self {
        mode: Mode::Dead,
        ..Self::IDLE
    };

    /// The handler under that lease.
    pub(crate) fn handler_of(&mut self, lease: Token) -> Option<&mut Handler> {
        self.handler.as_mut().filter(|h| h.token == lease)
    }

    pub(crate) fn tick(&mut self) {
        if let Some(handler) = &mut self.handler {
            handler.silence = older(handler.silence, OLD);
        }
    }

    pub(crate) fn stop_handler(&mut self) {
        self.handler = None;
        self.was_paused = false;
    }

    /// It waits no longer for a claim.
    pub(crate) fn suspect(&mut self) {
        if self.mode != Mode::Dead {
            let since = self.heard;
            self.suspicion.get_or_insert(Suspicion { since });
        }
    }

    /// It is gone, and with it all that it knew.
    pub(crate) fn die(&mut self) {
        *self = Self::NONE;
    }

    /// Forgets what it heard of leases other than the one that it holds, and suspicions unless
    /// something is `open`, or taken and unheard.
    pub(crate) fn forget(&mut self, held: Option<Token>, open: bool) {
        self.heard = self.heard.filter(|token| held == Some(*token));
        let unheard = held != self.heard;
        self.suspicion = self.suspicion.filter(|_| open || unheard);
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.since = suspicion.since.filter(|token| held == Some(*token));
        }
    }
}
