//! Statements and answers under way. Each may take any time, overtake others, or get lost.

use crate::clock::{OLD, older};
use crate::ids::{JobId, OwnerId, Token};
use crate::worker::{Mode, Worker};

/// How a handler ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// With its result.
    Completed,
    /// To be tried again.
    Failed,
    /// Not to be tried again.
    FailedForGood,
    /// Because it was asked to stop.
    Cancelled,
    /// Not at all: the worker hands the job back.
    Released,
}

/// What an owner is told about a settlement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Answer {
    /// It took effect now.
    Applied,
    /// It had taken effect.
    Already,
    /// The lease was not its own any more.
    Lost,
}

/// One statement, or one answer, between an owner and the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Packet {
    /// An unused place.
    None,
    /// A claim, sent `age` ticks ago.
    Claim {
        /// Who claims.
        owner: OwnerId,
        /// Ticks since it was sent.
        age: u8,
    },
    /// A reclaim.
    Reclaim {
        /// Who claims.
        owner: OwnerId,
        /// The job that was over when it was sent.
        seen: JobId,
        /// Ticks since it was sent.
        age: u8,
    },
    /// A claim or a reclaim whose owner waits no longer: it may be carried out, and nobody hears.
    Orphan {
        /// Who claimed.
        owner: OwnerId,
        /// Whether it takes over.
        reclaims: bool,
    },
    /// The lease that a claim or a reclaim gave.
    Claimed {
        /// Whose it is.
        owner: OwnerId,
        /// The job.
        job: JobId,
        /// Its token.
        token: Token,
        /// Whether a failure is final.
        last_attempt: bool,
        /// Ticks since the statement was sent.
        age: u8,
    },
    /// A heartbeat.
    Beat {
        /// Whose.
        owner: OwnerId,
        /// The job.
        job: JobId,
        /// The lease's token.
        token: Token,
        /// Whether the handler advanced.
        progress: bool,
        /// Ticks since it was sent.
        age: u8,
    },
    /// A heartbeat that found the lease.
    Beaten {
        /// Whose.
        owner: OwnerId,
        /// The lease's token.
        token: Token,
        /// Whether the job should stop.
        cancel: bool,
        /// Ticks since the statement was sent.
        age: u8,
    },
    /// The look whether a lease is lost that a heartbeat did not renew.
    Missing {
        /// Whose.
        owner: OwnerId,
        /// The job.
        job: JobId,
        /// The lease's token.
        token: Token,
    },
    /// A heartbeat, and that look, which did not find the lease.
    BeatenNot {
        /// Whose.
        owner: OwnerId,
        /// The lease's token.
        token: Token,
    },
    /// A settlement.
    Settle {
        /// Whose.
        owner: OwnerId,
        /// The job.
        job: JobId,
        /// The lease's token.
        token: Token,
        /// How the handler ended.
        outcome: Outcome,
    },
    /// What came of a settlement.
    Settled {
        /// Whose.
        owner: OwnerId,
        /// The lease's token.
        token: Token,
        /// What is told.
        answer: Answer,
    },
}

impl Packet {
    /// Whether it is on its way to the server.
    #[must_use]
    pub fn is_statement(self) -> bool {
        matches!(
            self,
            Self::Claim { .. }
                | Self::Reclaim { .. }
                | Self::Orphan { .. }
                | Self::Beat { .. }
                | Self::Missing { .. }
                | Self::Settle { .. }
        )
    }

    /// Whose it is.
    pub(crate) fn owner(self) -> Option<OwnerId> {
        match self {
            Self::None => None,
            Self::Claim { owner, .. }
            | Self::Reclaim { owner, .. }
            | Self::Orphan { owner, .. }
            | Self::Claimed { owner, .. }
            | Self::Beat { owner, .. }
            | Self::Missing { owner, .. }
            | Self::Beaten { owner, .. }
            | Self::BeatenNot { owner, .. }
            | Self::Settle { owner, .. }
            | Self::Settled { owner, .. } => Some(owner),
        }
    }

    /// Whether an owner that sent it waits for it before it claims again.
    pub(crate) fn is_about_claiming(self) -> bool {
        matches!(
            self,
            Self::Claim { .. } | Self::Reclaim { .. } | Self::Claimed { .. }
        )
    }

    /// Whether an owner that sent it waits for it before it beats again.
    pub(crate) fn is_about_beating(self) -> bool {
        matches!(
            self,
            Self::Beat { .. } | Self::Missing { .. } | Self::Beaten { .. } | Self::BeatenNot { .. }
        )
    }

    /// Whether it is about settling that lease.
    pub(crate) fn is_about_settling(self, lease: Token) -> bool {
        match self {
            Self::Settle { token, .. } | Self::Settled { token, .. } => token == lease,
            Self::None
            | Self::Claim { .. }
            | Self::Reclaim { .. }
            | Self::Orphan { .. }
            | Self::Claimed { .. }
            | Self::Beat { .. }
            | Self::Missing { .. }
            | Self::Beaten { .. }
            | Self::BeatenNot { .. } => false,
        }
    }

    /// The lease that an answer, or a question without effect, is about.
    fn tells_about(self) -> Option<Token> {
        match self {
            Self::Missing { token, .. }
            | Self::Beaten { token, .. }
            | Self::BeatenNot { token, .. }
            | Self::Settled { token, .. } => Some(token),
            Self::None
            | Self::Claim { .. }
            | Self::Reclaim { .. }
            | Self::Orphan { .. }
            | Self::Claimed { .. }
            | Self::Beat { .. }
            | Self::Settle { .. } => None,
        }
    }

    /// Whether it may still change anything, now that its owner is what it is: an answer does only
    /// to a process that runs and, unless it brings a lease, to the handler that it is about, or to
    /// what remains of it.
    pub(crate) fn is_awaited(self, worker: &Worker) -> bool {
        let Some(about) = self.tells_about() else {
            return self.is_statement() || worker.mode != Mode::Dead;
        };
        let settles = matches!(self, Self::Settled { .. });
        let runs = worker.handler.is_some_and(|handler| handler.token == about);
        let owes = worker.owed.is_some_and(|owed| owed.token == about);
        worker.mode != Mode::Dead && (runs || (settles && owes))
    }

    fn age_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Claim { age, .. }
            | Self::Reclaim { age, .. }
            | Self::Claimed { age, .. }
            | Self::Beat { age, .. }
            | Self::Beaten { age, .. } => Some(age),
            Self::None
            | Self::Orphan { .. }
            | Self::Missing { .. }
            | Self::BeatenNot { .. }
            | Self::Settle { .. }
            | Self::Settled { .. } => None,
        }
    }
}

/// How many packets a state has room for.
const ROOM: usize = 4;

/// Everything under way, in no order: it is kept sorted so that equal sets are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    packets: [Packet; ROOM],
}

impl Network {
    pub(crate) const EMPTY: Self = Self {
        packets: [Packet::None; ROOM],
    };

    /// What is under way.
    pub fn iter(&self) -> impl Iterator<Item = Packet> + '_ {
        self.packets
            .iter()
            .copied()
            .filter(|packet| *packet != Packet::None)
    }

    pub(crate) fn count(&self) -> usize {
        self.iter().count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    pub(crate) fn has_room(&self, limit: usize) -> bool {
        self.count() < limit.min(ROOM)
    }

    /// Puts a packet under way. There is room: every sender looked.
    pub(crate) fn put(&mut self, packet: Packet) {
        if let Some(place) = self.packets.iter_mut().find(|p| **p == Packet::None) {
            *place = packet;
        }
        self.packets.sort_unstable();
    }

    pub(crate) fn take(&mut self, packet: Packet) {
        if let Some(place) = self.packets.iter_mut().find(|p| **p == packet) {
            *place = Packet::None;
        }
        self.packets.sort_unstable();
    }

    /// Drops what nobody waits for.
    pub(crate) fn retain(&mut self, awaited: impl Fn(Packet) -> bool) {
        let mut dropped = false;
        for packet in &mut self.packets {
            if *packet != Packet::None && !awaited(*packet) {
                *packet = Packet::None;
                dropped = true;
            }
        }
        if dropped {
            self.packets.sort_unstable();
        }
    }

    pub(crate) fn tick(&mut self) {
        for packet in &mut self.packets {
            if let Some(age) = packet.age_mut() {
                *age = older(*age, OLD);
            }
        }
        self.packets.sort_unstable();
    }
}
