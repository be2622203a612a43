//! Small names for the few jobs, owners and tokens of a model.

/// How many jobs a state has room for.
pub const JOBS: usize = 3;
/// How many owners a state has room for.
pub const OWNERS: usize = 3;

/// One job; its number is also the order in which it was accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(u8);

impl JobId {
    /// Every job that a state has room for.
    pub const ALL: [Self; JOBS] = [Self(0), Self(1), Self(2)];

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn bit(self) -> u8 {
        1 << self.0
    }
}

/// One process incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OwnerId(u8);

impl OwnerId {
    /// Every owner that a state has room for.
    pub const ALL: [Self; OWNERS] = [Self(0), Self(1), Self(2)];
    /// A worker that is started once the faults have stopped.
    pub(crate) const REPLACEMENT: Self = Self(9);

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

/// A fencing token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub(crate) u8);

/// A set of tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct TokenSet(u32);

impl TokenSet {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn insert(&mut self, token: Token) {
        self.0 |= 1 << token.0;
    }

    pub(crate) fn contains(self, token: Token) -> bool {
        self.0 & (1 << token.0) != 0
    }
}
